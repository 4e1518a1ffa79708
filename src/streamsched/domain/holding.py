"""What people do to a task that has not ended: hold it, let it go on, end it. Part of the fold."""

from __future__ import annotations

from streamsched.domain import events as e
from streamsched.domain.phases import CLOSING, OPEN, Hold, Phase
from streamsched.domain.task import Task


def cancel_requested(task: Task, event: e.TaskCancelRequested) -> bool:
    """Close a task; ``kill`` raises the level of what still runs, also in a phase that closes."""
    if event.redrive != task.redrive:
        return False
    if task.phase in OPEN:
        task.enter(Phase.CANCELLING)
        task.reason = event.reason
    elif task.phase not in CLOSING or task.kill or not event.kill:
        return False
    task.kill = event.kill
    return True


def paused(task: Task, event: e.TaskPaused) -> bool:
    """Set or clear the hold."""
    hold = Hold.NONE if not event.paused else Hold.NOW if event.now else Hold.FINISH
    if event.redrive != task.redrive or task.phase not in OPEN or task.hold is hold:
        return False
    task.hold, task.hold_reason = hold, event.reason if hold else ""
    return True
