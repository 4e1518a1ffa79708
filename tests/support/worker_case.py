"""One worker over a log in memory: its pool does what a test says, its work is what a test writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import structs

from streamsched.domain import events as e
from streamsched.domain.ids import EventIds
from streamsched.domain.routing import PLAIN, Place
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Append, Record, TopicPartition, TopicSpec
from streamsched.log.topics import Topics
from streamsched.runtime.commit_metadata import INITIAL, decode_metadata, decode_ranges
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.worker import jobs
from streamsched.worker.node import Worker
from streamsched.worker.outlet import CLOSED, Outlet


class TestClock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    def advance(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class ToldPool:
    """Holds jobs until a test says what became of them."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.held: dict[int, jobs.Job] = {}
        self.begun: list[jobs.Job] = []
        """Every job that was ever submitted."""
        self.confirmed: list[tuple[int, int]] = []
        self.news: list[jobs.News] = []

    def complete(self, *keys: int) -> None:
        for key in keys or list(self.held):
            self.news.append(jobs.JobCompleted(key=key, started_at=1, finished_at=1, result="1", state=None))

    def room(self) -> int:
        return max(0, self.slots - len(self.held))

    def submit(self, new: Sequence[jobs.Job]) -> None:
        self.held |= {job.key: job for job in new}
        self.begun += new

    def poll(self, timeout: float) -> list[jobs.News]:
        news, self.news = self.news, []
        for item in news:
            if not isinstance(item, jobs.REPORTS):
                self.held.pop(item.key, None)
        return news

    def stop(self, key: int, grace: float) -> None:
        self.news.append(jobs.JobStopped(key=key, started_at=1, finished_at=1, state=None))

    def kill(self, keys: Iterable[int]) -> None:
        for key in keys:
            self.held.pop(key, None)

    def confirm(self, key: int, number: int) -> None:
        self.confirmed.append((key, number))

    def running(self) -> list[jobs.Running]:
        return []

    def busy(self) -> int:
        return len(self.held)

    def close(self, grace: float) -> None: ...


class Shop:
    """A work log, and workers that own it."""

    __test__ = False

    def __init__(self, partitions: int = 1) -> None:
        self.clock = TestClock()
        self.topics = Topics(event_partitions=1, child_partitions=partitions)
        self.codec = Codec()
        self.records = Records(self.codec, self.topics)
        self.me = Identity("me", "me", self.clock, EventIds())
        self.hooks: dict[tuple[str, str], Callable[[], None]] = {}
        """What happens once, at one step of one client."""
        self.cluster = MemoryCluster(clock=self.clock.now, faults=self)
        self.log = self.cluster.connect("test")
        self.log.create_topics(self.topics.specs())
        self.log.commit_initial(self.topics.worker_group, self.topics.work_log(), INITIAL.encode())
        self._writer = self.log.writer("dispatcher")
        self._member = self.log.member("nobody", self.topics.children, _Deaf())

    def at(self, step: str, client: str) -> None:
        hook = self.hooks.pop((client, step), None)
        if hook is not None:
            hook()

    def worker(
        self,
        name: str,
        pool: ToldPool,
        *,
        modules: Sequence[str] | None = None,
        own: frozenset[str] = frozenset(),
        outlet: Outlet = CLOSED,
        place: Place = PLAIN,
    ) -> Worker:
        return Worker(
            log=self.cluster.connect(name), topics=self.topics, codec=self.codec, pool=pool,
            me=Identity(name, name, self.clock, EventIds()), slots=pool.slots, pause=self.clock.advance,
            modules=modules, own=own, outlet=outlet, place=place,
        )  # fmt: skip

    def dispatch(
        self,
        first: int,
        last: int,
        partition: int = 0,
        *,
        event_id: bytes | None = None,
        **changed: int | str | e.Terms | None,
    ) -> None:
        """Write the dispatches of these children, each in a transaction of its own."""
        for child in range(first, last + 1):
            work = self.me.sign(
                e.ChildCreated, task_id="task", child=child, args="{}", state=None,
                **({"handler": "m:f", "ordinal": 1, "attempt": 1, "timeout": 0, "heartbeat": 0, "priority": 0,
                    "sequence": 0, "recoveries": 0, "traceparent": None} | changed),
            )  # fmt: skip
            if event_id is not None:
                work = structs.replace(work, event_id=event_id)
            self.write(self.records.work(work, "task", partition))

    def write(self, *appends: Append) -> None:
        self._writer.commit(appends, {}, self._member)

    def turn(self, *workers: Worker, times: int = 20) -> None:
        for _ in range(times):
            for worker in workers:
                worker.step(0.0)
            self.clock.advance(0.06)

    def outlet(self, *topics: str, partitions: int = 1) -> Outlet:
        """Make these topics, and let handlers write to them."""
        self.log.create_topics([TopicSpec(topic, partitions, {}) for topic in topics])
        outlet = Outlet(
            patterns=topics, prefix=self.topics.prefix, look=lambda topic: lambda: self.log.facts(topic),
            now=self.clock.monotonic,
        )  # fmt: skip
        for topic in topics:
            outlet.ask(topic)
        return outlet

    def values(self, topic: str, partition: int = 0) -> list[bytes | None]:
        """Return what a topic has."""
        return [record.value for record in self._read([TopicPartition(topic, partition)])]

    def released(self, partition: int = 0) -> bool:
        place = TopicPartition(self.topics.children, partition)
        committed = self.log.committed(self.topics.worker_group, [place], stable=True)[place]
        assert committed is not None
        return decode_metadata(committed.metadata).released

    def journal(self) -> list[e.Event]:
        return [self.codec.decode(record) for record in self._read(self.topics.journal())]

    def work(self) -> list[e.Event]:
        return [self.codec.decode(record) for record in self._read(self.topics.work_log())]

    def unsettled(self, partition: int = 0) -> list[e.Event]:
        """Read the records that the last commit leaves unsettled: what the next owner would find."""
        place = TopicPartition(self.topics.children, partition)
        committed = self.log.committed(self.topics.worker_group, [place], stable=True)[place]
        assert committed is not None
        settled: set[int] = set()
        edge = committed.position
        for turn, length in enumerate(decode_ranges(decode_metadata(committed.metadata).settled_ranges)):
            settled |= set(range(edge, edge + length)) if turn % 2 else set()
            edge += length
        return [
            self.codec.decode(record)
            for record in self._read([place])
            if record.offset >= committed.position and record.offset not in settled
        ]

    def _read(self, places: Sequence[TopicPartition]) -> list[Record]:
        reader = self.log.reader()
        reader.assign(self.log.start(places))
        return list(reader.poll(100_000, 0.0))


class _Deaf:
    def on_assigned(self, partitions: Iterable[int]) -> None: ...

    def on_revoked(self, partitions: Iterable[int]) -> None: ...

    def on_lost(self, partitions: Iterable[int]) -> None: ...
