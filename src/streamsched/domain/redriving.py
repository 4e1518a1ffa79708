"""A redrive: which children of a task that has ended run again, from where, and which are held for later stages."""

from __future__ import annotations

from streamsched.domain import events as e
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.stages import advance
from streamsched.domain.task import Task


def redriven(task: Task, event: e.TaskRedriven) -> bool:
    """Revive an ended task; ``details`` must have the details of the children that run again.

    A plan is made once: a split child that has succeeded is left as it is, any other goes on from its last page.
    """
    everything = event.scope == "all"
    if event.redrive != task.redrive + 1 or not (task.left_undone or (everything and task.phase is Phase.SUCCEEDED)):
        return False
    if _is_used_up(task, everything=everything):
        return False
    task.redrive = event.redrive
    task.reopened = False
    task.reason = ""
    task.finished_at = None
    task.enter(Phase.RUNNING if task.plan else Phase.REQUESTED)
    task.revive_tail()
    task.due.clear()  # nothing waits for what it waited for before
    anew = False  # whether a work child is done again, so that the reduce will read other results
    for child in range(task.cells):
        state, outdated = task.state_of(child), anew and child >= task.work_end
        if not (outdated or _is_redone(task, child, everything=everything)):
            continue
        splits = task.split and not child
        restart = event.restart or outdated or state is ChildState.SUCCEEDED
        task.do_again(child, restart=restart and not splits)
        task.succeeded -= state is ChildState.SUCCEEDED
        task.failed -= state is ChildState.FAILED
        task.cancelled -= state is ChildState.CANCELLED
        anew = anew or (child < task.work_end and not splits)
    task.bound = task.work_end
    advance(task, event.at)
    return True


def _is_redone(task: Task, child: int, *, everything: bool) -> bool:
    """Return whether a redrive has a child done again, by its own state."""
    everything = everything and not (task.split and not child)
    return task.ordinal_of(child) < LAST_ORDINAL and (everything or task.state_of(child) is not ChildState.SUCCEEDED)


def _is_used_up(task: Task, *, everything: bool) -> bool:
    """Return whether a split child or a reduce that would have to run again cannot be dispatched any more."""
    if task.split and not task.sealed and task.ordinal_of(0) == LAST_ORDINAL:
        return True
    return any(
        task.ordinal_of(reduce) == LAST_ORDINAL
        and (
            everything
            or task.state_of(reduce) is not ChildState.SUCCEEDED
            or any(_is_redone(task, child, everything=everything) for child in range(task.split, task.work_end))
        )
        for reduce in range(task.work_end, task.cells)
    )
