"""Drain and hand-over over the memory log: each child continues elsewhere as soon as it stops, and nothing is burnt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest

from streamsched.domain import events as e
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.template import ChildSpec, RetryPolicy, Template
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.commit_metadata import INITIAL
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.node import Scheduler
from streamsched.testing.clock import VirtualClock
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker import jobs
from streamsched.worker.node import Worker, WorkerTiming

CODEC = Codec()
TOPICS = Topics(event_partitions=1, child_partitions=4)
RECORDS = Records(CODEC, TOPICS)
TIMING = WorkerTiming(hand_over=5.0, drain=10.0)


class HeldPool:
    """Runs what it is given until the test says what became of it; a stop that runs out kills."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.jobs: dict[int, jobs.Job] = {}
        self.stops: dict[int, float] = {}
        self.news: list[jobs.News] = []
        self.while_waiting: Callable[[], None] = lambda: None

    def room(self) -> int:
        return max(0, 4 - len(self.jobs))

    def submit(self, new: Sequence[jobs.Job]) -> None:
        self.jobs |= {job.key: job for job in new}

    def poll(self, timeout: float) -> list[jobs.News]:
        if timeout:
            self.clock.advance(timeout)
            self.while_waiting()
        for key, at in list(self.stops.items()):
            if self.clock.monotonic() >= at:
                self.stopped(self.jobs[key].child, None)
        news, self.news = self.news, []
        return news

    def stop(self, key: int, grace: float) -> None:
        self.stops[key] = min(self.clock.monotonic() + grace, self.stops.get(key, float("inf")))

    def kill(self, keys: Iterable[int]) -> None:
        for key in keys:
            self.jobs.pop(key, None)
            self.stops.pop(key, None)

    def confirm(self, key: int, number: int) -> None: ...

    def running(self) -> list[jobs.Running]:
        return [jobs.Running(key=key, started_at=self.clock.now(), done=0, total=0) for key in self.jobs]

    def busy(self) -> int:
        return len(self.jobs)

    def close(self, grace: float) -> None:
        self.jobs.clear()

    # --- what becomes of the children -------------------------------------------------------------------------------

    @property
    def children(self) -> set[int]:
        return {job.child for job in self.jobs.values()}

    def told(self, child: int, state: str) -> None:
        self.news.append(jobs.JobCheckpointed(key=self._key(child), state=state, number=1, wait=False))

    def stopped(self, child: int, state: str | None) -> None:
        """Stop at a checkpoint, or (without a state) be killed."""
        key = self._key(child)
        assert key in self.stops, f"child {child} was not asked to stop"
        self.kill([key])
        self.news.append(jobs.JobStopped(key=key, started_at=1, finished_at=2, state=state))

    def completed(self, child: int) -> None:
        key = self._key(child)
        self.kill([key])
        self.news.append(jobs.JobCompleted(key=key, started_at=1, finished_at=2, result="1", state=None))

    def _key(self, child: int) -> int:
        return next(key for key, job in self.jobs.items() if job.child == child)


class MiniCluster:
    """A scheduler and some workers, all alive at once, on a virtual clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(clock=self.clock.now)
        self.log = self.cluster.connect("client")
        self.log.create_topics(TOPICS.specs())
        self.log.commit_initial(TOPICS.scheduler_group, TOPICS.journal(), INITIAL.encode())
        self.log.commit_initial(TOPICS.worker_group, TOPICS.work_log(), INITIAL.encode())
        self.scheduler = Scheduler(
            log=self.cluster.connect("s"), topics=TOPICS, codec=CODEC, view=View(MemoryStore(), CODEC),
            me=Identity("s", "s", self.clock), pause=self.clock.advance,
        )  # fmt: skip
        self.workers: dict[str, tuple[Worker, HeldPool]] = {}

    def worker(self, name: str) -> tuple[Worker, HeldPool]:
        pool = HeldPool(self.clock)
        worker = Worker(
            log=self.cluster.connect(name), topics=TOPICS, codec=CODEC, pool=pool, me=Identity(name, name, self.clock),
            slots=4, pause=self.clock.advance, timing=TIMING,
        )  # fmt: skip
        self.workers[name] = worker, pool
        return worker, pool

    def turn(self, seconds: float = 1.0) -> None:
        """Let time pass, and everybody work."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(0.01)
            self.scheduler.step(0.0)
            for name, (worker, _) in list(self.workers.items()):
                worker.step(0.0)
                if worker.stopped:
                    worker.stop()
                    del self.workers[name]

    def submit(self, children: int, task_id: str = "t") -> None:
        template = Template(
            name="t",
            split=RangeSplit(first=1, last=children, size=1),
            child=ChildSpec(handler="m:f", retry=RetryPolicy(max_attempts=1)),
        )
        me = Identity("me", "me", self.clock)
        request = me.sign(
            e.TaskRequested, task_id=task_id, template_name="t", template_version="1", template=template.to_json(),
            params=json.dumps({}), priority=0, origin="test", traceparent=None,
        )  # fmt: skip
        self.log.append([RECORDS.journal(request, task_id)])

    def spread(self) -> None:
        """Have four children run, each in another partition: each dispatch goes to the next one."""
        for number in range(4):
            self.submit(1, task_id=f"t{number}")
            self.turn(0.5)

    def journal(self) -> list[e.Event]:
        return [event for _, event in self.read(TOPICS.journal())]

    def read(self, places: Sequence[TopicPartition]) -> list[tuple[int, e.Event]]:
        reader = self.log.reader()
        reader.assign(dict.fromkeys(places, 0))
        return [(r.timestamp, CODEC.decode(r)) for r in reader.poll(10_000, 0.0) if r.value is not None]

    def phase(self) -> str:
        task = self.scheduler.view.task("t")
        assert task is not None
        return str(task.phase)


