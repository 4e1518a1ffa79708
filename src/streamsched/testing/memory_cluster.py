"""A whole cluster in this process: real schedulers and workers over a log in memory, on a clock that a test moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Final, Literal, Protocol, Self

from streamsched.commands.request import AnyTemplate, Params
from streamsched.domain.ids import EventIds
from streamsched.domain.options import ReduceInput
from streamsched.domain.routing import EVERYWHERE, Place, read_queue
from streamsched.hosting.lookup import made
from streamsched.log.codec import Codec
from streamsched.log.core import Connection
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Record, TopicMismatch, TopicPartition
from streamsched.log.scan import records
from streamsched.log.topics import Topics
from streamsched.queries.status import ChildStatus, TaskStatus, status_of
from streamsched.runtime.commit_metadata import INITIAL
from streamsched.runtime.eviction import evict
from streamsched.runtime.identity import Identity
from streamsched.scheduler.node import Scheduler
from streamsched.testing.clock import VirtualClock
from streamsched.testing.context import CrashPoint
from streamsched.testing.pool import LocalPool
from streamsched.testing.site import MemoryClient, MemorySite
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker.jobs import Job
from streamsched.worker.node import Worker, WorkerTiming
from streamsched.worker.outlet import Outlet
from streamsched.worker.results import Results, read_results

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
TURN_S: Final = 0.001
"""Virtual seconds that a turn in which something happens takes."""
QUIET_TURNS: Final = 2
"""Turns without anything after which nothing happens before more time has passed."""
LONG_MS: Final = 10**15
"""Nobody is silent for so long: the clock jumps, and a test says who dies."""
TIMING: Final = WorkerTiming(commit=0.0, checkpoint=0.0)


class _Named(Protocol):
    @property
    def task_id(self) -> str: ...


AnyTask = str | _Named
"""A task's id, or what has one, as what ``submit`` returned."""


@dataclass(frozen=True, slots=True)
class _WorkerNode:
    """A worker, and the pool in which its handlers run."""

    name: str
    worker: Worker
    pool: LocalPool


