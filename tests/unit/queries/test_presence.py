"""Who counts as present: by what comes, and by the time of what came before, though clocks differ."""

from __future__ import annotations

import pytest

from streamsched.domain.events import NodeBeat
from streamsched.domain.ids import EventIds
from streamsched.http.beats import HeardBeats
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Append
from streamsched.log.topics import Topics
from streamsched.queries import presence
from streamsched.queries.nodes import FORGOTTEN_MS, listed
from streamsched.queries.presence import Presence
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from tests.support import worker_case
from tests.support.clients import Disk, Site

BOTH = "no scheduler and no worker was seen in the last 10 s: start 'streamsched scheduler' and 'streamsched worker'"


class MiniCluster:
    """A cluster whose nodes have one clock, and a client that may have another."""

    def __init__(self) -> None:
        self.nodes_clock, self.own_clock = worker_case.TestClock(), worker_case.TestClock()
        self.topics, self.codec = Topics(event_partitions=1, child_partitions=1), Codec()
        self.cluster = MemoryCluster(clock=self.nodes_clock.now)
        self.log = self.cluster.connect()
        self.log.create_topics(self.topics.specs())
        self._ids = EventIds()
        self.meanwhile: list[str] = []
        """Whose beats come while the client watches."""

    def beat(self, role: str, state: str = "running") -> None:
        event = NodeBeat(
            event_id=self._ids(), at=0, by=role, node_id=role, name=role, role=role, version="1", state=state,
            member_id="m", transactional_id="t", slots=1, free=1, pending=0, partitions=(0,), running=(), loop_age=0,
        )  # fmt: skip
        self.log.post(Records(self.codec, self.topics).beat(event, role))

    def left(self, role: str) -> None:
        self.log.post(Append(self.topics.workers, 0, role.encode(), None))

    def pause(self, seconds: float) -> None:
        for role in self.meanwhile:
            self.beat(role)

    def site(self) -> Site:
        me = Identity("me", "me", self.own_clock, EventIds())
        return Site(self.cluster.connect(), self.topics, self.codec, me, Disk(), self.pause)

    def looks(self) -> Presence:
        return Presence(self.site())

    def advance(self, seconds: float) -> None:
        self.nodes_clock.advance(seconds)
        self.own_clock.advance(seconds)


@pytest.fixture
def mini(monkeypatch: pytest.MonkeyPatch) -> MiniCluster:
    monkeypatch.setattr(presence, "LOOK_S", 0.0)
    return MiniCluster()


def test_nobody_was_ever_there(mini: MiniCluster) -> None:
    assert mini.looks().missing() == BOTH


def test_who_was_seen_lately_is_there_until_it_leaves_or_falls_silent(mini: MiniCluster) -> None:
    mini.beat("scheduler")
    assert mini.looks().missing() == "no worker was seen in the last 10 s: start 'streamsched worker'"
    mini.beat("worker")
    looks = mini.looks()
    assert looks.missing() == ""
    mini.advance(9)
    mini.beat("worker")
    assert looks.missing() == ""
    mini.advance(2)
    assert (
        looks.missing()
        == mini.looks().missing()
        == ("no scheduler was seen in the last 10 s: start 'streamsched scheduler'")
    )
    mini.beat("scheduler")
    mini.left("worker")
    assert (
        looks.missing() == mini.looks().missing() == ("no worker was seen in the last 10 s: start 'streamsched worker'")
    )


def test_a_worker_that_drains_takes_nothing_any_more(mini: MiniCluster) -> None:
    mini.beat("scheduler")
    mini.beat("worker", "yielding")
    looks = mini.looks()
    assert looks.missing() == "no worker was seen in the last 10 s: start 'streamsched worker'"
    assert [(each.role, each.state) for each, _ in looks.heard()] == [("scheduler", "running"), ("worker", "yielding")]


def test_a_server_that_begins_now_lists_who_fell_silent_before_until_it_is_forgotten(mini: MiniCluster) -> None:
    mini.beat("worker")
    mini.advance(FORGOTTEN_MS / 1000 - 1)
    for listed_roles in (["worker"], []):
        heard = HeardBeats(mini.site())
        heard.look()
        assert [beat.role for beat, _ in listed(heard.heard(), mini.own_clock.now())] == listed_roles
        assert heard.beats() == []
        mini.advance(1)


@pytest.mark.parametrize("ahead", [-50.0, -15.0, 15.0, 50.0])
def test_a_clock_that_differs_makes_nobody_missing(mini: MiniCluster, ahead: float) -> None:
    mini.nodes_clock.advance(1_000)
    mini.own_clock.advance(1_000 + ahead)
    for role in ("scheduler", "worker"):
        mini.beat(role)
    mini.meanwhile = ["scheduler", "worker"]
    looks = mini.looks()
    assert looks.missing() == ""
    mini.meanwhile = []
    mini.advance(11)
    assert looks.missing() == BOTH


def test_rubbish_among_the_beats_is_passed_over(mini: MiniCluster) -> None:
    for value in (b"", b"\xc3\x01nonsense", b"x" * 100):
        mini.log.post(Append(mini.topics.workers, 0, b"worker", value))
    mini.beat("scheduler")
    mini.beat("worker")
    assert mini.looks().missing() == ""
