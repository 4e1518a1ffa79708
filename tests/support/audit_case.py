"""A good history with everything in it, made by a real scheduler and worker, and its copy that a test may tamper with.

Offsets of the copy are ten times those of the original, so that there is room between them; a basis and a position
still divide the events as they did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from msgspec import structs

from streamsched.audit.report import Violation
from streamsched.audit.verify import Report, verify
from streamsched.domain import events as e
from streamsched.domain.fairness import Fairness
from streamsched.domain.ids import EventIds
from streamsched.domain.param import Param
from streamsched.domain.phases import Told
from streamsched.domain.policy import FailurePolicy, RetryPolicy
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.template import ChildSpec, Template
from streamsched.log.adapter import LogAdapter
from streamsched.log.codec import Codec, headers_of
from streamsched.log.core.chunks import pack
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Append, Committed, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.commit_metadata import INITIAL, CommitMetadata, decode_metadata, decode_ranges, encode_ranges
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.node import Scheduler
from streamsched.testing.clock import VirtualClock
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker import jobs
from streamsched.worker.node import Worker, WorkerTiming

CODEC: Final = Codec()
TOPICS: Final = Topics(event_partitions=2, child_partitions=2)
RECORDS: Final = Records(CODEC, TOPICS)
SPREAD: Final = 10
TEMPLATE: Final = Template(
    name="made-up",
    params={"n": Param(type="integer", minimum=0)},
    split=RangeSplit(first=1, last="${n}", size=1),
    child=ChildSpec(
        handler="made.up:handler",
        args={"first": "${child.first}", "n": "${n}"},  # so tasks of another n are of another kind to the dispatcher
        retry=RetryPolicy(initial_interval_ms=0),
    ),
    failure=FailurePolicy(count=2),
    fairness=Fairness(key="all"),  # so that they fill the worker as one
)  # fmt: skip
BEGIN_MS = 1_000_000.0


class ScriptedPool:
    """Runs children as the name of their task says.

    ``ended``: complete, the second child after two checkpoints, the third after a failure. ``going``: make a checkpoint
    and never end. ``cancelled``: run until they are stopped. ``stopping``: run on though they are told to stop.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._jobs: dict[int, jobs.Job] = {}
        self._news: list[jobs.News] = []

    def room(self) -> int:
        return 100

    def submit(self, new: Sequence[jobs.Job]) -> None:
        for job in new:
            self._jobs[job.key] = job
            if job.task_id == "going" or (job.task_id == "ended" and job.child == 1):
                self._checkpoint(job, 1)
            elif job.task_id == "ended" and job.child == 2 and job.attempt == 1:
                now = self._clock.now()
                self._end(
                    jobs.JobFailed(
                        key=job.key, started_at=now, finished_at=now, reason="error", error_type="Trouble", message="",
                        traceback="", retryable=True, delay_ms=0, state="1",
                    )
                )  # fmt: skip
            elif job.task_id == "ended":
                self._complete(job)

    def poll(self, timeout: float) -> list[jobs.News]:
        self._clock.advance(timeout)
        news, self._news = self._news, []
        return news

    def confirm(self, key: int, number: int) -> None:
        job = self._jobs.get(key)
        if job and job.task_id == "ended":
            self._checkpoint(job, number + 1) if number < 2 else self._complete(job)

    def stop(self, key: int, grace: float) -> None:
        job = self._jobs.get(key)
        if job and job.task_id == "cancelled":
            now = self._clock.now()
            self._end(jobs.JobStopped(key=key, started_at=now, finished_at=now, state="7"))

    def kill(self, keys: Iterable[int]) -> None:
        for key in keys:
            self._jobs.pop(key, None)

    def running(self) -> list[jobs.Running]:
        now = self._clock.now()
        return [jobs.Running(key=key, started_at=now - 10_000, done=0, total=0) for key in self._jobs]

    def busy(self) -> int:
        return len(self._jobs)

    def close(self, grace: float) -> None:
        self._jobs.clear()

    def _checkpoint(self, job: jobs.Job, number: int) -> None:
        self._news.append(jobs.JobCheckpointed(key=job.key, state=str(number), number=number, wait=True))

    def _complete(self, job: jobs.Job) -> None:
        now = self._clock.now()
        self._end(jobs.JobCompleted(key=job.key, started_at=now, finished_at=now, result="1", state=None))

    def _end(self, news: jobs.Ending) -> None:
        self._jobs.pop(news.key, None)
        self._news.append(news)


