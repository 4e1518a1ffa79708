"""From one stage of a task to the next, and to its closing phase."""

from __future__ import annotations

from streamsched.domain.phases import Phase
from streamsched.domain.policy import RUN_ALL
from streamsched.domain.task import Task


def advance(task: Task, at: int) -> None:
    """Open the next stage where every child of this one has ended, close the task where there is none.

    With every planned child its ending is certain since ``at``. Without a plan it is not: one that is in flight would
    bring children.
    """
    if task.live or task.ended < task.bound or not task.plan:
        return
    policy = task.template.failure
    while task.phase is Phase.RUNNING and task.ended >= task.bound:
        if task.bound == task.work and policy.on == RUN_ALL and policy.exceeded(task.failed, task.work):
            task.enter(Phase.FAILING)
        elif task.bound < task.children:
            task.open_stage()
        else:
            task.enter(Phase.SUCCEEDING)
    if task.ended == task.children and task.finished_at is None:
        task.finished_at = max(at, task.started_at or 0)  # of another node's clock, which may be behind
