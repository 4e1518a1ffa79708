"""A clock that differs from the log's: what a scheduler refuses, and what a worker writes."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from streamsched.domain import events as e
from streamsched.log.port import Log, LogTime, TopicMismatch
from streamsched.runtime.clock_check import SAY_AGAIN_S, Agreement, ClockCheck, LogClock
from streamsched.runtime.identity import Identity
from streamsched.testing.clock import VirtualClock
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker.node import Worker
from tests.support.clock import MachineClock
from tests.support.mini_cluster import InstantPool, MiniCluster

DAY = 86_400_000


class ToldTime:
    """A log that tells the time as it is told to."""

    def __init__(self) -> None:
        self.told: LogTime | None = None
        self.keeps = False

    def time(self) -> LogTime | None:
        if self.keeps:
            raise TopicMismatch("topic w has message.timestamp.type=CreateTime")
        return self.told


def checked() -> tuple[ToldTime, ClockCheck, VirtualClock]:
    log, clock = ToldTime(), VirtualClock()
    return log, ClockCheck(cast(Log, log), clock, "nothing is decided"), clock


@pytest.mark.parametrize(
    ("earliest", "latest", "found"),
    [
        (0, 0, Agreement.AGREES),
        (-200, 300, Agreement.AGREES),
        (-60_000, 0, Agreement.AGREES),
        (0, 60_000, Agreement.AGREES),
        (-60_001, 0, Agreement.UNKNOWN),
        (0, 60_001, Agreement.UNKNOWN),
        (-DAY, DAY, Agreement.UNKNOWN),
        (-60_500, -60_001, Agreement.DIFFERS),
        (60_001, 60_500, Agreement.DIFFERS),
        (-DAY, -DAY, Agreement.DIFFERS),
    ],
)
def test_a_clock_agrees_only_where_that_is_proven(earliest: int, latest: int, found: Agreement) -> None:
    log, check, clock = checked()
    now = clock.now()
    log.told = LogTime(now + earliest, now + latest)
    assert check.look(now) is found


def test_before_the_log_has_told_the_time_nothing_is_known() -> None:
    _, check, clock = checked()
    assert check.look(clock.now()) is Agreement.UNKNOWN


def test_a_difference_is_said_once_a_minute_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    log, check, clock = checked()
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            log.told = LogTime(clock.now() - DAY, clock.now() - DAY)
            check.look(clock.now())
            clock.advance(SAY_AGAIN_S / 5)
        log.told = LogTime(clock.now(), clock.now())
        assert check.look(clock.now()) is Agreement.AGREES
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "86400 s ahead of the log's: nothing is decided" in said[0]
    assert "agrees" in said[-1]


def test_a_log_that_does_not_tell_is_believed_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    log, check, clock = checked()
    log.keeps = True
    assert check.look(clock.now()) is Agreement.AGREES
    assert "CreateTime" in caplog.text


# --- a scheduler ----------------------------------------------------------------------------------------------------


class Skewed(MiniCluster):
    """A cluster whose scheduler's machine has a clock of its own."""

    def __init__(self, skew_ms: int) -> None:
        super().__init__()
        self.scheduler.stop()
        self.machine = MachineClock(self.clock, skew_ms=skew_ms, began=5.0)
        self.scheduler = self._scheduler()
        self.turn(60)

    def _scheduler(self) -> Any:
        from streamsched.scheduler.node import Scheduler

        return Scheduler(
            log=self.cluster.connect("skewed"), topics=self.topics, codec=self.codec,
            view=View(MemoryStore(), self.codec), me=Identity("skewed", "skewed", self.machine),
            pause=self.clock.advance,
        )  # fmt: skip

    def states(self) -> set[str]:
        from streamsched.log.port import TopicPartition

        beats = [self.event_reader().beat(record) for record in self.read([TopicPartition(self.topics.workers, 0)])]
        return {beat.state for beat in beats if beat is not None and beat.name == "skewed"}


