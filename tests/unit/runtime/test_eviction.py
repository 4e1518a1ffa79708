"""An eviction and what it leaves: a tombstone that names the writer it has fenced."""

from __future__ import annotations

import pytest

from streamsched.log.codec import Codec
from streamsched.log.core import Connection
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import LogUnreachable, NotAllowed, Reader, WriterFenced
from streamsched.log.topics import Topics
from streamsched.runtime.eviction import LATEST, evict, fenced
from streamsched.runtime.records import Records

TOPICS = Topics(event_partitions=2, child_partitions=2)
RECORDS = Records(Codec(), TOPICS)


class Forbidden(Connection):
    """A connection that may not read."""

    def reader(self) -> Reader:  # type: ignore[override]
        raise NotAllowed("cannot read")


@pytest.fixture
def cluster() -> MemoryCluster:
    made = MemoryCluster()
    made.connect("client").create_topics(TOPICS.specs())
    return made


def evicted(log: Connection, node: str, writer: str) -> None:
    evict(log, log, RECORDS, node=node, group="group", member="", writer=writer)


def test_the_writers_of_the_latest_evictions_are_told_and_others_are_not(cluster: MemoryCluster) -> None:
    log = cluster.connect("evictor")
    writer = log.writer("a.1")
    log.post(RECORDS.beat(None, "left-in-order"))
    evicted(log, "a", "a.1")
    evicted(log, "b", "b.7")
    evicted(log, "never-wrote", "")
    assert set(fenced(cluster.connect("successor"), TOPICS)) == {"a.1", "b.7"}
    with pytest.raises(WriterFenced):
        writer.commit([], {}, log.member("group", TOPICS.children, None))  # type: ignore[arg-type]


def test_an_eviction_whose_fence_fails_tells_of_none(cluster: MemoryCluster) -> None:
    class Deaf(Connection):
        def fence(self, transactional_id: str) -> None:
            raise LogUnreachable("made up")

    with pytest.raises(LogUnreachable):
        evicted(Deaf(cluster, "evictor"), "a", "a.1")
    assert not fenced(cluster.connect("successor"), TOPICS)


def test_of_a_long_list_only_the_end_is_read(cluster: MemoryCluster) -> None:
    log = cluster.connect("evictor")
    evicted(log, "a", "a.1")
    for _ in range(LATEST):
        log.post(RECORDS.beat(None, "b"))
    assert not fenced(log, TOPICS)


def test_one_that_may_not_read_the_list_learns_of_none(cluster: MemoryCluster) -> None:
    evicted(cluster.connect("evictor"), "a", "a.1")
    assert not fenced(Forbidden(cluster, "successor"), TOPICS)