class Nodes(NamedTuple):
    """A client, a scheduler and a worker over one log in memory."""

    log: LogAdapter
    client: Identity
    view: View
    scheduler: Scheduler
    worker: Worker


def new_log(clock: VirtualClock) -> LogAdapter:
    """Make a log in memory with all topics, and the first positions of both groups."""
    log = MemoryCluster(clock=clock.now).connect("node")
    log.create_topics(TOPICS.specs())
    for group, places in GROUPS.items():
        log.commit_initial(group, places, INITIAL.encode())
    return log


def nodes(clock: VirtualClock, pool: jobs.Pool) -> Nodes:
    """Make a new log and its nodes."""
    log = new_log(clock)
    names = ("-client-", "-master-", "-worker-")
    client, scheduler, worker = (Identity(name, name, clock, EventIds(name.encode())) for name in names)
    view = View(MemoryStore(), CODEC)
    return Nodes(
        log, client, view,
        Scheduler(log=log, topics=TOPICS, codec=CODEC, view=view, me=scheduler, pause=clock.advance),
        Worker(
            log=log, topics=TOPICS, codec=CODEC, pool=pool, me=worker, slots=2, pause=clock.advance,
            timing=WorkerTiming(trim=1e9),
        ),
    )  # fmt: skip


def live() -> LogAdapter:
    """Live through the history: four tasks, of which two have not ended at its end."""
    clock = VirtualClock(BEGIN_MS)
    log, client, view, scheduler, worker = nodes(clock, ScriptedPool(clock))

    def work(condition: Callable[[], bool]) -> None:
        for _ in range(500):
            scheduler.step(0.0)
            worker.step(0.01)
            clock.advance(0.01)
            if condition():
                return
        raise AssertionError("the history does not come about")

    def request(task_id: str, children: int) -> None:
        event = client.sign(
            e.TaskRequested, task_id=task_id, template_name="made-up", template_version="1",
            template=TEMPLATE.to_json(), params=json.dumps({"n": children}), priority=0, origin="test",
            traceparent=None, level=TEMPLATE.level,
        )  # fmt: skip
        log.append([RECORDS.journal(event, task_id)])

    def cancel(task_id: str) -> None:
        event = client.sign(e.TaskCancelRequested, task_id=task_id, redrive=0, reason="enough")
        log.append([RECORDS.journal(event, task_id)])

    def told(kind: type[e.Event], task_id: str) -> int:
        found = (record.event for record in History(log).journal)
        return sum(isinstance(event, kind) and getattr(event, "task_id", "") == task_id for event in found)

    def settled() -> bool:
        task = view.active.get("stopping")
        return task is not None and task.told[Told.CANCEL] == 2 and told(e.ChildCheckpointed, "going") == 2

    request("ended", 4)
    work(lambda: "ended" not in view.active and told(e.TaskSucceeded, "ended") == 1)
    for task_id in ("cancelled", "going", "stopping"):
        request(task_id, 5)
    work(lambda: all(task_id in view.active and view.active[task_id].live for task_id in ("cancelled", "stopping")))
    cancel("cancelled")
    cancel("stopping")
    work(lambda: told(e.TaskCancelled, "cancelled") == 1 and settled())
    return log


@dataclass
class Entry:
    """One record of the copy."""

    place: TopicPartition
    offset: int
    event: e.Event
    key: bytes | None

    def alter(self, **fields: Any) -> None:
        """Change fields of the event."""
        self.event = structs.replace(self.event, **fields)

    @property
    def named(self) -> str:
        """The place as a violation names it."""
        return f"{self.place.topic}-{self.place.partition}-{self.offset}"


