"""Where children may run: what the code of a stage requires of a worker, and what workers announce. Pure.

A worker announces *patterns* of modules: ``jobs`` is that module alone, ``jobs.*`` are the modules below it. A part of
a name that begins with an underscore is private: only a pattern that spells it out names it.

Patterns of programs stand among them, behind ``$ ``, as programs do where code is named: ``$ ./convert.sh``,
``$ ./tools/*``. In each part of a path ``*``, ``?`` and ``[...]`` are as in a shell; no part that is ``.`` or ``..`` is
meant by them.

A worker also has a *place*: the queues that it serves, and labels. One that names no queues serves the default queue,
whose name is empty where names are written, and ``default`` to people.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from streamsched.domain.labels import LABELS_LIMIT

COMMAND: Final = "$ "
"""What stands before a program where code is named."""
EVERYTHING: Final = "*"
"""Allows every module, and is never announced: for a log that its user alone can write, in a folder of his.

Among queues it stands for all of them, as the name and value of a label for every label: that is announced.
"""
DEFAULT_QUEUE: Final = "default"
"""What people call the queue without a name."""
QUEUES_LIMIT: Final = 100
"""Queues that one worker may serve."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:+-]{0,99}")
"""What queues, and the names and values of labels, are called."""
NAME_REMEDY: Final = "use letters, digits and ._/:+- after a letter or digit, at most 100"

Pair = tuple[str, str]
"""The name and value of a label."""
PATTERNS_LIMIT: Final = 100
"""Patterns that one worker may announce."""
PATTERN_LIMIT: Final = 1_000
"""Characters of one pattern: those of a handler."""


class Place(NamedTuple):
    """Where a worker stands: the queues that it serves (none: the default one), and its labels."""

    queues: tuple[str, ...] = ()
    labels: tuple[Pair, ...] = ()

    def serves(self, queue: str) -> bool:
        """Return whether it takes children of this queue."""
        return queue in (self.queues or ("",)) or EVERYTHING in self.queues

    def lacking(self, needs: Sequence[Pair]) -> Pair | None:
        """Return the first of these labels that it does not have, or None."""
        if not needs or (EVERYTHING, EVERYTHING) in self.labels:
            return None
        return next((need for need in needs if need not in self.labels), None)


PLAIN: Final = Place()
"""Where a worker stands that announces neither queues nor labels."""
EVERYWHERE: Final = Place((EVERYTHING,), ((EVERYTHING, EVERYTHING),))
"""Where the only worker of a log stands: it takes what there is."""


class Requirement(NamedTuple):
    """What a worker must have to run the children of a stage: the module of their handler, or ``$ PROGRAM``.

    Empty: nothing. ``setup``: the module of what runs before them, if that is another one. ``queue`` and ``needs``: the
    queue that it must serve, and the labels that it must have.
    """

    module: str
    setup: str = ""
    queue: str = ""
    needs: tuple[Pair, ...] = ()

    @property
    def name(self) -> str:
        """What it is to people."""
        program = self.module.removeprefix(COMMAND)
        return f"module {program}" if program == self.module else f"command {program}"

    @property
    def option(self) -> str:
        """The option of a worker that allows it, as a shell reads it; empty where nothing is required."""
        program = self.module.removeprefix(COMMAND)
        if program == self.module:
            return f"--allow {program}" if program else ""
        from shlex import quote  # late, as the next: few processes need them

        return f"--allow-command {quote(program)}"

    @property
    def options(self) -> str:
        """All options of a worker that meets it."""
        queue = [f"--queue {self.queue}"] if self.queue else []
        labels = [f"--label {label_text(need)}" for need in self.needs]
        return " ".join([option for option in (self.option, *queue, *labels) if option])

    def met_by(self, modules: Sequence[str] | None, place: Place = PLAIN) -> bool:
        """Return whether a worker that announced this may run it; one that announced no modules may run all."""
        return self.allowed_by(modules) and place.serves(self.queue) and place.lacking(self.needs) is None

    def allowed_by(self, modules: Sequence[str] | None) -> bool:
        """Return whether a worker that announced these patterns allows its code."""
        if modules is None or not self.module:
            return True
        return allows(modules, self.module) and (not self.setup or allows(modules, self.setup))

    def missing(self, workers: Sequence[tuple[Sequence[str] | None, Place]]) -> str:
        """Say what none of these workers does that all together must do; empty where one meets it."""
        able = [place for modules, place in workers if self.allowed_by(modules)]
        if not able:
            return f"allows {self.name}"
        serving = [place for place in able if place.serves(self.queue)]
        allowing = f"that allows {self.name} " if self.module else ""
        if not serving:
            return f"{allowing}serves the queue {queue_text(self.queue)}"
        lacks = [place.lacking(self.needs) for place in serving]
        if None in lacks:
            return ""
        of_queue = f"{'and' if allowing else 'that'} serves the queue {self.queue} " if self.queue else ""
        need = next(filter(None, lacks)) if len(set(lacks)) == 1 else None
        labels = [label_text(each) for each in (self.needs if need is None else (need,))]
        return f"{allowing}{of_queue}has the label{'s' if need is None else ''} {', '.join(labels)}"


