"""Who is judged dead, on a virtual clock: whatever holds up the failure detector itself accuses nobody."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from random import Random

import pytest

from streamsched.domain.events import NodeBeat
from streamsched.runtime.beats import INTERVAL
from streamsched.scheduler.failure_detector import FIND_BACK_S, OWN_BEATS, SILENCE_S, FailureDetector

ME = "judge"


def beat(node_id: str, role: str = "worker") -> NodeBeat:
    return NodeBeat(
        b"id", 0, node_id, node_id, node_id, role, "1", "running", f"member-{node_id}", f"writer-{node_id}",
        1, 1, 0, (0,), (), 0,
    )  # fmt: skip


class Topic:
    """The beats as the log has them, read by one failure detector at times of the test's choice."""

    def __init__(self, *nodes: str) -> None:
        self.detector = FailureDetector(ME)
        self.now = 100.0
        self.nodes = list(nodes)
        self.evicted: list[str] = []
        self.told: list[tuple[float, str]] = []

    def read(self, *node_ids: str) -> None:
        """Read one beat of each of these, now, and look."""
        for node_id in node_ids:
            self.detector.on_beat(node_id, beat(node_id), self.now)
        self.look()

    def look(self) -> None:
        for dead in self.detector.suspects(self.now):
            self.evicted.append(dead.node_id)
            self.told.append((self.now, dead.node_id))

    def gone(self, node_id: str) -> None:
        """Read that a node is off the list."""
        self.detector.on_beat(node_id, None, self.now)

    def live(self, seconds: float, *, silent: Iterable[str] = (), every: float = INTERVAL) -> None:
        """Let all beat for so long but these."""
        for _ in range(round(seconds / every)):
            self.now += every
            self.read(*(node for node in self.nodes if node not in set(silent)), ME)


def test_a_silent_node_is_evicted_after_two_seconds_and_no_sooner() -> None:
    topic = Topic("a", "b")
    topic.live(5)
    last = topic.now
    topic.live(SILENCE_S - INTERVAL, silent="a")
    assert topic.evicted == []
    topic.live(INTERVAL, silent="a")
    assert topic.told == [(last + SILENCE_S, "a")]


def test_between_two_own_beats_it_is_evicted_once_the_two_seconds_are_over() -> None:
    topic = Topic("a", "b")
    topic.live(5)
    topic.now += 0.3
    topic.read("a")
    last = topic.now
    topic.now -= 0.3
    topic.live(SILENCE_S, silent="a")
    assert topic.evicted == []
    assert topic.detector.wait(topic.now) == pytest.approx(0.3)
    topic.now = last + SILENCE_S - 0.01
    topic.look()
    assert topic.evicted == []
    topic.now = last + SILENCE_S
    topic.look()
    assert topic.told == [(topic.now, "a")]
    assert topic.detector.wait(topic.now) == inf


def test_while_its_own_beat_is_late_no_node_is_evicted_between() -> None:
    """Here the topic says nothing since 1.4 s after the node's last beat: it may hold up all beats."""
    topic = Topic("a", "b")
    topic.live(5)
    topic.now += 0.1
    topic.read("a")
    topic.now -= 0.1
    topic.live(SILENCE_S - INTERVAL, silent="a")
    topic.now += 0.61
    assert topic.detector.wait(topic.now) == inf
    topic.look()
    assert topic.evicted == []
    topic.read("b", ME)
    assert topic.evicted == ["a"]


def test_a_node_that_beats_is_never_evicted() -> None:
    topic = Topic("a", "b", "c")
    topic.live(500)
    assert topic.evicted == []


def test_one_silence_is_one_eviction_once_it_is_off_the_list() -> None:
    topic = Topic("a", "b")
    topic.live(2)
    topic.live(SILENCE_S, silent="a")
    topic.gone("a")
    topic.live(60, silent="a")
    assert topic.evicted == ["a"]


def test_an_eviction_that_failed_is_tried_again_after_another_silence() -> None:
    topic = Topic("a", "b")
    topic.live(2)
    topic.live(3 * SILENCE_S, silent="a")
    assert topic.evicted == ["a"] * 3