@pytest.mark.parametrize("skew", [DAY, -DAY, 61_000, -61_000, 90 * 365 * DAY])
def test_a_scheduler_decides_nothing_until_its_clock_agrees(skew: int, caplog: pytest.LogCaptureFixture) -> None:
    mini = Skewed(skew)
    task_id = mini.id_in(0)
    mini.submit(task_id)
    mini.turn(300)
    assert mini.phase(task_id) == "requested"
    assert "nothing is decided until they agree" in caplog.text
    assert "wrong clock" in mini.states()
    mini.machine.mend()
    mini.turn()
    assert mini.phase(task_id) == "succeeded"


@pytest.mark.parametrize("skew", [59_000, -59_000])
def test_less_than_a_minute_is_borne(skew: int) -> None:
    mini = Skewed(skew)
    task_id = mini.id_in(1)
    mini.submit(task_id)
    mini.turn()
    assert mini.phase(task_id) == "succeeded"


def test_a_clock_that_jumps_while_it_decides_is_noticed_at_once() -> None:
    mini = Skewed(0)
    mini.machine.jump(DAY)
    task_id = mini.id_in(0)
    mini.submit(task_id)
    mini.turn()
    assert mini.phase(task_id) == "requested"


def test_dead_letters_are_written_all_the_same() -> None:
    mini = Skewed(DAY)
    from streamsched.log.port import Append

    mini.log.append([Append(mini.topics.events, 0, b"k", b"rubbish")])
    mini.turn(100)
    assert len(mini.dead_letters()) == 1


# --- a worker -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_a_worker_writes_the_logs_time(skew: int) -> None:
    mini = MiniCluster()
    ownership = mini.worker._ownership
    mini.log.evict(mini.topics.worker_group, ownership.member_id)
    mini.log.fence(ownership.transactional_id)
    machine = MachineClock(mini.clock, skew_ms=skew, began=1.0)
    pool = _WallPool(machine)
    mini.worker = Worker(
        log=mini.cluster.connect("w2"), topics=mini.topics, codec=mini.codec, pool=pool,
        me=Identity("w2", "w2", machine), slots=2, pause=mini.clock.advance,
    )  # fmt: skip
    task_id = mini.id_in(0)
    mini.submit(task_id)
    mini.turn(200)
    assert mini.phase(task_id) == "succeeded"
    now = mini.clock.now()
    ended = [
        event
        for record in mini.read(mini.topics.journal())
        for event in (mini.codec.decode(record),)
        if isinstance(event, e.ChildCompleted)
    ]
    assert len(ended) == 3
    assert all(now - 60_000 < event.started_at <= event.at <= now for event in ended)


class _WallPool(InstantPool):
    """Tells times by its machine's clock."""

    def __init__(self, machine: MachineClock) -> None:
        super().__init__(10)
        self._machine = machine

    def poll(self, timeout: float) -> list[Any]:
        from msgspec.structs import replace

        now = self._machine.now()
        return [replace(news, started_at=now - 5, finished_at=now) for news in super().poll(timeout)]


def test_a_workers_clock_is_put_right_and_back() -> None:
    log, clock = ToldTime(), VirtualClock()
    put = LogClock(cast(Log, log), clock)
    log.told = LogTime(clock.now() + DAY, clock.now() + DAY)
    put.put_right()
    assert put.now() == clock.now() + DAY
    log.told = None
    put.put_right()
    assert put.now() == clock.now() + DAY
    log.told = LogTime(clock.now(), clock.now())
    put.put_right()
    assert put.now() == clock.now()


def test_a_clock_that_is_set_between_two_comparisons_moves_no_time() -> None:
    log, true = ToldTime(), VirtualClock()
    machine = MachineClock(true, skew_ms=-DAY, began=5.0)
    clock = LogClock(cast(Log, log), machine)
    log.told = LogTime(true.now(), true.now())
    clock.put_right()
    assert clock.now() == true.now()
    machine.mend()
    true.advance(1.5)
    assert clock.now() == true.now()
    log.told = None
    clock.put_right()  # nothing is known for now
    assert clock.now() == true.now()
    machine.jump(DAY)
    assert clock.now() == true.now()
