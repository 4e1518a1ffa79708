"""Write an event about a task, and find out what it did."""

from __future__ import annotations

from streamsched.commands.request import record_of
from streamsched.domain.events import OfTask
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.installation.writing import write
from streamsched.log.port import PartitionHalted


def overtaken(task_id: str) -> tuple[str, str]:
    """Return why a command had no effect that was possible when it was given, and what to do."""
    return f"task {task_id!r} was changed by another command meanwhile", (
        f"look at 'streamsched status {task_id}', and try again"
    )


def take_effect(session: Session, task: Task, event: OfTask) -> tuple[Task, bool]:
    """Write an event; return the task once it was folded, and whether it had an effect. Raise PartitionHalted."""
    site, follower, void = session.site, session.follower, task.void
    home, did = site.topics.journal_of(task.task_id), True
    record = record_of(site, event, task.task_id, task.request.traceparent)
    if home.partition in follower.halts:
        raise PartitionHalted(f"nothing was written: {follower.halts[home.partition]}")
    for _, found in follower.seek(home, write(site, record)):
        if getattr(found, "task_id", None) != task.task_id:
            continue
        task = follower.view.task(task.task_id) or task
        if found.event_id == event.event_id:
            did = task.void == void
        void = task.void
    return follower.view.task(task.task_id) or task, did
