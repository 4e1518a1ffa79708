"""What is read off a node when somebody asks for its metrics: its loop pays nothing for it.

It is read from another thread while the loop goes on, so one number may be a moment older than the next.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from streamsched.domain.task import Task
from streamsched.queries.scaling import scaling
from streamsched.queries.status import state_of
from streamsched.runtime import metrics
from streamsched.runtime.metrics import Gauge, Sample
from streamsched.version import __version__

if TYPE_CHECKING:
    from streamsched.scheduler.node import Scheduler
    from streamsched.worker.node import Worker

NAMES: Final = 100
"""Templates that are told by their names, in the life of a process; the others count as ``other``."""
OTHER: Final = "other"
_LOOKS: Final = 5


class Names:
    """The names that were met first."""

    def __init__(self, limit: int = NAMES) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """Return the name, or ``other`` if there were too many before it."""
        if name not in self._known and len(self._known) < self._limit:
            self._known.add(name)
        return name if name in self._known else OTHER


class Told(NamedTuple):
    """The gauges that tell of tasks: a scheduler's, of those that it decides about, or a server's, of all."""

    tasks: Gauge
    children: Gauge
    work_s: Gauge
    desired_slots: Gauge


OF_SCHEDULER: Final = Told(metrics.TASKS, metrics.CHILDREN, metrics.WORK_SECONDS, metrics.DESIRED_SLOTS)
OF_SERVER: Final = Told(
    metrics.SERVER_TASKS, metrics.SERVER_CHILDREN, metrics.SERVER_WORK_SECONDS, metrics.SERVER_DESIRED_SLOTS
)


class _Beating(Protocol):
    @property
    def loop_age(self) -> float: ...


def of_process() -> Iterator[Sample]:
    """Read what is true of the whole process."""
    yield metrics.BUILD, (__version__,), 1.0


def of_worker(worker: Worker) -> Iterator[Sample]:
    """Read a worker."""
    yield _age(worker.heartbeats, "worker")
    yield metrics.PARTITIONS, ("worker", "ready"), float(worker.owned)


def of_scheduler(scheduler: Scheduler, names: Names, now: Callable[[], int]) -> Iterator[Sample]:
    """Read a scheduler, and the tasks that it decides about."""
    yield _age(scheduler.heartbeats, "scheduler")
    deciding = scheduler.deciding
    yield metrics.PARTITIONS, ("scheduler", "ready"), float(len(deciding))
    yield metrics.PARTITIONS, ("scheduler", "folding"), float(scheduler.folding)
    homes = scheduler.view.homes
    tasks = [task for task in _active(scheduler) if homes.get(task.task_id) in deciding]
    yield from of_tasks(tasks, names, now(), OF_SCHEDULER)


def of_tasks(tasks: Sequence[Task], names: Names, now: int, told: Told) -> Iterator[Sample]:
    """Read tasks that have not ended."""
    for state, number in Tally(map(state_of, tasks)).items():
        yield told.tasks, (state,), float(number)
    for labels, count in _children(tasks, names).items():
        yield told.children, labels, float(count)
    needed = scaling(tasks, now)
    yield told.work_s, (), needed.work_s
    yield told.desired_slots, (), float(needed.desired_slots)


def _children(tasks: Iterable[Task], names: Names) -> Tally[tuple[str, ...]]:
    """Count children as the fold counts them; which of the live ones run would take a walk over all of them."""
    found: Tally[tuple[str, ...]] = Tally()
    for task in tasks:
        name = names.of(task.request.template_name)
        found["waiting", name] += max(0, task.idle)
        found["dispatched", name] += task.live
        found["succeeded", name] += task.succeeded
        found["failed", name] += task.failed
        found["cancelled", name] += task.cancelled
    return found


def _active(scheduler: Scheduler) -> list[Task]:
    for _ in range(_LOOKS):
        try:
            return list(scheduler.view.active.values())
        except RuntimeError:  # the loop added one meanwhile
            continue
    return []


def _age(beating: _Beating, role: str) -> Sample:
    return metrics.LOOP_AGE, (role,), round(beating.loop_age, 3)
