"""Records that cannot be read: set aside, blamed, and never in the way of others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pytest

from streamsched.domain import events as e
from streamsched.domain.ids import EventIds
from streamsched.domain.template import ChildSpec, RangeSplit, RetryPolicy, Template
from streamsched.log.codec import Codec, headers_of
from streamsched.log.memory import MemoryLog
from streamsched.log.port import Append, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.runtime.mark import INITIAL
from streamsched.runtime.records import Records
from streamsched.scheduler.node import Scheduler
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker import jobs
from streamsched.worker.node import Worker

pytestmark = pytest.mark.unit

NEWER = b"\xc3\x01" + b"\xff" * 8 + b"from the future"
TEMPLATE = Template(
    name="t",
    split=RangeSplit(first=0, last=2, size=1),
    child=ChildSpec(handler="m:f", retry=RetryPolicy(max_attempts=1)),
)


class InstantPool:
    """Completes every job at once."""

    def __init__(self) -> None:
        self._news: list[jobs.News] = []

    def room(self) -> int:
        return 10

    def submit(self, jobs_: Sequence[jobs.Job]) -> None:
        self._news += [
            jobs.JobCompleted(key=job.key, started_at=1, finished_at=1, result="1", state=None) for job in jobs_
        ]

    def poll(self, timeout: float) -> list[jobs.News]:
        news, self._news = self._news, []
        return news

    def stop(self, key: int, grace: float) -> None: ...

    def kill(self, keys: Iterable[int]) -> None: ...

    def confirm(self, key: int, number: int) -> None: ...

    def running(self) -> list[jobs.Running]:
        return []

    def busy(self) -> int:
        return len(self._news)

    def close(self, grace: float) -> None: ...


class House:
    """A scheduler and a worker over one log in memory."""

    def __init__(self) -> None:
        self.topics = Topics(event_partitions=2, child_partitions=2)
        self.codec = Codec()
        self.log = MemoryLog()
        self.log.create_topics(self.topics.specs())
        for group, places in (
            (self.topics.scheduler_group, self.topics.journal()),
            (self.topics.worker_group, self.topics.work_log()),
        ):
            self.log.commit_initial(group, places, INITIAL.encode())
        self.records = Records(self.codec, self.topics)
        clock = SystemClock()
        self.me = Identity("me", "me", clock, EventIds())
        self.view = View(MemoryStore(), self.codec)
        self.scheduler = Scheduler(
            log=self.log, topics=self.topics, codec=self.codec, view=self.view,
            me=Identity("s", "s", clock), pause=lambda seconds: None,
        )  # fmt: skip
        self.worker = Worker(
            log=self.log, topics=self.topics, codec=self.codec, pool=InstantPool(),
            me=Identity("w", "w", clock), slots=2, pause=lambda seconds: None,
        )  # fmt: skip
        self.turn(30)

    def turn(self, times: int = 60) -> None:
        for _ in range(times):
            self.scheduler.step(0.0)
            self.worker.step(0.0)

    def submit(self, task_id: str) -> None:
        request = self.me.sign(
            e.TaskRequested, task_id=task_id, template_name="t", template_version="1", template=TEMPLATE.to_json(),
            params=json.dumps({}), priority=0, origin="test", traceparent=None,
        )  # fmt: skip
        self.log.append([self.records.journal(request, task_id)])

    def phase(self, task_id: str) -> str:
        task = self.view.task(task_id)
        return str(task.phase) if task else "none"

    def dead_letters(self) -> list[e.DeadLetter]:
        place = TopicPartition(self.topics.dead_letters, 0)
        reader = self.log.reader()
        reader.assign({place: 0})
        events = [self.codec.decode(record) for record in reader.poll(1000, 0.0)]
        return [event for event in events if isinstance(event, e.DeadLetter)]

    def id_in(self, partition: int) -> str:
        """Find a task id that lives in this partition of the journal."""
        return next(name for name in map(str, range(99)) if self.topics.journal_of(name).partition == partition)


@pytest.mark.parametrize("value", [b"", b"rubbish", b"\xc3\x01short", None])
def test_rubbish_in_the_journal_is_set_aside_and_the_partition_goes_on(value: bytes | None) -> None:
    house = House()
    task_id = house.id_in(0)
    house.log.append([Append(house.topics.events, 0, b"k", value)])
    house.submit(task_id)
    house.turn()
    assert house.phase(task_id) == "succeeded"
    (letter,) = house.dead_letters()
    assert (letter.topic, letter.partition, letter.value) == (house.topics.events, 0, value)
    assert "offset 0" in letter.reason


def test_a_newer_record_in_the_journal_stops_its_partition_alone() -> None:
    house = House()
    halted, free = house.id_in(0), house.id_in(1)
    house.log.append([Append(house.topics.events, 0, b"k", NEWER)])
    house.submit(halted)
    house.submit(free)
    house.turn()
    assert house.phase(halted) == "none"
    assert house.phase(free) == "succeeded"
    assert house.view.positions.get(0, 0) == 0
    assert house.dead_letters() == []


def test_rubbish_in_the_work_log_fails_the_child_that_its_headers_name() -> None:
    house = House()
    task_id = house.id_in(0)
    house.submit(task_id)
    created = e.ChildCreated(b"i", 1, "x", "gone", 7, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, 0, None)
    house.log.append([Append(house.topics.children, 1, b"gone", b"rubbish", headers_of(created))])
    house.turn()
    assert house.phase(task_id) == "succeeded"
    (letter,) = house.dead_letters()
    assert letter.topic == house.topics.children
    home = house.topics.journal_of("gone")
    reader = house.log.reader()
    reader.assign({home: 0})
    failures = [
        event
        for event in (house.codec.decode(record) for record in reader.poll(1000, 0.0))
        if isinstance(event, e.ChildFailed)
    ]
    assert [(f.task_id, f.child, f.reason) for f in failures] == [("gone", 7, "poison")]
    committed = house.log.committed(house.topics.worker_group, [TopicPartition(house.topics.children, 1)], stable=True)
    assert all(each is not None and each.position > letter.offset for each in committed.values())


def test_a_newer_record_in_the_work_log_stays_unsettled_and_others_pass() -> None:
    house = House()
    house.log.append([Append(house.topics.children, place, b"k", NEWER) for place in (0, 1)])
    task_id = house.id_in(1)
    house.submit(task_id)
    house.turn()
    assert house.phase(task_id) == "succeeded"
    assert house.dead_letters() == []
    places = house.topics.work_log()
    for committed in house.log.committed(house.topics.worker_group, places, stable=True).values():
        assert committed is not None
        assert committed.position == 0