def test_a_judge_that_was_frozen_accuses_nobody() -> None:
    """It reads what the others wrote meanwhile, or does not even, and then its own next beat."""
    for frozen in (1.1, 3.0, 20.0, 3600.0):
        for backlog in (True, False):
            topic = Topic("a", "b")
            topic.live(2)
            topic.now += frozen
            if backlog:
                topic.read(*["a", "b"] * 5)
            topic.read(ME)
            topic.live(1.5, silent="ab")
            assert topic.evicted == []
            topic.live(10)
            assert topic.evicted == []


def test_after_an_outage_all_have_time_to_find_back_and_who_does_not_is_evicted() -> None:
    topic = Topic("slow", "dead", "quick")
    topic.live(2)
    topic.now += 90.0
    topic.read(ME)
    begun = topic.now
    topic.live(2.5, silent=["slow", "dead"])
    topic.live(10, silent=["dead"])
    assert topic.told[0] == (begun + SILENCE_S + FIND_BACK_S, "dead")
    assert set(topic.evicted) == {"dead"}


def test_own_beats_that_come_all_at_once_prove_nothing() -> None:
    """The detector was cut off from the broker: its queue arrives in one go, before the others' beats are read."""
    topic = Topic("a", "b")
    topic.live(2)
    topic.now += 6.0
    topic.read(*[ME] * 12)
    topic.now += 0.01
    topic.read(*[ME] * 12)
    assert topic.evicted == []
    topic.live(20)
    assert topic.evicted == []


def test_a_backlog_read_in_bursts_accuses_nobody() -> None:
    """Its reader alone lags: each half second it gets the beats of all, in their order, of seconds ago."""
    topic = Topic("a", "b")
    for _ in range(20):
        topic.now += 0.9
        topic.read(*["a", "b", ME] * 4)
    assert topic.evicted == []


def test_own_beats_that_are_late_each_time_judge_nobody() -> None:
    topic = Topic("a", "b")
    topic.live(2)
    topic.live(60, silent="a", every=1.5)
    assert topic.evicted == []


def test_a_judge_without_beats_of_its_own_judges_nobody() -> None:
    topic = Topic("a", "b")
    for _ in range(100):
        topic.now += INTERVAL
        topic.read("b")
    assert topic.evicted == []


def test_extra_beats_of_its_own_do_not_hurry() -> None:
    """A node beats at once when its partitions change."""
    topic = Topic("a")
    topic.live(2)
    for _ in range(30):
        topic.now += 0.05
        topic.read(ME)
    assert topic.evicted == []


def test_two_of_three_are_not_evicted_at_once() -> None:
    topic = Topic("a", "b")
    topic.live(2)
    topic.live(SILENCE_S, silent="ab")
    assert topic.evicted == ["a"]
    topic.gone("a")
    topic.live(SILENCE_S - INTERVAL, silent="ab")
    assert topic.evicted == ["a"]
    topic.live(INTERVAL, silent="ab")
    assert topic.evicted == ["a", "b"]


def test_a_worker_and_a_scheduler_of_two_each_are_evicted_at_once() -> None:
    topic = Topic("worker", "scheduler", "other worker")
    topic.live(2)
    topic.live(SILENCE_S, silent=["worker", "scheduler"])
    assert topic.evicted == ["worker", "scheduler"]


def test_the_second_of_two_is_evicted_soon_though_the_first_is_off_the_list_by_then() -> None:
    topic = Topic("worker", "scheduler", "other worker")
    topic.live(2)
    topic.live(INTERVAL, silent=["scheduler"])
    topic.live(SILENCE_S - INTERVAL, silent=["worker", "scheduler"])
    topic.gone("scheduler")
    topic.live(INTERVAL, silent=["worker", "scheduler"])
    assert topic.evicted == ["scheduler", "worker"]


def test_a_half_at_once_is_the_most() -> None:
    nodes = [f"n{number:02}" for number in range(39)]
    topic = Topic(*nodes)
    topic.live(2)
    topic.live(SILENCE_S, silent=nodes)
    assert len(topic.evicted) == 20
    for node in topic.evicted:
        topic.gone(node)
    topic.live(SILENCE_S - INTERVAL, silent=nodes)
    assert len(topic.evicted) == 20
    topic.live(INTERVAL, silent=nodes)
    assert len(topic.evicted) == 20 + (40 - 20) // 2


def test_one_that_comes_back_is_given_twice_the_time_and_twice_again() -> None:
    topic = Topic("a", "b")
    for factor in (1, 2, 4, 4):
        topic.live(2)
        before = len(topic.evicted)
        topic.live(factor * SILENCE_S - INTERVAL, silent="a")
        assert len(topic.evicted) == before, factor
        topic.live(INTERVAL, silent="a")
        assert len(topic.evicted) == before + 1, factor
        topic.gone("a")