ANYWHERE: Final = Requirement("")


@lru_cache(maxsize=4096)
def requirement_of(handler: str, setup: str = "", queue: str = "", needs: tuple[Pair, ...] = ()) -> Requirement:
    """Return what the handler ``package.module:function``, or ``$ PROGRAM``, its setup and its place require."""
    module, before = handler if handler.startswith(COMMAND) else handler.partition(":")[0], setup.partition(":")[0]
    return Requirement(module, before if before != module else "", queue, needs)


def queue_text(queue: str) -> str:
    """Return what people call a queue."""
    return queue or DEFAULT_QUEUE


def read_queue(name: str) -> str:
    """Return the name of a queue as it is written in records."""
    return "" if name == DEFAULT_QUEUE else name


def read_label(text: str) -> Pair | None:
    """Return the label that people wrote as ``NAME=VALUE``, or None."""
    name, equals, value = text.partition("=")
    return (name, value) if equals and NAME.fullmatch(name) and NAME.fullmatch(value) else None


def problem_of_place(place: Place) -> str | None:
    """Return why no worker announces this, or None."""
    if len(place.queues) > QUEUES_LIMIT:
        return f"{len(place.queues):,} queues, more than {QUEUES_LIMIT}"
    if len(place.labels) > LABELS_LIMIT:
        return f"{len(place.labels):,} labels, more than {LABELS_LIMIT}"
    for name in (name for name, _ in place.labels):
        if sum(name == other for other, _ in place.labels) > 1:
            return f"the label {name} has two values"
    return None


def label_text(label: Pair) -> str:
    """Return a label as people write it."""
    return "=".join(label)


def allows(patterns: Sequence[str], module: str) -> bool:
    """Return whether one of the patterns names this module, or this ``$ PROGRAM``."""
    if module.startswith(COMMAND):
        return any(pattern == module or _names(pattern, module) for pattern in patterns)
    return any(
        pattern == module or (pattern.endswith(".*") and _lies_below(pattern[:-1], module)) for pattern in patterns
    )


def _lies_below(package: str, module: str) -> bool:
    rest = module[len(package) :]
    return module.startswith(package) and not any(part.startswith("_") for part in rest.split("."))


def _names(pattern: str, program: str) -> bool:
    from fnmatch import fnmatchcase

    wanted, parts = pattern.split("/"), program.split("/")
    return (
        pattern.startswith(COMMAND)
        and len(wanted) == len(parts)
        and all(
            part == want or (part not in (".", "..") and fnmatchcase(part, want))
            for want, part in zip(wanted, parts, strict=True)
        )
    )


def problem_of_pattern(pattern: str) -> str | None:
    """Return why a pattern cannot be one, or None."""
    name = pattern.removesuffix(".*")
    if len(pattern) > PATTERN_LIMIT:
        return f"has {len(pattern):,} characters, the limit is {PATTERN_LIMIT:,}"
    if pattern.startswith(COMMAND):
        return None if pattern.removeprefix(COMMAND).strip(" *?") else "names no program"
    if "*" in name:
        return "a star stands only at the end, for what lies below a package"
    return None if all(part.isidentifier() for part in name.split(".")) else "is not a name of a module"


def problem_of_patterns(patterns: Sequence[str]) -> str | None:
    """Return why no worker announces these patterns, or None."""
    if len(patterns) > PATTERNS_LIMIT:
        return f"{len(patterns):,} modules, more than {PATTERNS_LIMIT}"
    problems = ((pattern, problem_of_pattern(pattern)) for pattern in patterns)
    return next((f"module {pattern[:200]!r}: {problem}" for pattern, problem in problems if problem), None)
