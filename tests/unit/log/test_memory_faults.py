"""The memory log under faults: whatever goes wrong at a step of a commit, its outcome is Kafka's."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from streamsched.log.core import Connection
from streamsched.log.memory import MemoryCluster, MemoryLog
from streamsched.log.port import (
    Append,
    Committed,
    LogError,
    LogUnreachable,
    OutcomeUnknown,
    TopicPartition,
    TopicSpec,
    TransactionAborted,
    WriterFenced,
)

PLACE = TopicPartition("topic", 0)
STEPS = ["commit.begin", "commit.appended", "commit.offsets", "commit.before_end", "commit.after_end"]
OPEN = STEPS[1:4]


class Crash(BaseException):
    """The simulated death of a process."""


class Faults:
    """Raises, or does, something at one step of one client."""

    def __init__(self) -> None:
        self.client = "old"
        self.step = ""
        self.act: Callable[[], None] = lambda: None
        self.heard: list[str] = []

    def at(self, step: str, client: str) -> None:
        self.heard.append(step)
        if (step, client) == (self.step, self.client):
            self.step = ""
            self.act()


class Deaf:
    def on_assigned(self, partitions: Collection[int]) -> None: ...
    def on_revoked(self, partitions: Collection[int]) -> None: ...
    def on_lost(self, partitions: Collection[int]) -> None: ...


class World:
    """One cluster with a client that something happens to, and one that looks on."""

    def __init__(self) -> None:
        self.now = 0
        self.faults = Faults()
        self.cluster = MemoryCluster(clock=lambda: self.now, faults=self.faults)
        self.old = self.cluster.connect("old")
        self.new = self.cluster.connect("new")
        self.old.create_topics([TopicSpec("topic", 1, {})])
        self.member = self.old.member("group", "topic", Deaf())
        self.member.poll()
        self.writer = self.old.writer("writer")

    def commit(self, value: bytes, position: int) -> dict[int, int]:
        appends = [Append("topic", 0, None, value, (), True)]
        return dict(self.writer.commit(appends, {PLACE: Committed(position, str(position))}, self.member))

    def raising(self, step: str, error: BaseException) -> None:
        def act() -> None:
            raise error

        self.faults.step, self.faults.act = step, act

    def seen(self, log: Connection | None = None) -> list[bytes | None]:
        reader = (log or self.new).reader()
        reader.assign({PLACE: 0})
        return [record.value for record in reader.poll(100, 0)]

    def committed(self) -> int | None:
        found = self.new.committed("group", [PLACE], stable=True)[PLACE]
        return found and found.position


def test_every_step_is_told_in_order() -> None:
    world = World()
    world.faults.heard.clear()
    world.commit(b"a", 1)
    assert world.faults.heard == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_in_a_commit(step: str) -> None:
    world = World()
    world.commit(b"before", 1)
    world.raising(step, Crash())
    with pytest.raises(Crash):
        world.commit(b"crashed", 2)
    world.new.append([Append("topic", 0, None, b"behind")])
    if step in OPEN:
        assert world.seen() == [b"before"]
        if step == "commit.appended":
            assert world.committed() == 1
        else:
            with pytest.raises(LogUnreachable, match="open transaction"):
                world.committed()
    world.new.fence("writer")
    landed = step == "commit.after_end"
    assert world.seen() == ([b"before", b"crashed", b"behind"] if landed else [b"before", b"behind"])
    assert world.committed() == (2 if landed else 1)


@pytest.mark.parametrize("step", OPEN)
def test_an_open_transaction_ends_with_its_time(step: str) -> None:
    world = World()
    world.raising(step, Crash())
    with pytest.raises(Crash):
        world.commit(b"crashed", 1)
    world.now = 10_000
    assert world.seen() == []
    world.new.append([Append("topic", 0, None, b"behind")])
    world.now = 10_001
    assert world.seen() == [b"behind"]
    assert world.committed() is None


@pytest.mark.parametrize("step", STEPS[:4])
def test_an_abort_leaves_the_writer_usable(step: str) -> None:
    world = World()
    world.raising(step, TransactionAborted("as asked"))
    with pytest.raises(TransactionAborted):
        world.commit(b"aborted", 1)
    assert world.committed() is None
    offset = 0 if step == "commit.begin" else 2
    assert world.commit(b"next", 2) == {0: offset}
    assert world.seen() == [b"next"]


@pytest.mark.parametrize("error", [WriterFenced("as asked"), OutcomeUnknown("as asked"), LogUnreachable("as asked")])
@pytest.mark.parametrize("step", STEPS[:4])
def test_a_writer_that_failed_is_never_usable_again(step: str, error: LogError) -> None:
    world = World()
    world.raising(step, error)
    with pytest.raises(type(error)):
        world.commit(b"failed", 1)
    with pytest.raises(WriterFenced):
        world.commit(b"again", 2)
    world.new.fence("writer")
    assert world.seen() == []
    assert world.committed() is None


@pytest.mark.parametrize("step", ["commit.before_end", "commit.after_end"])
def test_an_unknown_outcome_tells_the_offsets_that_it_may_have_got(step: str) -> None:
    world = World()
    world.raising(step, OutcomeUnknown("as asked"))
    with pytest.raises(OutcomeUnknown) as caught:
        world.commit(b"perhaps", 1)
    assert caught.value.offsets == {0: 0}


@pytest.mark.parametrize("step", STEPS[:4])
def test_a_client_that_is_fenced_while_it_commits(step: str) -> None:
    world = World()
    world.faults.step, world.faults.act = step, lambda: world.new.fence("writer")
    with pytest.raises(WriterFenced):
        world.commit(b"zombie", 1)
    assert world.seen() == []
    assert world.committed() is None


def test_a_client_that_is_evicted_while_it_commits_is_asked_only_when_it_sends_positions() -> None:
    world = World()
    world.faults.step = "commit.appended"
    world.faults.act = lambda: world.new.evict("group", world.member.member_id)
    with pytest.raises(TransactionAborted):
        world.commit(b"refused", 1)
    world.member.poll()
    world.member.poll()
    world.faults.step = "commit.offsets"
    world.commit(b"accepted", 2)
    assert world.seen() == [b"accepted"]
    assert world.committed() == 2


def test_the_same_calls_give_the_same_log() -> None:
    def run() -> list[str]:
        world = World()
        for number in range(5):
            world.now += 7
            world.commit(b"%d" % number, number)
        return [*world.faults.heard, world.member.member_id, world.new.cluster_id, *map(str, world.seen())]

    assert run() == run()


def test_a_memory_log_alone_is_enough_for_a_test() -> None:
    log = MemoryLog()
    log.create_topics([TopicSpec("topic", 1, {})])
    assert log.append([Append("topic", 0, None, b"x")]) == [0]
    assert log.cluster.connect().end([PLACE]) == {PLACE: 1}