def test_one_that_was_evicted_by_another_judge_is_not_evicted_again() -> None:
    topic = Topic("a", "b")
    topic.live(2)
    topic.live(1, silent="a")
    topic.gone("a")
    topic.live(30, silent="a")
    assert topic.evicted == []


def test_a_silence_of_one_second_is_none() -> None:
    topic = Topic("a", "b")
    for _ in range(20):
        topic.live(3)
        topic.live(1.5, silent="a")
    assert topic.evicted == []


def test_nodes_that_the_list_still_has_from_before_are_cleared_away() -> None:
    """Their last beats are read when the failure detector starts, and nothing more of them."""
    topic = Topic("b")
    topic.read("old-1", "old-2")
    for _ in range(3):
        topic.live(3)
        for node in topic.evicted:
            topic.gone(node)
    assert sorted(topic.evicted) == ["old-1", "old-2"]


def test_in_a_crowd_beats_are_rarer_and_patience_is_longer() -> None:
    nodes = [f"n{number}" for number in range(999)]  # of 1,000 nodes each beats every 2 s
    topic = Topic(*nodes)
    topic.live(20, silent=())
    silent = {"n1"}
    for turn in range(15):
        topic.now += INTERVAL
        topic.read(*(node for number, node in enumerate(nodes) if number % 4 == turn % 4 and node not in silent), ME)
    assert topic.evicted == []
    topic.live(1, silent=silent)
    assert topic.evicted == ["n1"]


def test_a_judge_busy_with_an_eviction_was_not_held_up() -> None:
    topic = Topic("a", "b", *(f"n{number}" for number in range(7)))
    topic.live(2)
    topic.live(SILENCE_S, silent="a")
    topic.now += 3.0
    topic.detector.excuse(topic.now)
    topic.look()
    topic.read(*["b"] * 6, *[ME] * 6)
    topic.live(4 * INTERVAL, silent="a")
    assert "b" not in topic.evicted


class Trouble:
    """A failure detector that is frozen, cut off or lagging at times, and nodes that beat unevenly and die."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.detector = FailureDetector(ME)
        self.now = 100.0
        self.nodes = {f"n{number}": 0.0 for number in range(self.rng.randint(1, 6))}
        self.dead: dict[str, float] = {}
        self.until = {"frozen": 0.0, "cut off": 0.0, "lagging": 0.0}
        self.written: list[str] = []
        self.queue: list[str] = []
        self.own_next = 0.0
        self.read = 0

    def turn(self) -> None:
        self.now += 0.05
        for node, at in self.nodes.items():
            if self.now >= at and node not in self.dead:
                self.written.append(node)
                self.nodes[node] = self.now + INTERVAL * self.rng.uniform(0.8, 1.5)
        if self.rng.random() < 0.002:
            self.dead.setdefault(self.rng.choice(list(self.nodes)), self.now)
        for trouble in self.until:
            if self.rng.random() < 0.005:
                self.until[trouble] = self.now + self.rng.choice((0.5, 1.2, 3.0, 6.0, 20.0))
        if self.now >= self.until["frozen"]:
            self._judge()

    def _judge(self) -> None:
        if self.now >= self.own_next:
            self.queue.append(ME)
            self.own_next = self.now + INTERVAL
        if self.now < self.until["cut off"]:  # its beats wait, and it reads nothing
            return
        self.written += self.queue
        self.queue.clear()
        if self.now < self.until["lagging"]:
            return
        for node in self.written[self.read :]:
            self.detector.on_beat(node, beat(node), self.now)
        for found in self.detector.suspects(self.now):
            assert found.node_id in self.dead, f"{found.node_id} was alive at {self.now:.2f}"
            assert self.now - self.dead[found.node_id] >= SILENCE_S - 1.5 * INTERVAL
        self.read = len(self.written)


@pytest.mark.parametrize("seed", range(200))
def test_whatever_befalls_the_judge_only_the_silent_are_evicted(seed: int) -> None:
    trouble = Trouble(seed)
    while trouble.now < 160.0:
        trouble.turn()


def test_the_numbers_belong_together() -> None:
    assert OWN_BEATS * INTERVAL <= SILENCE_S
