"""Pause a task, and resume it."""

from __future__ import annotations

from streamsched.commands.effect import overtaken, take_effect
from streamsched.domain.errors import Conflict
from streamsched.domain.events import TaskPaused
from streamsched.domain.phases import OPEN, Hold
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.queries.status import TaskStatus, status_of
from streamsched.queries.tasks import Tasks


class NotHoldable(Conflict):
    """The task can be neither paused nor resumed in its state. Nothing took effect."""


def pause(session: Session, task_id: str, *, now: bool, reason: str) -> TaskStatus:
    """Hold a task: nothing of it is dispatched, and what waits at workers comes back. Raise NoSuchTask, NotHoldable.

    With ``now`` running children come back too, at their next checkpoint. A task that is held so already is left as it
    is. Returns its status after that.
    """
    return _hold(session, task_id, Hold.NOW if now else Hold.FINISH, reason)


def resume(session: Session, task_id: str, *, reason: str) -> TaskStatus:
    """End the hold of a task, if there is one; returns its status after that. Raise NoSuchTask, NotHoldable."""
    return _hold(session, task_id, Hold.NONE, reason)


def check(session: Session, task_id: str, *, pausing: bool) -> Task:
    """Return a task that may be paused, or resumed; nothing is written. Raise NoSuchTask, NotHoldable."""
    task = Tasks(session).find(task_id)
    _check(task, Hold.FINISH if pausing else Hold.NONE)
    return task


def _hold(session: Session, task_id: str, hold: Hold, reason: str) -> TaskStatus:
    task = Tasks(session).find(task_id)
    _check(task, hold)
    if task.hold is hold:
        return status_of(task)
    event = session.me.sign(
        TaskPaused, task_id=task_id, redrive=task.redrive, paused=hold is not Hold.NONE, now=hold is Hold.NOW,
        reason=reason or f"{'paused' if hold else 'resumed'} by {session.me.name}",
    )  # fmt: skip
    task, did = take_effect(session, task, event)
    if not did and task.hold is not hold:
        _check(task, hold)
        raise NotHoldable(*overtaken(task_id))
    return status_of(task)


def _check(task: Task, hold: Hold) -> None:
    if task.phase not in OPEN:
        did, remedy = "paused" if hold else "resumed", "nothing of it will be dispatched any more"
        if task.terminal:
            remedy = f"'streamsched redrive {task.task_id}' runs what did not succeed again"
        reason = f"task {task.task_id!r} is {task.phase}: only one that is {', '.join(sorted(OPEN))} can be {did}"
        raise NotHoldable(reason, remedy)
