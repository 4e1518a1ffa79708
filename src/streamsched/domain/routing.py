"""Where children may run: what the code of a stage requires of a worker, and what workers announce. Pure.

A worker announces *patterns* of modules: ``jobs`` is that module alone, ``jobs.*`` are the modules below it. A part of
a name that begins with an underscore is private: only a pattern that spells it out names it.

Patterns of programs stand among them, behind ``$ ``, as programs do where code is named: ``$ ./convert.sh``,
``$ ./tools/*``. In each part of a path ``*``, ``?`` and ``[...]`` are as in a shell; no part that is ``.`` or ``..`` is
meant by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

COMMAND: Final = "$ "
"""What stands before a program where code is named."""
EVERYTHING: Final = "*"
"""Allows every module, and is never announced: for a log that its user alone can write, in a folder of his."""
PATTERNS_LIMIT: Final = 100
"""Patterns that one worker may announce."""
PATTERN_LIMIT: Final = 1_000
"""Characters of one pattern: those of a handler."""


class Requirement(NamedTuple):
    """What a worker must have to run the children of a stage: the module of their handler, or ``$ PROGRAM``.

    Empty: nothing. ``setup``: the module of what runs before them, if that is another one.
    """

    module: str
    setup: str = ""

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

    def met_by(self, modules: Sequence[str] | None) -> bool:
        """Return whether a worker that announced these patterns may run it; one that announced none may run all."""
        if modules is None or not self.module:
            return True
        return allows(modules, self.module) and (not self.setup or allows(modules, self.setup))


ANYWHERE: Final = Requirement("")


@lru_cache(maxsize=4096)
def requirement_of(handler: str, setup: str = "") -> Requirement:
    """Return what the handler ``package.module:function``, or ``$ PROGRAM``, and its setup require."""
    module, before = handler if handler.startswith(COMMAND) else handler.partition(":")[0], setup.partition(":")[0]
    return Requirement(module, before if before != module else "")


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
