"""How many slots would do what is left in a given time: what an autoscaler sets the number of workers by.

Work is children that could run now, by the mean length of those of their task that have ended. A task never counts for
more slots than its children could use: those that can run, its parallelism, and what its rate lets through.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Final

from streamsched.domain.fairness import UNMEASURED_MS
from streamsched.domain.phases import Phase
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.queries.documents import Document

TARGET_S: Final = 300.0
_ROUNDING: Final = 1e-9
_UNPLANNED: Final = (Phase.REQUESTED, Phase.PLANNING)


class Scaling(Document, frozen=True):
    """``desired_slots`` do ``work_s`` seconds of work in ``target_s``; 0 where none of the children could run."""

    desired_slots: int
    runnable: int
    """Children that run or could run now."""
    work_s: float
    target_s: float


def scaling_of(session: Session, target_s: float = TARGET_S, queue: str | None = None) -> Scaling:
    """Return what an installation needs; ``queue``: for the tasks of one queue, empty for those that name none."""
    view = session.folded(session.site.topics.journal())
    tasks = [task for task in view.active.values() if queue is None or task.template.queue == queue]
    return scaling(tasks, session.site.clock.now(), target_s)


def scaling(tasks: Iterable[Task], now: int, target_s: float = TARGET_S) -> Scaling:
    """Return what these tasks need, which have not ended. It changes nothing, and may look on while others fold."""
    slots = work_ms = 0.0
    runnable = 0
    for task in tasks:
        children, length = runnable_of(task, now), length_of(task, now)
        runnable += children
        work_ms += children * length
        slots += min(children * length / 1000 / target_s, _most(task, children, length))
    least = min(1, runnable)
    return Scaling(max(least, ceil(slots - _ROUNDING)), runnable, round(work_ms / 1000, 3), target_s)


def runnable_of(task: Task, now: int) -> int:
    """Return how many of its children run or could run now; of a task without a plan, one."""
    if task.hold or task.selector is not None:
        return task.live
    if task.phase in _UNPLANNED:
        return max(1, task.live)
    if task.phase is not Phase.RUNNING:
        return task.live
    due = sum(at <= now for at, _ in list(task.due)) + sum(list(task.again.values()))
    return task.live + min(task.idle, max(0, task.bound - task.first_undispatched) + due)


def length_of(task: Task, now: int) -> float:
    """Return how long one of its children runs, in milliseconds: the mean.

    Before one has ended, as long as they have been running: so many slots are asked for slowly, and not too few for
    ever.
    """
    if task.measured:
        return max(1.0, task.busy_ms / task.measured)
    running = now - task.started_at if task.live and task.started_at is not None else 0
    return float(max(UNMEASURED_MS, running))


def _most(task: Task, children: int, length: float) -> int:
    """Return how many slots its children could use."""
    limits = task.limits
    if task.bound > task.work_end:  # a reduce is limited by nothing
        return children
    most = min(children, limits.parallelism or children)
    if limits.rate.count:
        most = min(most, max(1, ceil(limits.rate.count * length / limits.rate.period)))
    return most
