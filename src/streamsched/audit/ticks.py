"""Both sides of a tick, wherever they stand: asked for and begun, ended and told of. What has both is forgotten.

::

    schedule's partition            task's partition
    TicksDecided: fired     ◀────▶  TaskRequested
    BackfillDecided: fired  ◀────▶  TaskRequested
           ... redriven     ◀────▶  TaskRedriven
    TickReopened            ◀────▶  the first ChildrenDispatched of a redrive
    TickEnded               ◀────▶  TaskSucceeded | TaskFailed | TaskCancelled | TaskRefused
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from streamsched.audit.report import Fault, Findings
from streamsched.domain import events as e
from streamsched.domain.task import Task
from streamsched.domain.tick import OUTCOMES, origin_of, schedule_of, tick_id

_MISSING: Final = {
    "fired": ("a TaskRequested for the tick that fired", "none"),
    "requested": ("a fired tick for this TaskRequested", "none"),
    "redriven": ("a TaskRedriven for the tick that is redriven", "none"),
    "asked": ("a decision of its backfill for this TaskRedriven", "none"),
    "reopened": ("a TickReopened for the first dispatch of this redrive", "none"),
    "told of": ("a dispatch in a redrive of the task", "a TickReopened"),
    "ended": ("a TickEnded for the end of this task", "none"),
    "told": ("a task that has ended", "a TickEnded"),
}
_PAIRS: Final = (("fired", "requested"), ("redriven", "asked"), ("told of", "reopened"), ("told", "ended"))
"""What stands in the partition of a schedule, and in that of its task."""
_PAIR_OF: Final = {side: number for number, pair in enumerate(_PAIRS) for side in pair}
REFUSED: Final = -1
"""In the place of a redrive: a task is refused once, and its refusal does not say in which."""
Key = tuple[str, int, int]
"""A task, what both sides tell of it, and in which redrive."""


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
        self._alone: dict[Key, Side] = {}

    # --- the schedule's side ----------------------------------------------------------------------------------------

    def decided(self, event: e.TicksDecided, place: str) -> None:
        """Note which ticks have fired."""
        for run in event.ticks:
            if run.outcome == "fired":
                task_id = tick_id(event.schedule_id, run.kind, run.first)
                self._meet(task_id, 0, Side("fired", place, origin_of(event.schedule_id)))

    def refilled(self, event: e.BackfillDecided, place: str) -> None:
        """Note which ticks a backfill has fired, and which tasks it lets go on."""
        origin = origin_of(event.schedule_id, event.backfill)
        for run in event.ticks:
            if run.outcome in ("fired", "redriven"):
                self._meet(tick_id(event.schedule_id, "tick", run.first), run.redrive, Side(run.outcome, place, origin))

    def told(self, event: e.TickEnded, place: str) -> None:
        """Note that a schedule was told of the end of a task."""
        redrive = REFUSED if event.outcome == OUTCOMES[e.TaskRefused] else event.redrive
        self._meet(event.task_id, redrive, Side("told", place, event.outcome))

    def told_reopened(self, event: e.TickReopened, place: str) -> None:
        """Note that a schedule was told that a task goes on."""
        self._meet(event.task_id, event.redrive, Side("told of", place, ""))

    # --- the task's side --------------------------------------------------------------------------------------------

    def task(self, event: e.Event, place: str) -> None:
        """Note the beginning or the end of a task, where it is that of a tick."""
        task_id: str = getattr(event, "task_id", "")
        schedule_id = schedule_of(task_id) if "@" in task_id else None
        if schedule_id is None:
            return
        if isinstance(event, e.TaskRequested):
            if event.origin.startswith(origin_of(schedule_id)):
                self._meet(task_id, 0, Side("requested", place, event.origin))
        elif isinstance(event, e.TaskRedriven):
            if event.origin:
                self._meet(task_id, event.redrive, Side("asked", place, event.origin))
        elif (outcome := OUTCOMES.get(type(event))) is not None:
            self._meet(task_id, getattr(event, "redrive", REFUSED), Side("ended", place, outcome))

    def reopened(self, task: Task, place: str) -> None:
        """Note the first dispatch of a redrive."""
        if schedule_of(task.task_id) is not None:
            self._meet(task.task_id, task.redrive, Side("reopened", place, ""))

    # --- both -------------------------------------------------------------------------------------------------------

    def alone(self) -> set[tuple[Key, Side]]:
        """List what misses its other side now."""
        return set(self._alone.items())

    def close(self, before: set[tuple[Key, Side]], unknown: Collection[str]) -> None:
        """Report what missed its other side already when all that had been committed was read once more.

        Nothing is said of tasks that are ``unknown``.
        """
        left = (self.alone() & before) - {entry for entry in before if entry[0][0] in unknown}
        for (task_id, _, _), side in sorted(left, key=lambda each: (_order_of(each[1].place), each[0])):
            self._tell(task_id, side)

    def _meet(self, task_id: str, redrive: int, side: Side) -> None:
        key = (task_id, _PAIR_OF[side.side], redrive)
        other = self._alone.pop(key, None)
        if other is None:
            self._alone[key] = side
        elif other.side == side.side:
            self._alone[key] = other
            self._tell(task_id, side)
        elif other.detail != side.detail:
            told, done = (side, other) if side.side == _PAIRS[key[1]][0] else (other, side)
            expected = f"the same as at {done.place}: {done.detail}"
            self._findings.add(Fault(12, None, expected, told.detail), task_id, told.place)

    def _tell(self, task_id: str, side: Side) -> None:
        self._findings.add(Fault(12, None, *_MISSING[side.side]), task_id, side.place)


def _order_of(place: str) -> tuple[str, int]:
    """Sort the places of a partition by their offsets as numbers."""
    partition, _, offset = place.rpartition("-")
    return partition, int(offset)
