"""What an audit says: each violation with its place, and what was counted on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

LISTED: Final = 1_000
"""Violations that a report lists; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One invariant (its number in design section 7) that does not hold.

    ``place`` is topic, partition and offset, joined by hyphens; of a view it is the folder.
    """

    invariant: int
    task_id: str
    child: int | None
    place: str
    expected: str
    found: str


class Fault(NamedTuple):
    """A violation before it is known where it stands."""

    invariant: int
    child: int | None
    expected: str
    found: str


@dataclass(slots=True)
class Report:
    """What was read, and what is wrong with it. Collected in bounded memory.

    ``total`` counts all violations, of which ``violations`` lists the first. ``void`` events were late or repeated and
    had no effect; ``unreadable`` records were skipped by the fold; ``unjudged`` decisions had a basis too far back.
    """

    violations: list[Violation] = field(default_factory=list)
    total: int = 0
    events: int = 0
    tasks: int = 0
    ended: int = 0
    void: int = 0
    unreadable: int = 0
    unjudged: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, fault: Fault, task_id: str, place: str) -> None:
        """Note a violation."""
        self.total += 1
        if len(self.violations) < LISTED:
            self.violations.append(Violation(fault.invariant, task_id, fault.child, place, fault.expected, fault.found))
