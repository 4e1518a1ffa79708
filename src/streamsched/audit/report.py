"""What an audit says: each violation with its place, and what was counted on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

LISTED: Final = 1_000
"""Violations that a report lists; of more it tells the number only."""


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


@dataclass(frozen=True, slots=True)
class Report:
    """What was read, and what is wrong with it.

    ``total`` counts all violations, of which ``violations`` lists the first. ``void`` events were late or repeated and
    without effect; ``unreadable`` records were passed over by the fold; ``unjudged`` decisions had a basis too far
    back to be held against it.
    """

    violations: Sequence[Violation]
    total: int
    events: int
    tasks: int
    ended: int
    void: int
    unreadable: int
    unjudged: int
    notes: Sequence[str] = ()


@dataclass(slots=True)
class Findings:
    """Collects what an audit finds, in bounded memory."""

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

    def report(self) -> Report:
        """Return what was found."""
        return Report(
            tuple(self.violations), self.total, self.events, self.tasks, self.ended, self.void, self.unreadable,
            self.unjudged, tuple(self.notes),
        )  # fmt: skip
