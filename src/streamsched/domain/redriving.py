"""A redrive: which children of a task that has ended run again, from where, and which are held for later stages."""

from __future__ import annotations

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.phases import ENDED, ChildState, Phase
from streamsched.domain.stages import advance
from streamsched.domain.task import Task


def redriven(task: Task, event: e.TaskRedriven) -> bool:
    """Revive an ended task; ``details`` must have those of its split child and its reduce.

    A plan is made once: a split child that has succeeded is left as it is, any other goes on from its last page.
    With a selector no work child is revived yet: ``selected`` does so.
    """
    if event.selector is not None and not task.work:
        return False
    everything = event.scope == "all"
    if event.redrive != task.redrive + 1 or not (task.left_undone or (everything and task.phase is Phase.SUCCEEDED)):
        return False
    if _is_used_up(task, everything=everything, selects=event.selector is not None):
        return False
    tolerated = task.phase is Phase.SUCCEEDED
    task.redrive = event.redrive
    task.reopened = False
    task.reason = ""
    task.finished_at = None
    task.limits = replace(task.limits, deadline=0)  # else it would fail at once
    task.enter(Phase.RUNNING if task.plan else Phase.REQUESTED)
    task.due.clear()  # nothing waits for what it waited for before
    task.restart, task.everything, task.bound = event.restart, everything, task.work_end
    if event.selector is not None:
        task.pad_tail(task.work_end)
    task.revive_tail()
    anew = event.selector is not None  # whether work children are done again, so that the reduce reads other results
    every = range(task.cells)
    for child in every if event.selector is None else (*every[: task.split], *every[task.work_end :]):
        state, is_work = task.state_of(child), task.split <= child < task.work_end
        outdated = anew and child >= task.work_end
        if not (outdated or is_redone(task, child, everything=everything)):
            continue
        _uncount(task, state)
        if is_work:
            task.revive(child)
            anew = True
        else:
            restart = event.restart or outdated or state is ChildState.SUCCEEDED
            task.do_again(child, restart=restart and child >= task.work_end)
    task.left_failed = task.left_cancelled = 0
    if event.selector is not None:
        task.selector, task.cursor, task.select_end = event.selector, int(task.split), task.work_end
        task.left_failed, task.left_cancelled = task.failed, 0 if tolerated else task.cancelled
    task.marks = [[event.at, task.ended]] if task.plan else []
    advance(task, event.at)
    return True


def selected(task: Task, event: e.ChildrenSelected) -> bool:
    """Revive the children of these spans; with the last ones the selection is over, and stages open again."""
    if task.selector is None or event.redrive != task.redrive or not task.cursor < event.upto <= task.select_end:
        return False
    for span in event.spans:
        for child in range(max(span.first, task.cursor), min(span.last + 1, event.upto)):
            if is_selectable(task, child):
                state = task.state_of(child)
                _uncount(task, state)
                task.left_failed -= state is ChildState.FAILED
                task.left_cancelled -= state is ChildState.CANCELLED and task.left_cancelled > 0
                task.revive(child)
    task.cursor = event.upto
    if task.cursor == task.select_end:
        task.selector = None
        task.marks = [[event.at, task.ended]]
        advance(task, event.at)
    return True


def is_selectable(task: Task, child: int) -> bool:
    """Return whether a work child has ended, and can run again in this redrive."""
    return task.state_of(child) in ENDED and is_redone(task, child, everything=task.everything)


def _uncount(task: Task, state: ChildState) -> None:
    task.succeeded -= state is ChildState.SUCCEEDED
    task.failed -= state is ChildState.FAILED
    task.cancelled -= state is ChildState.CANCELLED


def is_redone(task: Task, child: int, *, everything: bool) -> bool:
    """Return whether a redrive has a child done again, by its own state."""
    everything = everything and not (task.split and not child)
    return task.ordinal_of(child) < LAST_ORDINAL and (everything or task.state_of(child) is not ChildState.SUCCEEDED)


def _is_used_up(task: Task, *, everything: bool, selects: bool) -> bool:
    """Return whether a split child or a reduce that would have to run again cannot be dispatched any more."""
    if task.split and not task.sealed and task.ordinal_of(0) == LAST_ORDINAL:
        return True
    return any(
        task.ordinal_of(reduce) == LAST_ORDINAL
        and (
            everything
            or selects
            or task.state_of(reduce) is not ChildState.SUCCEEDED
            or any(is_redone(task, child, everything=everything) for child in range(task.split, task.work_end))
        )
        for reduce in range(task.work_end, task.cells)
    )
