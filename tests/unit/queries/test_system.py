"""What is made of what the log says: lag without what is settled, what stands still, and what may not be seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import CannotEvict, Committed, Hanging, LogUnreachable, NotAllowed, TopicPartition
from streamsched.log.topics import Topics
from streamsched.queries.survey import PAUSE_S, Survey, Surveyor
from streamsched.queries.system import Folded, System, system
from streamsched.runtime.commit_metadata import INITIAL, CommitMetadata, encode_ranges
from tests.support import worker_case
from tests.unit.queries.test_progress import beat

TOPICS = Topics("t", event_partitions=1, child_partitions=2)
(JOURNAL,) = TOPICS.journal()
FIRST, SECOND = TOPICS.work_log()


class Log:
    """A log of two offsets in each partition, some of whose transactions stand still."""

    def __init__(self) -> None:
        self.standing: dict[TopicPartition, int] = {}
        self.refuses: set[str] = set()
        self.decided: bool | None = True
        self.looks = 0

    def end(self, places: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(places, 2)

    def held(self, _: Collection[TopicPartition], groups: Collection[str]) -> Mapping[TopicPartition, int]:
        self.looks += 1
        if groups and "groups" in self.refuses:
            raise NotAllowed("no right to describe __consumer_offsets")
        return dict(self.standing)

    def committed(self, group: str, places: Collection[TopicPartition], **_: Any) -> dict[TopicPartition, Committed]:
        if group in self.refuses:
            raise LogUnreachable("no coordinator")
        return {place: Committed(1, INITIAL.encode()) for place in places}

    def hanging(self, places: Mapping[TopicPartition, int]) -> Sequence[Hanging]:
        if "hanging" in self.refuses:
            raise CannotEvict("install the package kafka-python")
        return [Hanging(place, at, "x", 7, self.decided) for place, at in places.items()]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def clock() -> worker_case.TestClock:
    return worker_case.TestClock()


@pytest.fixture
def surveyor(log: Log, clock: worker_case.TestClock) -> Surveyor:
    site = SimpleNamespace(log=log, topics=TOPICS, clock=clock, pause=clock.advance, refresh=lambda: None)
    return Surveyor(cast(Installation, site))


def told(survey: Survey | None, *beats: Any) -> System:
    heard = [(each, 20_000) for each in beats]
    folded = Folded({0: 1}, {0: 5}, {0: "stands still"})
    return system(Settings(brokers="b:1"), TOPICS, heard, folded, survey, "", 30_000)


def test_lag_leaves_out_what_is_settled_behind_the_position(surveyor: Surveyor) -> None:
    survey = surveyor.look()
    ranges = encode_ranges([2, 10, 3, 20])
    metadata = CommitMetadata("w", 1, 1, released=False, settled_ranges=ranges).encode()
    ends = {JOURNAL: 2, FIRST: 100, SECOND: 100}
    committed = {JOURNAL: None, FIRST: Committed(60, metadata), SECOND: Committed(60, "set by hand")}
    found = told(replace(survey, ends=ends, committed=committed))
    assert [each.lag for each in (*found.journal, *found.work_log)] == [None, 10, 40]
    assert (found.journal[0].folded_lag, found.journal[0].folded_at, found.journal[0].halted) == (1, 5, "stands still")


def test_of_two_that_own_a_partition_the_last_one_to_say_so_does() -> None:
    old = replace(beat(), name="old", partitions=(0, 1), at=1)
    new = replace(beat(), name="new", partitions=(1,), at=2)
    found = told(None, new, old)
    assert [each.owner for each in found.work_log] == ["old", "new"]
    assert [each.owner for each in found.journal] == [None]


def test_what_is_open_for_a_moment_is_not_told(log: Log, surveyor: Surveyor, clock: worker_case.TestClock) -> None:
    surveyor.look()
    log.standing = {FIRST: 1}
    clock.advance(2)
    found = told(surveyor.look())
    assert (found.held, found.hanging, found.work_log[0].stable, found.work_log[1].stable) == ((), (), 1, 2)
    clock.advance(2)
    found = told(surveyor.look())
    assert [(each.topic, each.partition, each.position, each.held_ms) for each in found.held] == [(*FIRST, 1, 2000)]
    log.standing = {FIRST: 2}
    clock.advance(2)
    assert told(surveyor.look()).held == ()


def test_the_first_look_tells_what_hangs(log: Log, surveyor: Surveyor) -> None:
    log.standing = {SECOND: 1}
    (hanging,) = told(surveyor.look()).hanging
    assert (hanging.partition, hanging.decided, hanging.command) == (1, "commit", "streamsched topics repair")
    assert "t.children-1 at 1: the transaction of x was committed, and never ended" in hanging.detail
    assert log.looks == 2
    log.decided = None
    (hanging,) = told(surveyor.look()).hanging
    assert (hanging.decided, hanging.command) == ("", "")


def test_what_may_not_be_seen_takes_nothing_else_away(log: Log, surveyor: Surveyor) -> None:
    log.standing = {FIRST: 1}
    log.refuses = {"groups", "hanging", TOPICS.scheduler_group}
    for _ in range(2):
        found = told(surveyor.look())
        assert len(found.unknown) == 3
        assert {each.partition for each in found.held} == {0}
        assert [each.lag for each in (*found.journal, *found.work_log)] == [None, 1, 1]
    assert surveyor.look().stuck[FIRST] == PAUSE_S