class History:
    """The copy: the records of journal and work log, and what both groups have committed."""

    def __init__(self, log: LogAdapter) -> None:
        self.journal = self._read(log, TOPICS.journal())
        self.work = self._read(log, TOPICS.work_log())
        ends = log.end([*TOPICS.journal(), *TOPICS.work_log()])
        self.ends = {place: SPREAD * end for place, end in ends.items()}
        self.marks: dict[TopicPartition, tuple[int, CommitMetadata]] = {}
        for group, places in GROUPS.items():
            for place, commit in log.committed(group, places, stable=True).items():
                assert commit is not None
                mark = decode_metadata(commit.metadata)
                runs = encode_ranges(SPREAD * length for length in decode_ranges(mark.settled_ranges))
                self.marks[place] = (SPREAD * commit.position, replace(mark, settled_ranges=runs))

    def _read(self, log: LogAdapter, places: Sequence[TopicPartition]) -> list[Entry]:
        reader = log.reader()
        reader.assign(log.start(places))
        found = []
        while records := reader.poll(1_000, 0.0):
            for record in records:
                event = CODEC.decode(record)
                basis = getattr(event, "basis", None)
                if basis is not None:
                    event = structs.replace(event, basis=SPREAD * basis)
                place = TopicPartition(record.topic, record.partition)
                found.append(Entry(place, SPREAD * record.offset, event, record.key))
        return found

    def find(self, kind: type[e.Event], task_id: str, nth: int = 0, **fields: object) -> Entry:
        """Find the nth event of this kind and task, with these fields, in the journal."""
        return _matching(self.journal, kind, task_id, fields)[nth]

    def find_work(self, kind: type[e.Event], task_id: str, nth: int = -1, **fields: object) -> Entry:
        """Find the nth (the last one) in the work log."""
        return _matching(self.work, kind, task_id, fields)[nth]

    def insert(self, like: Entry, after: Entry, **fields: object) -> Entry:
        """Write another event like one that is there, just behind a third."""
        offset = after.offset + 1
        event = structs.replace(like.event, event_id=b"-forger-" + offset.to_bytes(8), **fields)
        made = Entry(after.place, offset, event, like.key)
        (self.journal if after in self.journal else self.work).append(made)
        return made

    def repeat(self, entry: Entry, after: Entry | None = None) -> Entry:
        """Write the same event again."""
        made = replace(entry, offset=(after or entry).offset + 2)
        (self.journal if entry in self.journal else self.work).append(made)
        return made

    def drop(self, entry: Entry) -> None:
        """Lose a record."""
        (self.journal if entry in self.journal else self.work).remove(entry)

    def write(self) -> tuple[MemoryCluster, LogAdapter]:
        """Write it all into a fresh cluster, each record at its offset."""
        cluster = MemoryCluster()
        log = cluster.connect("copy")
        log.create_topics(TOPICS.specs())
        for entry in sorted(self.journal + self.work, key=lambda entry: (entry.place, entry.offset)):
            partition = cluster.partition(*entry.place)
            partition.reserve(entry.offset - partition.end)
            log.append([Append(*entry.place, entry.key, CODEC.encode(entry.event), headers_of(entry.event))])
        for place, end in self.ends.items():
            partition = cluster.partition(*place)
            partition.reserve(max(0, end - partition.end))
            partition.settle()
        for group, places in GROUPS.items():
            for place in places:
                if place in self.marks:
                    position, mark = self.marks[place]
                    commit = Committed(position, mark.encode())
                    cluster.store.write([(cluster.place_key(group, place), pack(tuple(commit)))])
        return cluster, log

    def judge(self, **options: Any) -> Report:
        """Verify what was written."""
        _, log = self.write()
        return verify(log=log, coordination=log, topics=TOPICS, codec=CODEC, **options)

    def first_violation(self) -> Violation:
        """Verify what was written and return what is named first. It says what was expected and what was found."""
        violations = self.judge().violations
        assert violations, "no violation was found"
        first = violations[0]
        assert first.expected, first
        assert first.found, first
        return first


GROUPS: Final = {TOPICS.scheduler_group: TOPICS.journal(), TOPICS.worker_group: TOPICS.work_log()}


def _matching(entries: list[Entry], kind: type[e.Event], task_id: str, fields: dict[str, object]) -> list[Entry]:
    return [
        entry
        for entry in entries
        if isinstance(entry.event, kind)
        and getattr(entry.event, "task_id", "") == task_id
        and all(getattr(entry.event, name) == value for name, value in fields.items())
    ]
