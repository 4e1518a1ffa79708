"""From one stage of a task to the next, and to its closing phase; which failures are too many."""

from __future__ import annotations

from streamsched.domain.phases import Phase
from streamsched.domain.policy import RUN_ALL, FailurePolicy
from streamsched.domain.task import Task


def seal(task: Task) -> None:
    """Take in that the split child has found all work children: the reduce has its place, percentages count now."""
    task.children += task.fan_in
    judge_tolerance(task)


def judge_tolerance(task: Task) -> None:
    """Close a running task of which more children have failed than it tolerates now."""
    policy = task.policy
    if task.phase is Phase.RUNNING and _exceeded(task, policy):
        task.reason = task.reason or f"{task.failed:,} of {task.work:,} children failed"
        if policy.on != RUN_ALL:
            task.enter(Phase.FAILING)


def judge_failure(task: Task, child: int, *, fatal: bool) -> None:
    """Close a task in which this child has failed for good, unless that is tolerated: of work children it may be.

    ``fatal``: a failure rule fails the task for it, whatever it tolerates.
    """
    if task.phase is not Phase.RUNNING:
        return
    policy = task.policy
    fatal = fatal or not task.is_work(child)
    if not fatal and not _exceeded(task, policy):
        return
    detail = task.detail(child)
    task.reason = task.reason or f"{task.name_of(child)} failed: {detail.error_type}: {detail.message}"
    if fatal or policy.on != RUN_ALL:
        task.enter(Phase.FAILING)


def advance(task: Task, at: int) -> None:
    """Open the next stage where every child of this one has ended, close the task where there is none.

    With every planned child its ending is certain since ``at``. Without a plan it is not: one that is in flight would
    bring children.
    """
    if task.live or task.ended < task.bound or not task.plan or task.selector is not None:
        return
    while task.phase is Phase.RUNNING and task.ended >= task.bound:
        if not task.sealed or (task.bound >= task.work_end and _too_many(task)):
            task.enter(Phase.FAILING)
        elif task.bound < task.children:
            task.open_stage()
        else:
            task.enter(Phase.SUCCEEDING)
    if task.ended == task.children and task.finished_at is None:
        task.finished_at = max(at, task.started_at or 0)  # of another node's clock, which may be behind


def _exceeded(task: Task, policy: FailurePolicy) -> bool:
    """Judge the failures so far; percentages count once all work children are known."""
    return policy.exceeded(task.failed - task.left_failed, task.work if task.sealed else 0)


def _too_many(task: Task) -> bool:
    """Judge all failures at the end of a stage: those of ``run_all``, and those that a selector left out.

    The end of the reduce judges again: less may be tolerated than when it began.
    """
    policy, out = task.policy, task.left_failed + task.left_cancelled
    if (policy.on != RUN_ALL and not out) or not policy.exceeded(task.failed + task.left_cancelled, task.work):
        return False
    if out:
        failed = task.failed + task.left_cancelled
        told = f"{failed:,} of {task.work:,} children did not succeed, {out:,} of them were left out of the redrive"
        task.reason = task.reason or told
    return True
