"""The evictor over the memory log: it evicts, fences and takes off the list, or says once that it cannot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamsched.domain.events import NodeBeat
from streamsched.log.codec import Codec
from streamsched.log.core import Connection
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Append, CannotEvict, LogUnreachable, TopicPartition, WriterFenced
from streamsched.log.topics import Topics
from streamsched.runtime.beats import INTERVAL, HeartbeatSender, NodeStatus
from streamsched.runtime.commit_metadata import INITIAL
from streamsched.runtime.identity import Identity
from streamsched.runtime.ownership import Ownership
from streamsched.runtime.records import Records
from streamsched.scheduler.evictor import Evictor
from streamsched.testing.clock import VirtualClock
from tests.unit.runtime.test_ownership import Owner, Site

CODEC = Codec()
TOPICS = Topics(event_partitions=2, child_partitions=2)
RECORDS = Records(CODEC, TOPICS)


class Deaf(Connection):
    """A connection on which evictions fail."""

    def __init__(self, cluster: MemoryCluster, name: str, error: Exception) -> None:
        super().__init__(cluster, name)
        self.error = error

    def evict(self, group: str, member_id: str, transactional_id: str = "") -> None:
        raise self.error

    def check_eviction(self) -> None:
        if isinstance(self.error, CannotEvict):
            raise self.error


def evictor_of(log: Connection, clock: VirtualClock) -> Evictor:
    return Evictor(log=log, coordination=log, topics=TOPICS, codec=CODEC, me="judge", clock=clock)


class IdleOwner(Owner):
    """An owner that does nothing with its partitions."""


class Member:
    """A node as its group and its beats know it."""

    def __init__(self, cluster: MemoryCluster, clock: VirtualClock, name: str, role: str = "worker") -> None:
        self.log = cluster.connect(name)
        group, topic = (
            (TOPICS.worker_group, TOPICS.children) if role == "worker" else (TOPICS.scheduler_group, TOPICS.events)
        )
        me = Identity(name, name, clock)
        owner = object.__new__(IdleOwner)
        owner.told, owner.claims, owner.releases, owner.waited = [], {}, False, 0
        self.ownership = Ownership(
            log=self.log, coordination=self.log, group=group, topic=topic, node_id=name, partition_handler=owner,
            clock=clock, pause=clock.advance,
        )  # fmt: skip
        self.heartbeats = HeartbeatSender(
            log=self.log, records=RECORDS, me=me, role=role, ownership=self.ownership, partitions=2
        )

    def live(self) -> None:
        self.ownership.poll()
        self.heartbeats.beat(lambda: NodeStatus("running", 1, 1), "running")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def cluster(clock: VirtualClock) -> MemoryCluster:
    made = MemoryCluster(clock=clock.now)
    client = made.connect("client")
    client.create_topics(TOPICS.specs())
    client.commit_initial(TOPICS.scheduler_group, TOPICS.journal(), INITIAL.encode())
    client.commit_initial(TOPICS.worker_group, TOPICS.work_log(), INITIAL.encode())
    return made


def listed(cluster: MemoryCluster) -> dict[str, NodeBeat | None]:
    """Read what the topic of beats says of each node."""
    reader = cluster.connect("reader").reader()
    reader.assign({TopicPartition(TOPICS.workers, 0): 0})
    found: dict[str, NodeBeat | None] = {}
    for record in reader.poll(10_000, 0.0):
        beat = CODEC.decode(record) if record.value else None
        assert beat is None or isinstance(beat, NodeBeat)
        found[(record.key or b"").decode()] = beat
    return found


def live(clock: VirtualClock, seconds: float, *nodes: Member, look: Callable[[], int]) -> int:
    """Let these nodes live, and the evictor look; returns how many it evicted."""
    evicted = 0
    for _ in range(round(seconds / 0.1)):
        clock.advance(0.1)
        for node in nodes:
            node.live()
        evicted += look()
    return evicted


def test_a_silent_worker_loses_its_partitions_its_writer_and_its_place_on_the_list(
    cluster: MemoryCluster, clock: VirtualClock
) -> None:
    judge, one, two = (
        Member(cluster, clock, "judge", "scheduler"),
        Member(cluster, clock, "one"),
        Member(cluster, clock, "two"),
    )
    evictor = evictor_of(cluster.connect("evictor"), clock)
    assert live(clock, 3, judge, one, two, look=lambda: evictor.step(0.0)) == 0
    assert sorted([*one.ownership.claims, *two.ownership.claims]) == [0, 1]
    assert live(clock, 3, judge, two, look=lambda: evictor.step(0.0)) == 1
    assert sorted(two.ownership.claims) == [0, 1], "the session of the memory log is longer than this"
    with pytest.raises(WriterFenced):
        one.ownership.commit([], {})
    assert listed(cluster)["one"] is None
    assert live(clock, 20, judge, two, look=lambda: evictor.step(0.0)) == 0
    evictor.close()


def test_a_silent_scheduler_is_evicted_by_another(cluster: MemoryCluster, clock: VirtualClock) -> None:
    judge, other = Member(cluster, clock, "judge", "scheduler"), Member(cluster, clock, "other", "scheduler")
    evictor = evictor_of(cluster.connect("evictor"), clock)
    live(clock, 3, judge, other, look=lambda: evictor.step(0.0))
    assert live(clock, 3, judge, look=lambda: evictor.step(0.0)) == 1
    assert sorted(judge.ownership.claims) == [0, 1]


def test_one_evicted_by_mistake_comes_back_as_a_new_member(cluster: MemoryCluster, clock: VirtualClock) -> None:
    judge, one, two = (
        Member(cluster, clock, "judge", "scheduler"),
        Member(cluster, clock, "one"),
        Member(cluster, clock, "two"),
    )
    evictor = evictor_of(cluster.connect("evictor"), clock)
    live(clock, 3, judge, one, two, look=lambda: evictor.step(0.0))
    before = one.ownership.member_id, one.ownership.transactional_id
    assert live(clock, 3, judge, two, look=lambda: evictor.step(0.0)) == 1
    assert live(clock, 10, judge, one, two, look=lambda: evictor.step(0.0)) == 0
    assert len(one.ownership.claims) == len(two.ownership.claims) == 1
    assert one.ownership.member_id != before[0]
    assert one.ownership.transactional_id != before[1]


def test_a_node_that_left_is_not_evicted(cluster: MemoryCluster, clock: VirtualClock) -> None:
    judge, one = Member(cluster, clock, "judge", "scheduler"), Member(cluster, clock, "one")
    evictor = evictor_of(cluster.connect("evictor"), clock)
    live(clock, 3, judge, one, look=lambda: evictor.step(0.0))
    one.ownership.leave()
    one.heartbeats.stop()
    assert live(clock, 20, judge, look=lambda: evictor.step(0.0)) == 0


def test_where_no_node_can_be_evicted_there_is_no_evictor(cluster: MemoryCluster, clock: VirtualClock) -> None:
    log = Deaf(cluster, "evictor", CannotEvict("the package is missing"))
    with pytest.raises(CannotEvict):
        evictor_of(log, clock)


def test_an_eviction_that_fails_is_tried_again(
    cluster: MemoryCluster, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    judge, one = Member(cluster, clock, "judge", "scheduler"), Member(cluster, clock, "one")
    log = Deaf(cluster, "evictor", LogUnreachable("no answer"))
    evictor = evictor_of(log, clock)
    live(clock, 3, judge, one, look=lambda: evictor.step(0.0))
    assert live(clock, 7, judge, look=lambda: evictor.step(0.0)) == 0
    assert len([line for line in caplog.messages if "no answer" in line]) == 3
    assert listed(cluster)["one"] is not None


def test_rubbish_among_the_beats_is_passed_over(cluster: MemoryCluster, clock: VirtualClock) -> None:
    judge = Member(cluster, clock, "judge", "scheduler")
    evictor = evictor_of(cluster.connect("evictor"), clock)
    for key, value in ((b"x", b"rubbish"), (None, b""), (b"\xff\xfe", b"\xc3\x01"), (None, None)):
        judge.log.post(Append(TOPICS.workers, 0, key, value))
    assert live(clock, 5 * INTERVAL, judge, look=lambda: evictor.step(0.0)) == 0


def test_a_claim_that_waits_for_its_predecessor_shows_signs_of_life() -> None:
    site = Site()
    old, new = Owner(site, "old"), Owner(site, "new")
    old.ownership.poll()
    site.pass_time(60)
    new.ownership.poll()
    assert new.waited > 0
