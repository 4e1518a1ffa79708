"""Both sides of a tick, wherever they stand: fired and requested, ended and told of. What has both is forgotten.

::

    schedule's partition            task's partition
    TicksDecided: fired     ◀────▶  TaskRequested
    TickEnded               ◀────▶  TaskSucceeded | TaskFailed | TaskCancelled | TaskRefused
"""

from __future__ import annotations

from typing import Final, NamedTuple

from streamsched.audit.report import Fault, Findings
from streamsched.domain import events as e
from streamsched.domain.tick import OUTCOMES, schedule_of, tick_id

_MISSING: Final = {
    "fired": ("a TaskRequested for the tick that fired", "none"),
    "requested": ("a fired tick for this TaskRequested", "none"),
    "ended": ("a TickEnded for the end of this task", "none"),
    "told": ("a task that has ended", "a TickEnded"),
}


class Side(NamedTuple):
    """One side of a tick, and where it stands."""

    side: str
    place: str
    detail: str
    """What both sides have to say alike."""


class Ledger:
    """Matches the two sides of every tick over all partitions."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._alone: dict[tuple[str, bool], Side] = {}

    def decided(self, event: e.TicksDecided, place: str) -> None:
        """Note which ticks have fired."""
        for run in event.ticks:
            if run.outcome == "fired":
                task_id = tick_id(event.schedule_id, run.kind, run.first)
                self._meet(task_id, Side("fired", place, ""))

    def told(self, event: e.TickEnded, place: str) -> None:
        """Note that a schedule was told of the end of a task."""
        self._meet(event.task_id, Side("told", place, event.outcome))

    def task(self, event: e.Event, place: str) -> None:
        """Note the beginning or the end of a task, where it is that of a tick."""
        outcome = OUTCOMES.get(type(event))
        if outcome is None and type(event) is not e.TaskRequested:
            return
        task_id: str = event.task_id  # type: ignore[attr-defined]
        schedule_id = schedule_of(task_id) if "@" in task_id else None
        if schedule_id is None:
            return
        if outcome is not None:
            self._meet(task_id, Side("ended", place, outcome))
        elif event.origin == f"schedule {schedule_id}":  # type: ignore[attr-defined]
            self._meet(task_id, Side("requested", place, ""))

    def alone(self) -> set[tuple[str, Side]]:
        """List what misses its other side now."""
        return {(task_id, side) for (task_id, _), side in self._alone.items()}

    def close(self, before: set[tuple[str, Side]]) -> None:
        """Report what missed its other side already when all that had been committed was read once more."""
        for task_id, side in sorted(self.alone() & before, key=lambda each: (each[1].place, each[0])):
            self._tell(task_id, side)

    def _meet(self, task_id: str, side: Side) -> None:
        key = task_id, side.side in ("fired", "requested")
        other = self._alone.pop(key, None)
        if other is None:
            self._alone[key] = side
        elif other.side == side.side:
            self._alone[key] = other
            self._tell(task_id, side)
        elif other.detail != side.detail:
            told = side if side.side == "told" else other
            ended = other if told is side else side
            self._findings.add(Fault(12, None, f"a TickEnded with {ended.detail}", told.detail), task_id, told.place)

    def _tell(self, task_id: str, side: Side) -> None:
        self._findings.add(Fault(12, None, *_MISSING[side.side]), task_id, side.place)
