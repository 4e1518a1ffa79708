"""Both sides of every follow-up (``domain.followups``), in whichever partition: what has both is forgotten."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from streamsched.audit.report import Fault, Report
from streamsched.domain import events as e
from streamsched.domain.followups import Followup, as_followup


class Side(NamedTuple):
    """One side of a follow-up and where it stands: what was ``written``, or the event that it belongs beside."""

    written: bool
    place: str


class FollowupAudit:
    """Matches the two sides over all partitions (invariant 12)."""

    def __init__(self, findings: Report) -> None:
        self._findings = findings
        self._alone: dict[Followup, Side] = {}

    def wanted(self, followup: Followup, place: str) -> None:
        """Note what must be written beside the event at this place."""
        self._match(followup, Side(False, place))

    def written(self, event: e.Event, place: str) -> None:
        """Note an event that may be a follow-up."""
        followup = as_followup(event)
        if followup is not None:
            self._match(followup, Side(True, place))

    def alone(self) -> set[tuple[Followup, Side]]:
        """Return what misses its other side now."""
        return set(self._alone.items())

    def close(self, before: set[tuple[Followup, Side]], unknown: Collection[str]) -> None:
        """Report what is still alone of those ``before``, except for tasks that are ``unknown``."""
        left = [each for each in self.alone() & before if _subject(each[0]) not in unknown]
        for followup, side in sorted(left, key=lambda each: (_order_of(each[1].place), _subject(each[0]))):
            self._report(followup, side)

    def _match(self, followup: Followup, side: Side) -> None:
        other = self._alone.pop(followup, None)
        if other is None:
            self._alone[followup] = side
        elif other.written is side.written:
            self._alone[followup] = other
            self._report(followup, side)

    def _report(self, followup: Followup, side: Side) -> None:
        name = followup.event.__name__
        said = ", ".join(f"{field}={value}" for field, value in followup.fields.items())
        missing = f"an event beside this {name}" if side.written else f"a {name} beside this event"
        self._findings.add(Fault(12, None, f"{missing} ({said})", "none"), _subject(followup), side.place)


def _subject(followup: Followup) -> str:
    return str(followup.fields.get("task_id", followup.key))


def _order_of(place: str) -> tuple[str, int]:
    partition, _, offset = place.rpartition("-")
    return partition, int(offset)