@pytest.fixture
def mini() -> MiniCluster:
    return MiniCluster()


def of(events: Iterable[e.Event], *kinds: type[e.Event]) -> list[e.Event]:
    return [event for event in events if isinstance(event, kinds)]


def test_each_child_goes_on_elsewhere_as_soon_as_it_stops(mini: MiniCluster) -> None:
    one, first = mini.worker("one")
    mini.turn()
    mini.submit(3)
    mini.turn()
    assert first.children == {0, 1, 2}
    _, second = mini.worker("two")
    one.drain()
    mini.turn(0.2)
    assert len(first.stops) == 3
    first.stopped(1, "10")
    mini.turn(0.5)
    assert first.children == {0, 2}, "two have not come to a checkpoint yet"
    assert second.children == {1}, "and the third does not wait for them"
    (job,) = second.jobs.values()
    assert (job.state, job.attempt) == ("10", 1)
    first.stopped(0, "5")
    mini.turn(0.5)
    assert second.children == {0, 1}
    first.told(2, "7")
    mini.turn(15.0)
    assert not mini.workers.keys() & {"one"}, "it has left: the last one was killed at the end of the time"
    assert second.children == {0, 1, 2}
    assert {job.child: job.state for job in second.jobs.values()} == {0: "5", 1: "10", 2: "7"}
    for child in (0, 1, 2):
        second.completed(child)
    mini.turn()
    assert mini.phase() == "succeeded"
    assert not of(mini.journal(), e.ChildFailed)
    assert [x for x in mini.journal() if isinstance(x, e.ChildCompleted) and x.attempt != 1] == []


def test_a_draining_worker_says_so_before_it_returns_anything(mini: MiniCluster) -> None:
    one, first = mini.worker("one")
    mini.turn()
    mini.submit(4)
    mini.turn()
    one.drain()
    one.step(0.0)
    first.stopped(0, "1")
    mini.turn(0.5)
    returned = min(at for at, event in mini.read(TOPICS.journal()) if isinstance(event, e.ChildReturned))
    beats = mini.read([TopicPartition(TOPICS.workers, 0)])
    announced = min(at for at, event in beats if isinstance(event, e.NodeBeat) and event.state == "draining")
    assert announced <= returned
    assert len(of(mini.journal(), e.ChildrenDispatched)) == 1, "it did not come back to it"


def test_a_second_signal_ends_it_at_once_and_what_was_told_is_not_lost(mini: MiniCluster) -> None:
    one, first = mini.worker("one")
    mini.turn()
    mini.submit(2)
    mini.turn()
    first.told(0, "3")
    one.drain()
    one.drain()
    begun = mini.clock.monotonic()
    while "one" in mini.workers:
        mini.turn(0.05)
    assert mini.clock.monotonic() - begun < 1
    _, second = mini.worker("two")
    mini.turn(3.0)
    assert {job.child: (job.state, job.attempt) for job in second.jobs.values()} == {0: ("3", 1), 1: (None, 1)}


def test_a_drain_while_partitions_are_handed_over(mini: MiniCluster) -> None:
    """The signal comes while the group waits for a child: it is heard at once, and each child goes on once."""
    one, first = mini.worker("one")
    mini.turn()
    mini.spread()
    assert len(first.jobs) == 4
    signalled: list[float] = []

    def signal() -> None:
        if not signalled:
            signalled.append(mini.clock.monotonic())
            one.drain()
            one.drain()

    first.while_waiting = signal
    _, second = mini.worker("two")
    mini.turn(TIMING.hand_over / 2)
    assert signalled, "children of revoked partitions were running"
    assert "one" not in mini.workers
    mini.turn(3.0)
    assert len(second.jobs) == 4
    assert {job.attempt for job in second.jobs.values()} == {1}


def test_a_hand_over_beats_and_the_rest_goes_on(mini: MiniCluster) -> None:
    """A worker joins; children of revoked partitions take seconds to stop: the others' outcomes do not wait."""
    _, first = mini.worker("one")
    mini.turn()
    mini.spread()
    kept: list[int] = []

    def outcome() -> None:
        if not kept:  # in the middle of the hand-over
            kept.extend(first.jobs.keys() - first.stops.keys())
            first.news += [
                jobs.JobCompleted(key=key, started_at=1, finished_at=2, result="1", state=None) for key in kept
            ]
            first.kill(kept)

    first.while_waiting = outcome
    begun = mini.clock.now()
    _, second = mini.worker("two")
    mini.turn(2 * TIMING.hand_over)
    assert len(kept) == 2
    completed = [at for at, event in mini.read(TOPICS.journal()) if isinstance(event, e.ChildCompleted)]
    assert len(completed) == 2
    assert max(completed) - begun < 1000 * TIMING.hand_over / 2
    assert len(second.jobs) == 2, "killed at the end of their time, they went on at the new owner"
    beats = [
        at
        for at, event in mini.read([TopicPartition(TOPICS.workers, 0)])
        if isinstance(event, e.NodeBeat) and event.node_id == "one" and at >= begun
    ]
    assert max(later - earlier for earlier, later in pairwise(beats)) < 1000


def test_a_drained_worker_leaves_nothing_behind(mini: MiniCluster) -> None:
    one, first = mini.worker("one")
    mini.turn()
    mini.submit(4)
    mini.turn()
    one.drain()
    mini.turn(0.5)
    for child in list(first.children):
        first.stopped(child, None)
    mini.turn(1.0)
    assert "one" not in mini.workers
    task = mini.scheduler.view.task("t")
    assert task is not None
    assert task.live == 0, "all are back with the scheduler"
