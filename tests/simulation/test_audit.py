"""``audit verify`` never complains of what real nodes wrote, whatever befell them: at the end, and at any moment."""

from __future__ import annotations

from random import Random

import pytest

from streamsched.audit.verify import Report, verify
from streamsched.runtime import tracker
from streamsched.worker import settlement
from tests.simulation.harness import CODEC, TOPICS, World, history

pytestmark = pytest.mark.simulation

SEEDS = range(1, 61)
TRANSACTIONS_END = 11.0
"""Seconds after which no transaction of a dead node holds anything back."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clean_history_is_clean(seed: int) -> None:
    world = history(seed)
    world.clock.advance(TRANSACTIONS_END)
    report = judged(world)
    assert report.tasks == report.ended == len(world.tasks)
    assert report.events == sum(len(events) for events in world.journal().values())


@pytest.mark.parametrize("seed", SEEDS[::4])
def test_a_clean_history_with_little_room_for_settled_offsets(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "RUNS_LIMIT", 16)
    monkeypatch.setattr(settlement, "SPREAD", 20)
    monkeypatch.setattr(settlement, "RENEWED", 3)
    world = history(seed)
    world.clock.advance(TRANSACTIONS_END)
    judged(world)


@pytest.mark.parametrize("seed", SEEDS[::6])
def test_a_history_is_clean_at_any_moment(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work log is compared with the journal in the middle of it all, between any two steps of the nodes."""
    dice = Random(seed)
    turn = World.turn
    looks = 0

    def watched(world: World) -> None:
        nonlocal looks
        turn(world)
        if dice.random() < 0.05 and not world.cluster.coordinator._open:
            looks += 1
            judged(world)

    monkeypatch.setattr(World, "turn", watched)
    history(seed)
    assert looks


def judged(world: World) -> Report:
    report = verify(log=world.client, topics=TOPICS, codec=CODEC)
    assert not report.violations, "\n".join([*map(str, report.violations), *world.story])
    assert (report.unjudged, report.unreadable) == (0, 0)
    return report
