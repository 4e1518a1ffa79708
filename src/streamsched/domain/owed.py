"""``owed``: which decision a task still owes, by its state alone, never by the event that changed it.

Reading the decision back clears it, so a decision that was lost (a crash, an abort, a takeover) is simply owed
again. The table, phase by phase::

    requested, planning   PLAN
    running               DISPATCH   while a child of the open stage was never dispatched, or one is due again
    closing               STOP       while a live child has not been told to stop
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
    DISPATCH = auto()
    STOP = auto()
    CANCEL = auto()
    END = auto()


def owed(task: Task, now: int) -> Action | None:
    """Return the decision that the task owes at this time, or None. Costs the same whatever the task's size."""
    if task.phase in (Phase.REQUESTED, Phase.PLANNING):
        return Action.PLAN
    if task.phase is Phase.RUNNING:
        due = task.next_due()
        return Action.DISPATCH if task.first_undispatched < task.bound or (due is not None and due <= now) else None
    if task.phase in CLOSING:
        if task.live > task.stopping:
            return Action.STOP
        if task.idle:
            return Action.CANCEL
        return Action.END if task.live == 0 else None
    return None