class Cluster:
    """Real schedulers and workers, whose handlers run in this process. Close it, or use it as a context manager.

    Nothing happens between two calls, and time passes only in ``run_until``, ``results``, ``result`` and ``advance``. A
    handler takes no time, but it stands still at each checkpoint, which is durable at once. ``client`` is the real
    client of the cluster, for what has no method here.
    """

    def __init__(self, *, schedulers: int = 1, workers: int = 1, slots: int = 2, start: datetime = START) -> None:
        """Start it.

        Args:
            schedulers: how many there are.
            workers: how many there are at first; 0: tasks wait for ``add_worker``.
            slots: how many children run at once on a worker.
            start: the time at which its clock begins.

        """
        self.clock = VirtualClock(start.timestamp() * 1000)
        self._slots = slots
        self._topics = Topics(event_partitions=2, child_partitions=8)
        self._codec = Codec()
        self._places = [*self._topics.journal(), *self._topics.work_log()]
        self._log = MemoryCluster(clock=self.clock.now, session_timeout=LONG_MS, transaction_timeout=LONG_MS)
        self._born: Counter[str] = Counter()
        self._crashes: dict[tuple[str, int | str], CrashPoint] = {}
        self._jump = TURN_S
        outside, me = self._join("client")
        outside.create_topics(self._topics.specs())
        for group, places in self._topics.groups().items():
            outside.commit_initial(group, places, INITIAL.encode())
        self._outside = outside
        self._site = MemorySite(log=outside, topics=self._topics, codec=self._codec, me=me, pause=self.advance)
        self.client = MemoryClient(self._site)
        self._schedulers = [self._scheduler() for _ in range(schedulers)]
        self._workers: list[_WorkerNode] = []
        for _ in range(workers):
            self.add_worker()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is None and self._crashes:
            task_id, child = next(iter(self._crashes))
            raise AssertionError(f"{task_id}[{child}] was to die, and was never started since")

    def close(self) -> None:
        """End the handlers that run: they die where they stand."""
        while self._workers:
            self._workers.pop().pool.close(0.0)

    # --- tasks ------------------------------------------------------------------------------------------------------

    def submit(self, template: AnyTemplate, params: Params = None, *, task_id: str | None = None) -> str:
        """Request a task, and return its id. A handler of a test itself is ``f"{__name__}:work"`` in a template.

        Raise InputError.
        """
        return self.client.submit(template, params, task_id=task_id).task_id

    def run_until(
        self, task: AnyTask, when: Callable[[TaskStatus], bool] | None = None, *, timeout: float = 86_400.0
    ) -> TaskStatus:
        """Let the cluster work until a task has ended, or until ``when`` is true of its status; return its status.

        ``timeout``: seconds of the cluster's time. Raise NoSuchTask, or TimeoutError, which says why it has not come.
        """
        task_id, deadline = _id_of(task), self.clock.monotonic() + timeout
        while True:
            folded = self.client.find(task_id)
            status = status_of(folded)
            ended = folded.verdict is folded.phase and status.done
            if ended if when is None else when(status):
                return status
            if ended:
                reason = status.reason or "what was waited for never was"
                raise TimeoutError(f"task {task_id!r} is {status.state}: {reason}")
            if self.clock.monotonic() >= deadline:
                reason = f"task {task_id!r} is {status.state} after {timeout:g} s of the cluster's time"
                raise TimeoutError(". ".join(filter(None, (reason, self.client.status(task_id).why))))
            self._pass(deadline)

    def run_until_checkpoint(self, task: AnyTask, number: int = 1, *, child: int = 0) -> TaskStatus:
        """Let the cluster work until a child has taken so many checkpoints, over all its attempts.

        It stands still there: now a worker can die, or the task be cancelled. Raise as ``run_until``.
        """

        def there(_: TaskStatus) -> bool:
            found = next(islice(self.client.children(_id_of(task)), child, None), None)
            return found is not None and found.sequence >= number

        return self.run_until(task, there)

    def results(self, task: AnyTask) -> list[Any]:
        """Run a task to its end, and return the results of its children in order. Raise AssertionError if it fails."""
        self._succeed(task)
        return [child.result for child in self.client.results(_id_of(task))]

    def result(self, task: AnyTask) -> Any:
        """Run a task to its end, and return the result of its reduce. Raise AssertionError if it fails, NoResult."""
        self._succeed(task)
        return self.client.result(_id_of(task))

    def emitted(self, topic: str) -> list[Record]:
        """Return the records that handlers have emitted to a topic, in the order of each partition; none: no topic."""
        log = self._log.connect("test")
        with suppress(TopicMismatch):
            places = [TopicPartition(topic, number) for number in range(log.partitions(topic))]
            return list(records(log, log.start(places), log.end(places)))
        return []

    def children(self, task: AnyTask) -> list[ChildStatus]:
        """Return the statuses of a task's children, in order. ``sequence`` is how often a child has checkpointed."""
        return list(self.client.children(_id_of(task)))

    def _succeed(self, task: AnyTask) -> None:
        status = self.run_until(task)
        if status.state == "succeeded":
            return
        failed = next(self.client.children(status.task_id, "failed"), None)
        trace = "" if failed is None else f"\n{failed.traceback}"
        raise AssertionError(f"task {status.task_id!r} is {status.state}: {status.reason}{trace}")

    # --- what happens to it -----------------------------------------------------------------------------------------

    def crash(self, task: AnyTask, point: CrashPoint, *, child: int | Literal["split", "reduce"] = 0) -> None:
        """Let the next attempt at a child, a split child or the reduce die at this point with its process: it counts.

        What runs the cluster raises AssertionError where an attempt never comes to its point.
        """
        self._crashes[_id_of(task), child] = point

    def kill_worker(self, name: str | None = None) -> str:
        """Kill a worker with all that runs on it, by default the busiest one, and evict it. Return its name."""
        node = self._worker(name)
        self._workers.remove(node)
        node.pool.close(0.0)
        member, writer = node.worker.heartbeats.membership
        evict(
            self._outside, self._outside, self._site.records, node=node.worker.node_id,
            group=self._topics.worker_group, member=member, writer=writer,
        )  # fmt: skip
        return node.name

    def drain_worker(self, name: str | None = None) -> str:
        """Stop a worker, by default the busiest one: what runs there stops at its next checkpoint. Return its name."""
        node = self._worker(name)
        node.worker.drain()
        while not node.worker.stopped:
            self._pass(self.clock.monotonic() + 1)
        self._workers.remove(node)
        node.worker.stop()
        return node.name

    def _worker(self, name: str | None) -> _WorkerNode:
        """Find a worker; by default the busiest one. Raise ValueError."""
        names = [node.name for node in self._workers]
        if not names or (name is not None and name not in names):
            there = f"only {', '.join(names)}" if names else "add_worker() starts one"
            raise ValueError(f"there is no worker {name or 'left'}: {there}")
        return max(self._workers, key=lambda node: (node.name == name, node.pool.busy()))

    def add_worker(
        self, *, slots: int | None = None, modules: Sequence[str] | None = None, queues: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Start a worker, and return its name.

        ``modules``: patterns of what it runs. ``queues`` and ``labels``: as its options say them. By default it runs
        everything.
        """
        place = EVERYWHERE
        if queues or labels is not None:
            place = Place(tuple(map(read_queue, queues)), tuple((labels or {}).items()))
        log, me = self._join("worker")
        outlet = Outlet(
            patterns=["*"], prefix=self._topics.prefix, look=lambda topic: lambda: made(log, topic),
            now=self.clock.monotonic,
        )  # fmt: skip
        pool = LocalPool(
            slots=slots or self._slots, clock=self.clock, crash_of=self._crash_of, results_of=self._results_of,
            open_log=partial(self._log.connect, "executor"), outlet=outlet,
        )  # fmt: skip
        worker = Worker(
            log=log, topics=self._topics, codec=self._codec, pool=pool, me=me, slots=slots or self._slots,
            pause=self.clock.advance, timing=TIMING, modules=modules, outlet=outlet, place=place,
        )  # fmt: skip
        self._workers.append(_WorkerNode(me.name, worker, pool))
        return me.name

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time of the cluster."""
        return datetime.fromtimestamp(self.clock.monotonic(), UTC)

    def advance(self, seconds: float) -> None:
        """Let time pass, and the cluster do what is due meanwhile: schedules fire, what waits to be retried is."""
        deadline = self.clock.monotonic() + seconds
        while self.clock.monotonic() < deadline:
            self._pass(deadline)

    def _pass(self, deadline: float) -> None:
        """Let something happen; where nothing does, let time pass until something is due, or to the deadline."""
        if any(self._turn() for _ in range(QUIET_TURNS)):
            self._jump = TURN_S
            return
        now, left = self.clock.now(), deadline - self.clock.monotonic()
        due = min((scheduler.until_due(now, left) for scheduler in self._schedulers), default=left)
        self._jump *= 2  # nodes have times of their own, as when they look at their group again
        self.clock.advance(max(TURN_S, min(due, self._jump)))
        self._turn()  # nodes beat, so that nobody is silent for long

    def _turn(self) -> bool:
        """Let each node make one step; tell whether anything happened, beside their beats."""
        before = self._written()
        for node in self._workers:
            node.worker.step(0.0)
        for scheduler in self._schedulers:
            scheduler.step(0.0)
        happened = self._written() > before or any(node.pool.busy() for node in self._workers)
        if happened:
            self.clock.advance(TURN_S)
        return happened

    def _written(self) -> int:
        """Count what was ever written to the journal and the work log."""
        return sum(self._log.partitions_by_place[place].end for place in self._places)

    # --- nodes ------------------------------------------------------------------------------------------------------

    def _join(self, role: str) -> tuple[Connection, Identity]:
        self._born[role] += 1
        name = f"{role}-{self._born[role]}"
        return self._log.connect(name), Identity(name, name, self.clock, EventIds(self._born.total().to_bytes(8)))

    def _scheduler(self) -> Scheduler:
        log, me = self._join("scheduler")
        return Scheduler(
            log=log, topics=self._topics, codec=self._codec, view=View(MemoryStore(), self._codec), me=me,
            pause=self.clock.advance,
        )  # fmt: skip

    def _crash_of(self, job: Job, child: int | str) -> CrashPoint | None:
        return self._crashes.pop((job.task_id, child), None)

    def _results_of(self, job: Job, wanted: ReduceInput) -> Results:
        return read_results(
            View(MemoryStore(), self._codec), log=self._outside, topics=self._topics, codec=self._codec,
            task_id=job.task_id, wanted=wanted, alive=lambda: None,
        )  # fmt: skip


def _id_of(task: AnyTask) -> str:
    return task if isinstance(task, str) else task.task_id
