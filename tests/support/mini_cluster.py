"""Real schedulers and workers over one log in memory, stepped in turn, and what the log has of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from streamsched.domain import events as e
from streamsched.domain.ids import EventIds
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.template import ChildSpec, RetryPolicy, Template
from streamsched.log.codec import Codec, Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Record, TopicPartition, TopicSpec
from streamsched.log.topics import Topics
from streamsched.runtime.commit_metadata import INITIAL, decode_metadata, decode_ranges
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.node import Scheduler
from streamsched.testing.clock import VirtualClock
from streamsched.view.follow import Follower
from streamsched.view.store import MemoryStore, Store
from streamsched.view.view import View
from streamsched.worker import jobs
from streamsched.worker.node import Worker
from streamsched.worker.outlet import CLOSED, Outlet

TEMPLATE = Template(
    name="t",
    split=RangeSplit(first=0, last=2, size=1),
    child=ChildSpec(handler="m:f", retry=RetryPolicy(max_attempts=1)),
)


PAGE = 5_000
"""Entries that a splitter finds before it waits until they are durable."""


class InstantPool:
    """Completes every job at once, so many of them in each turn of its worker; a splitter finds a page in each."""

    def __init__(self, room: int, emits: int = 0) -> None:
        self._room = room
        self._records = tuple(jobs.Emitted("out", 0, b"key", b"%d" % number) for number in range(emits))
        self._news: list[jobs.News] = []
        self._splits: dict[int, tuple[int, int]] = {}
        """By key of its job, how many entries a splitter has found, and of how many."""

    def room(self) -> int:
        return self._room

    def submit(self, jobs_: Sequence[jobs.Job]) -> None:
        for job in jobs_:
            split = None if job.options is None else json.loads(job.options).get("split")
            if split is not None:
                self._splits[job.key] = int(job.state or 0), json.loads(split["input"])["args"]["n"]
                self._split(job.key)
                continue
            if self._records:
                self._news.append(jobs.JobEmitted(job.key, self._records))
            self._news.append(jobs.JobCompleted(key=job.key, started_at=1, finished_at=1, result="1", state=None))

    def _split(self, key: int) -> None:
        done, wanted = self._splits[key]
        found = range(done, min(wanted, done + PAGE))
        if not found:
            self._news.append(jobs.JobCompleted(key=key, started_at=1, finished_at=1, result=None, state=None))
            return
        entries = tuple(jobs.Emitted(jobs.PLAN, number, None, str(number).encode()) for number in found)
        self._splits[key] = found.stop, wanted
        self._news += [
            jobs.JobEmitted(key, entries),
            jobs.JobCheckpointed(key=key, state=str(found.stop), number=found.stop, wait=True, covered=found.stop),
        ]

    def poll(self, timeout: float) -> list[jobs.News]:
        news, self._news = self._news, []
        return news

    def stop(self, key: int, grace: float) -> None: ...

    def kill(self, keys: Iterable[int]) -> None: ...

    def confirm(self, key: int, number: int) -> None:
        if key in self._splits:
            self._split(key)

    def running(self) -> list[jobs.Running]:
        return []

    def busy(self) -> int:
        return len(self._news)

    def close(self, grace: float) -> None: ...


class MiniCluster:
    """One log, and the nodes that live on it: a scheduler, and a worker that runs ``room`` children in each turn."""

    def __init__(self, event_partitions: int = 2, child_partitions: int = 2, *, room: int = 10, emits: int = 0) -> None:
        self.topics = Topics(event_partitions=event_partitions, child_partitions=child_partitions)
        self.codec = Codec()
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(clock=self.clock.now)
        self.log = self.cluster.connect("client")
        self.log.create_topics(self.topics.specs())
        for group, places in (
            (self.topics.scheduler_group, self.topics.journal()),
            (self.topics.worker_group, self.topics.work_log()),
        ):
            self.log.commit_initial(group, places, INITIAL.encode())
        self.records = Records(self.codec, self.topics)
        self.me = Identity("me", "me", self.clock, EventIds())
        self.view = View(MemoryStore(), self.codec)
        self._born = 0
        self.scheduler = self.new_scheduler(self.view)
        self.worker = Worker(
            log=self.cluster.connect("worker"), topics=self.topics, codec=self.codec, pool=InstantPool(room, emits),
            me=Identity("w", "w", self.clock), slots=2, pause=self.clock.advance, outlet=self._outlet(emits),
        )  # fmt: skip
        self.turn(30)

    def _outlet(self, emits: int) -> Outlet:
        if not emits:
            return CLOSED
        self.log.create_topics([TopicSpec("out", 1, {})])
        outlet = Outlet(
            patterns=["out"], prefix=self.topics.prefix, look=lambda topic: lambda: self.log.facts(topic),
            now=self.clock.monotonic,
        )  # fmt: skip
        outlet.ask("out")
        return outlet

    def new_scheduler(self, view: View) -> Scheduler:
        """Make a scheduler; whoever has it steps it."""
        self._born += 1
        name = f"s{self._born}"
        return Scheduler(
            log=self.cluster.connect(name), topics=self.topics, codec=self.codec, view=view,
            me=Identity(name, name, self.clock), pause=self.clock.advance,
        )  # fmt: skip

    def turn(self, times: int = 60) -> None:
        for _ in range(times):
            self.scheduler.step(0.0)
            self.worker.step(0.0)
            self.clock.advance(0.01)

    def request(self, task_id: str, template: str = TEMPLATE.to_json(), params: str = "{}") -> e.TaskRequested:
        return self.me.sign(
            e.TaskRequested, task_id=task_id, template_name="t", template_version="1", template=template,
            params=params, priority=0, origin="test", traceparent=None,
        )  # fmt: skip

    def submit(self, task_id: str) -> None:
        self.log.append([self.records.journal(self.request(task_id, params=json.dumps({})), task_id)])

    def phase(self, task_id: str) -> str:
        task = self.scheduler.view.task(task_id)
        return str(task.phase) if task else "none"

    def read(self, places: Sequence[TopicPartition]) -> Iterator[Record]:
        """Read all committed records of these partitions."""
        reader = self.log.reader()
        reader.assign(self.log.start(places))
        while records := reader.poll(10_000, 0.0):
            yield from records

    def dead_letters(self) -> list[e.DeadLetter]:
        letters = []
        for record in self.read([TopicPartition(self.topics.dead_letters, 0)]):
            with suppress(Undecodable):
                letters.append(self.event_reader().dead_letter(record))
        return letters

    def pending(self) -> list[tuple[int, int]]:
        """List what the commits of the work log leave unsettled: partition and offset."""
        commits = self.log.committed(self.topics.worker_group, self.topics.work_log(), stable=True)
        left = []
        for record in self.read(self.topics.work_log()):
            commit = commits[TopicPartition(record.topic, record.partition)]
            assert commit is not None
            settled = record.offset < commit.position
            edge = commit.position
            for turn, length in enumerate(decode_ranges(decode_metadata(commit.metadata).settled_ranges)):
                settled = settled or (turn % 2 == 1 and edge <= record.offset < edge + length)
                edge += length
            if not settled:
                left.append((record.partition, record.offset))
        return left

    def folded(self) -> dict[bytes, bytes]:
        """Fold the journal into a fresh view, as a client does, and return its rows but for the positions."""
        store = MemoryStore()
        view = View(store, self.codec)
        follower = Follower(log=self.log, topics=self.topics, codec=self.codec, view=view)
        follower.catch_up(self.topics.journal())
        view.flush()
        return _state(store)

    def rows(self) -> dict[bytes, bytes]:
        """Return the rows of the scheduler's view but for the positions."""
        self.scheduler.view.flush()
        return _state(self.scheduler.view._store)

    def event_reader(self) -> EventReader:
        return EventReader(self.codec, self.topics)

    def id_in(self, partition: int, stem: str = "") -> str:
        """Find a task id that lives in this partition of the journal."""
        names = (f"{stem}{number}" for number in range(999))
        return next(name for name in names if self.topics.journal_of(name).partition == partition)


def _state(store: Store) -> dict[bytes, bytes]:
    """Leave out positions: at the end a client is behind the markers, a scheduler when the next record comes."""
    return {key: value for key, value in store.scan(b"") if key[:1] != b"p"}
