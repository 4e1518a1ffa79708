"""From one stage of a task to the next, and to its closing phase; which failures are too many."""

from __future__ import annotations

from streamsched.domain.phases import Phase
from streamsched.domain.policy import RUN_ALL
from streamsched.domain.task import Task


def seal(task: Task) -> None:
    """Take in that the split child has found all work children: the reduce has its place, percentages count now."""
    task.children += task.fan_in
    policy = task.template.failure
    if task.phase is Phase.RUNNING and policy.exceeded(task.failed, task.work):
        task.reason = task.reason or f"{task.failed:,} of {task.work:,} children failed"
        if policy.on != RUN_ALL:
            task.enter(Phase.FAILING)


def judge_failure(task: Task, child: int) -> None:
    """Close a task in which this child has failed for good, unless that is tolerated: of work children it may be."""
    if task.phase is not Phase.RUNNING:
        return
    policy, is_work = task.template.failure, task.split <= child < task.work_end
    if is_work and not policy.exceeded(task.failed, task.work if task.sealed else 0):
        return
    detail = task.detail(child)
    task.reason = task.reason or f"{task.name_of(child)} failed: {detail.error_type}: {detail.message}"
    if not is_work or policy.on != RUN_ALL:
        task.enter(Phase.FAILING)


def advance(task: Task, at: int) -> None:
    """Open the next stage where every child of this one has ended, close the task where there is none.

    With every planned child its ending is certain since ``at``. Without a plan it is not: one that is in flight would
    bring children.
    """
    if task.live or task.ended < task.bound or not task.plan:
        return
    policy = task.template.failure
    while task.phase is Phase.RUNNING and task.ended >= task.bound:
        if not task.sealed or (
            task.bound == task.work_end and policy.on == RUN_ALL and policy.exceeded(task.failed, task.work)
        ):
            task.enter(Phase.FAILING)
        elif task.bound < task.children:
            task.open_stage()
        else:
            task.enter(Phase.SUCCEEDING)
    if task.ended == task.children and task.finished_at is None:
        task.finished_at = max(at, task.started_at or 0)  # of another node's clock, which may be behind
