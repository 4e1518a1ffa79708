"""What is wrong with a history, in words: the checker's verdict, and what the product says of its own log."""

from __future__ import annotations

from streamsched.domain.events import ChildCreated
from tests.simulation.checker import check
from tests.simulation.harness import World, fold


def judge(world: World) -> list[str]:
    """Check what is in the log, and that the fold counts as the checker does."""
    created = [event for _, event in world.work() if isinstance(event, ChildCreated)]
    verdict = check(world.journal(), created, world.pending())
    view = fold(world)
    for task_id, completed in verdict.completed.items():
        task = view.task(task_id)
        if task is None or task.succeeded != completed:
            verdict.faults.append(f"{task_id}: the fold counts {task and task.succeeded} successes, not {completed}")
    return verdict.faults
