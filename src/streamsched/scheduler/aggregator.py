"""Events that lead a closing task to its one terminal event. ``evolve`` adds up the outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.evolve import ENDS
from streamsched.domain.phases import Told
from streamsched.domain.task import Task
from streamsched.runtime.identity import Identity

RANGES: Final = 5_000
"""Ranges in one decision, so that its record stays far below the limit of a topic."""
REASON_LIMIT: Final = 16_000
"""Characters of a reason: it may quote a child's error, and one decision repeats it for each partition."""
_EVENTS: Final = {phase: event for event, phase in ENDS.items()}


def time_out(task: Task, me: Identity, basis: int) -> e.TimerFired:
    """Tell that the limits of time are over up to the one that is due."""
    return me.sign(e.TimerFired, task_id=task.task_id, due=task.limits.deadline, basis=basis)


def stop(task: Task, me: Identity, basis: int) -> e.ChildrenStopping:
    """Tell the live children that were told less than is wanted of them."""
    level = task.wanted
    releases = tuple(islice(_told_less(task, level), RANGES))
    reason = (task.hold_reason if task.hold else task.reason)[:REASON_LIMIT] or task.phase
    return me.sign(
        e.ChildrenStopping, task_id=task.task_id, releases=releases, reason=reason, basis=basis, mode=level.name.lower()
    )


def cancel_rest(task: Task, me: Identity, basis: int) -> e.ChildrenCancelled:
    """End the children that are neither live nor ended."""
    spans = tuple(islice(task.idle_spans(), RANGES))
    return me.sign(e.ChildrenCancelled, task_id=task.task_id, spans=spans, reason=task.phase, basis=basis)


def end(task: Task, me: Identity, basis: int) -> e.Event:
    """Write the terminal event."""
    reason = task.reason[:REASON_LIMIT]
    return me.sign(_EVENTS[task.phase], task_id=task.task_id, redrive=task.redrive, reason=reason, basis=basis)


def _told_less(task: Task, level: Told) -> Iterator[e.Release]:
    """Yield the live children that were told less than this, as ranges of equal ordinal and partition."""
    current: e.Release | None = None
    for child in task.live_children():
        if task.told_of(child) >= level:
            continue
        ordinal, partition = task.ordinal_of(child), task.partition_of(child)
        if current and (current.last + 1, current.ordinal, current.partition) == (child, ordinal, partition):
            current = e.Release(current.first, child, ordinal, partition)
        else:
            if current:
                yield current
            current = e.Release(child, child, ordinal, partition)
    if current:
        yield current
