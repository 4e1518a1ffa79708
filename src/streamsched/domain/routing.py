"""Where children may run: what the code of a stage requires of a worker, and what workers announce. Pure.

A worker announces *patterns* of modules: ``jobs`` is that module alone, ``jobs.*`` are the modules below it. A part of
a name that begins with an underscore is private: only a pattern that spells it out names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

EVERYTHING: Final = "*"
"""Allows every module, and is never announced: for a log that its user alone can write, in a folder of his."""
PATTERNS_LIMIT: Final = 100
"""Patterns that one worker may announce."""
PATTERN_LIMIT: Final = 1_000
"""Characters of one pattern: those of a handler."""


class Requirement(NamedTuple):
    """What a worker must have to run the children of a stage: the module of their handler; empty: nothing.

    ``setup``: that of what runs before them, if that is another one.
    """

    module: str
    setup: str = ""

    def met_by(self, modules: Sequence[str] | None) -> bool:
        """Return whether a worker that announced these patterns may run it; one that announced none may run all."""
        if modules is None or not self.module:
            return True
        return allows(modules, self.module) and (not self.setup or allows(modules, self.setup))


ANYWHERE: Final = Requirement("")


@lru_cache(maxsize=4096)
def requirement_of(handler: str, setup: str = "") -> Requirement:
    """Return what the handler ``package.module:function`` and its setup require."""
    module, before = handler.partition(":")[0], setup.partition(":")[0]
    return Requirement(module, before if before != module else "")


def allows(patterns: Sequence[str], module: str) -> bool:
    """Return whether one of the patterns names this module."""
    return any(
        pattern == module or (pattern.endswith(".*") and _lies_below(pattern[:-1], module)) for pattern in patterns
    )


def _lies_below(package: str, module: str) -> bool:
    rest = module[len(package) :]
    return module.startswith(package) and not any(part.startswith("_") for part in rest.split("."))


def problem_of_pattern(pattern: str) -> str | None:
    """Return why a pattern cannot be one, or None."""
    name = pattern.removesuffix(".*")
    if len(pattern) > PATTERN_LIMIT:
        return f"has {len(pattern):,} characters, the limit is {PATTERN_LIMIT:,}"
    if "*" in name:
        return "a star stands only at the end, for what lies below a package"
    return None if all(part.isidentifier() for part in name.split(".")) else "is not a name of a module"


def problem_of_patterns(patterns: Sequence[str]) -> str | None:
    """Return why no worker announces these patterns, or None."""
    if len(patterns) > PATTERNS_LIMIT:
        return f"{len(patterns):,} modules, more than {PATTERNS_LIMIT}"
    problems = ((pattern, problem_of_pattern(pattern)) for pattern in patterns)
    return next((f"module {pattern[:200]!r}: {problem}" for pattern, problem in problems if problem), None)
