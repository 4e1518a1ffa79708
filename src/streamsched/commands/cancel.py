"""Cancel a task."""

from __future__ import annotations

from streamsched.commands.request import record_of
from streamsched.domain.events import TaskCancelRequested
from streamsched.installation.session import Session
from streamsched.installation.writing import write
from streamsched.queries.status import TaskStatus, status_of
from streamsched.queries.tasks import Tasks


def cancel(session: Session, task_id: str, reason: str, *, kill: bool = False) -> TaskStatus:
    """Request the cancellation of a task, unless it has ended; returns its status before that. Raise NoSuchTask.

    With ``kill`` its running children have no moment to stop, also where it is closing already.
    """
    task = Tasks(session).find(task_id)
    status = status_of(task)
    if not status.done:
        reason = reason or f"{'terminated' if kill else 'cancelled'} by {session.me.name}"
        event = session.me.sign(
            TaskCancelRequested, task_id=task_id, redrive=task.redrive, reason=reason, kill=kill
        )  # fmt: skip
        write(session.site, record_of(session.site, event, task_id, task.request.traceparent))
    return status
