"""Letting a task that has ended go on: a fact in the journal, and whether it took effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamsched.commands.request import record_of
from streamsched.domain.errors import Conflict
from streamsched.domain.events import TaskRedriven
from streamsched.domain.phases import Phase
from streamsched.domain.task import Task
from streamsched.installation.site import Installation
from streamsched.installation.writing import write
from streamsched.log.port import PartitionHalted
from streamsched.queries.status import TaskStatus, status_of
from streamsched.runtime.identity import Identity
from streamsched.view.follow import Follower


class NotRedrivable(Conflict):
    """The task runs, has nothing to do again, or somebody else was quicker: nothing came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """A task that goes on."""

    status: TaskStatus


def redrive(
    site: Installation,
    me: Identity,
    following: Callable[[], Follower],
    task: Task,
    *,
    everything: bool,
    restart: bool,
    reason: str,
) -> Redriven:
    """Let a task go on. Raise NotRedrivable."""
    _check(task, everything=everything)
    task_id, number = task.task_id, task.redrive + 1
    event = me.sign(
        TaskRedriven,
        task_id=task_id,
        redrive=number,
        scope="all" if everything else "failed",
        restart=restart,
        origin="",
        reason=reason,
    )
    record = record_of(site, event, task_id, task.request.traceparent)
    void, follower, home = task.void, following(), site.topics.journal_of(task_id)
    if home.partition in follower.halts:
        raise PartitionHalted(f"nothing was written: {follower.halts[home.partition]}")
    for _, found in follower.seek(home, write(site, record)):
        if getattr(found, "task_id", None) != task_id:
            continue
        task = follower.view.task(task_id) or task
        if found.event_id == event.event_id and task.void > void:
            raise NotRedrivable(
                f"somebody else changed task {task_id!r} meanwhile",
                f"look at 'streamsched status {task_id}', and do it again",
            )
        void = task.void
    return Redriven(status=status_of(follower.view.task(task_id) or task))


def _check(task: Task, *, everything: bool) -> None:
    if not task.terminal:
        raise NotRedrivable(
            f"task {task.task_id!r} is {task.phase}: only a task that has ended is redriven",
            "wait for its end, or cancel it first",
        )
    if task.phase is Phase.REFUSED:
        raise NotRedrivable(
            f"task {task.task_id!r} was refused: {task.reason}", "submit what is right under another --task-id"
        )
    if not (everything or task.left_undone):
        raise NotRedrivable(f"task {task.task_id!r} has succeeded: nothing is left to do", "do it all again with --all")
