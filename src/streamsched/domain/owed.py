"""``owed``: which decision a task still owes, by its state alone, never by the event that changed it.

Reading the decision back clears it, so a decision that was lost (a crash, an abort, a takeover) is simply owed
again. The table, phase by phase::

    requested, planning   PLAN
    running               TIME       once its deadline has passed, also while it is paused
                          STOP       while it is paused, and a live child was told less than that
                          SELECT     while its redrive's selector has not judged every child
                          DISPATCH   while a child of the open stage was never dispatched, or one is due again,
                                     it is not paused, and its parallelism and rate leave room
    closing               STOP       while a live child was told less than to end, or to be killed
                          CANCEL     while a child is neither live nor ended
                          END        once every planned child has an ending
"""

from __future__ import annotations

from enum import Enum, auto

from streamsched.domain.phases import CLOSING, Phase
from streamsched.domain.task import Task


class Action(Enum):
    """What a task may owe: a kind of decision."""

    PLAN = auto()
    TIME = auto()
    SELECT = auto()
    DISPATCH = auto()
    STOP = auto()
    CANCEL = auto()
    END = auto()


def owed(task: Task, now: int) -> Action | None:
    """Return the decision that the task owes at this time, or None. Costs the same whatever the task's size."""
    if task.phase in (Phase.REQUESTED, Phase.PLANNING):
        return Action.PLAN
    if task.phase is Phase.RUNNING:
        if task.limits.deadline and task.limits.deadline <= now:
            return Action.TIME
        if task.hold and task.live > task.told[task.hold]:
            return Action.STOP
        if task.selector is not None:
            return Action.SELECT
        return Action.DISPATCH if not task.hold and _waits(task, now) and task.room(now) > 0 else None
    if task.phase in CLOSING:
        if task.live > task.told[task.wanted]:
            return Action.STOP
        if task.idle:
            return Action.CANCEL
        return Action.END if task.live == 0 else None
    return None


def next_look(task: Task, now: int) -> int | None:
    """Return when a task may owe something by time alone, later than ``now``; None: never."""
    times = []
    if task.phase is Phase.RUNNING:
        times.append(task.limits.deadline)
        if not task.hold:
            times.append(task.next_due())
            times.append(task.limits.next_token(now) if _waits(task, now) else None)
    return min((time for time in times if time is not None and time > now), default=None)


def _waits(task: Task, now: int) -> bool:
    due = task.next_due()
    return task.first_undispatched < task.bound or (due is not None and due <= now)
