"""A loop that waits for the log goes on beating, one that hangs does not, and one that has left is quiet."""

from __future__ import annotations

import pytest

from streamsched.domain.events import NodeBeat
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import TopicPartition
from streamsched.runtime.beats import HANGING_AFTER_S, INTERVAL, NodeStatus, interval_of
from streamsched.runtime.ownership import Ownership
from streamsched.testing.clock import VirtualClock
from tests.unit.scheduler.test_evictor import TOPICS, Member

CODEC = Codec()


class Site:
    """One node whose loop the test turns."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(clock=self.clock.now)
        self.cluster.connect("client").create_topics(TOPICS.specs())
        self.heartbeats = Member(self.cluster, self.clock, "node").heartbeats

    def turn(self) -> None:
        self.heartbeats.beat(lambda: NodeStatus("running", 1, 1), "running")

    def beats(self) -> list[NodeBeat | None]:
        reader = self.cluster.connect("reader").reader()
        reader.assign({TopicPartition(TOPICS.workers, 0): 0})
        found: list[NodeBeat | None] = []
        for record in reader.poll(10_000, 0.0):
            event = CODEC.decode(record) if record.value else None
            assert event is None or isinstance(event, NodeBeat)
            found.append(event)
        return found


def test_a_loop_that_turns_needs_no_help() -> None:
    site = Site()
    for _ in range(100):
        site.turn()
        site.clock.advance(0.1)
        site.heartbeats.again()
    assert [beat.loop_age for beat in site.beats() if beat is not None] == [0] + [100] * 19


def test_a_loop_that_waits_goes_on_beating_and_tells_its_age_until_it_counts_as_hanging() -> None:
    site = Site()
    site.turn()
    for _ in range(round(3 * HANGING_AFTER_S / 0.1)):
        site.clock.advance(0.1)
        site.heartbeats.again()
    beats = [beat for beat in site.beats() if beat is not None]
    assert len(beats) == 1 + HANGING_AFTER_S / INTERVAL
    ages = [beat.loop_age for beat in beats[1:]]
    assert ages == sorted(ages)
    assert ages[-1] <= 1000 * HANGING_AFTER_S
    site.turn()
    assert len(site.beats()) == len(beats) + 1


def test_a_node_that_joins_tells_its_name_in_the_group_as_soon_as_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may die before it has joined, and is to be evicted then."""
    site = Site()
    site.turn()
    monkeypatch.setattr(Ownership, "member_id", "given by the group")
    site.clock.advance(0.01)
    site.turn()
    assert [beat.member_id for beat in site.beats() if beat is not None] == ["", "given by the group"]
    assert not site.heartbeats.joined


def test_a_node_that_has_left_stays_off_the_list() -> None:
    site = Site()
    site.turn()
    site.clock.advance(1)
    site.heartbeats.stop()
    site.heartbeats.again()
    assert site.beats()[-1] is None


def test_a_node_that_never_beat_is_not_made_up() -> None:
    site = Site()
    site.clock.advance(5)
    site.heartbeats.again()
    assert site.beats() == []


def test_beats_are_rarer_in_a_crowd() -> None:
    assert [interval_of(nodes) for nodes in (1, 250, 1000)] == [0.5, 0.5, 2.0]
