"""Redrive a task that has ended."""

from __future__ import annotations

from dataclasses import dataclass

from streamsched.commands.request import record_of
from streamsched.domain.errors import Conflict
from streamsched.domain.events import TaskRedriven
from streamsched.domain.phases import Phase
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.installation.writing import write
from streamsched.log.port import PartitionHalted
from streamsched.queries.status import TaskStatus, status_of
from streamsched.queries.tasks import Tasks


class NotRedrivable(Conflict):
    """The task still runs, has nothing to do again, or was changed by another command first. Nothing took effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """A redriven task."""

    status: TaskStatus


def redrive(session: Session, task_id: str, *, everything: bool, restart: bool, reason: str) -> Redriven:
    """Redrive a task. Raise NoSuchTask, NotRedrivable."""
    task = Tasks(session).ended(task_id)
    _check(task, everything=everything)
    number, scope = task.redrive + 1, "all" if everything else "failed"
    event = session.me.sign(
        TaskRedriven, task_id=task_id, redrive=number, scope=scope, restart=restart, origin="", reason=reason
    )
    site, follower, void = session.site, session.follower, task.void
    record, home = record_of(site, event, task_id, task.request.traceparent), site.topics.journal_of(task_id)
    if home.partition in follower.halts:
        raise PartitionHalted(f"nothing was written: {follower.halts[home.partition]}")
    for _, found in follower.seek(home, write(site, record)):
        if getattr(found, "task_id", None) != task_id:
            continue
        task = follower.view.task(task_id) or task
        if found.event_id == event.event_id and task.void > void:
            raise NotRedrivable(
                f"task {task_id!r} was changed by another command meanwhile",
                f"look at 'streamsched status {task_id}', and try again",
            )
        void = task.void
    return Redriven(status=status_of(follower.view.task(task_id) or task))


def _check(task: Task, *, everything: bool) -> None:
    if not task.terminal:
        raise NotRedrivable(
            f"task {task.task_id!r} is {task.phase}: only a task that has ended can be redriven",
            "wait for its end, or cancel it first; where all of its children have ended, a scheduler has to run",
        )
    if task.phase is Phase.REFUSED:
        raise NotRedrivable(
            f"task {task.task_id!r} was refused: {task.reason}", "correct it and submit it under another --task-id"
        )
    if not (everything or task.left_undone):
        raise NotRedrivable(f"task {task.task_id!r} has succeeded: nothing is left to do", "do it all again with --all")
