"""A scheduler ends what the log has forgotten: where readers stand still in two looks, and nowhere else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest

from streamsched.log.memory import MemoryLog
from streamsched.log.port import CannotEvict, Hanging, LogError, NotAllowed, TopicPartition
from streamsched.log.topics import Topics
from streamsched.scheduler.reaper import LOOK_INTERVAL_S, HangingTransactionReaper

TOPICS = Topics("t", event_partitions=2, child_partitions=2)
FIRST, SECOND = TOPICS.journal()


class Forgetful(MemoryLog):
    """A log that says where readers stand still, and takes every transaction there for a forgotten one."""

    def __init__(self) -> None:
        super().__init__()
        self.standing: dict[TopicPartition, int] = {}
        self.committed_: bool | None = True
        self.asked: list[dict[TopicPartition, int]] = []
        self.ended: list[Hanging] = []

    def held(self, partitions: Collection[TopicPartition], groups: Collection[str]) -> Mapping[TopicPartition, int]:
        assert set(partitions) == {*TOPICS.journal(), *TOPICS.work_log()}
        assert set(groups) == {TOPICS.scheduler_group, TOPICS.worker_group}
        return dict(self.standing)

    def hanging(self, places: Mapping[TopicPartition, int]) -> Sequence[Hanging]:
        self.asked.append(dict(places))
        return [Hanging(place, at, "x", 1, self.committed_) for place, at in places.items()]

    def end_hanging(self, hanging: Hanging) -> bool:
        if hanging.committed is None:
            raise LogError("nobody knows")
        self.ended.append(hanging)
        del self.standing[hanging.place]
        return True


class Ticking:
    """A clock that goes on by one interval with every look at it."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> int:
        return 0

    def monotonic(self) -> float:
        self._seconds += LOOK_INTERVAL_S
        return self._seconds


@pytest.fixture
def log() -> Forgetful:
    return Forgetful()


@pytest.fixture
def reaper(log: Forgetful) -> HangingTransactionReaper:
    return HangingTransactionReaper(log=log, coordination=log, topics=TOPICS, clock=Ticking())


def test_what_stands_still_is_ended(log: Forgetful, reaper: HangingTransactionReaper) -> None:
    log.standing = {FIRST: 3, SECOND: 5}
    assert reaper.step() == 0
    log.standing[SECOND] = 6  # this one goes on
    assert reaper.step() == 1
    assert [(each.place, each.position) for each in log.ended] == [(FIRST, 3)]
    log.standing = {}
    assert reaper.step() == 0
    assert log.asked == [{}, {FIRST: 3}, {}]


def test_what_nobody_knows_is_said_once(
    log: Forgetful, reaper: HangingTransactionReaper, caplog: pytest.LogCaptureFixture
) -> None:
    log.standing, log.committed_ = {FIRST: 3}, None
    assert [reaper.step() for _ in range(4)] == [0, 0, 0, 0]
    assert [record.getMessage() for record in caplog.records] == [
        "readers stand still: nobody knows; see: streamsched topics check"
    ]


class Forbidding(Forgetful):
    """A log that refuses what the test says."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = refused

    def held(self, partitions: Collection[TopicPartition], groups: Collection[str]) -> Mapping[TopicPartition, int]:
        if "partitions" in self.refused or (groups and "positions" in self.refused):
            raise NotAllowed("describe this")
        return dict(self.standing) if not groups else super().held(partitions, groups)

    def hanging(self, places: Mapping[TopicPartition, int]) -> Sequence[Hanging]:
        if places and "evictor" in self.refused:
            raise CannotEvict("no counterpart")
        if places and "transactions" in self.refused:
            raise NotAllowed("read that")
        return super().hanging(places)


@pytest.mark.parametrize(
    ("refused", "ended", "said"),
    [
        (["positions"], 1, ["hanging transactions in the groups' positions are not looked for: describe this"]),
        (["transactions"], 0, ["hanging transactions cannot be found: read that"]),
        (["evictor"], 0, ["hanging transactions cannot be found: no counterpart"]),
        (
            ["positions", "partitions"],
            0,
            [
                "hanging transactions in the groups' positions are not looked for: describe this",
                "hanging transactions are not looked for: describe this",
            ],
        ),
    ],
)
def test_what_a_right_is_missing_for_is_said_once_and_the_rest_goes_on(
    refused: list[str], ended: int, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = Forbidding(*refused)
    reaper = HangingTransactionReaper(log=log, coordination=log, topics=TOPICS, clock=Ticking())
    log.standing = {FIRST: 3}
    assert sum(reaper.step() for _ in range(5)) == ended
    assert caplog.messages[: len(said)] == said
    assert [line for line in caplog.messages[len(said) :] if "ended it" not in line] == []


def test_looks_are_rare(log: Forgetful) -> None:
    class Still(Ticking):
        def monotonic(self) -> float:
            return 1.0

    reaper = HangingTransactionReaper(log=log, coordination=log, topics=TOPICS, clock=Still())
    reaper.step()
    reaper.step()
    assert log.asked == [{}]
