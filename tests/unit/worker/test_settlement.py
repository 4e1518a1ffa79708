"""Settling over the memory log: nothing is settled that was not written, whatever a commit ends in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamsched.domain import events as e
from streamsched.log.port import LogError, RecordTooLarge, TopicMismatch
from tests.support.worker_case import Shop, ToldPool


def test_many_scattered_dispatches_never_stop_a_worker_from_committing() -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 2_999)
    shop.turn(worker)
    pool.complete()
    shop.turn(worker, times=10)
    assert [event.child for event in shop.journal() if isinstance(event, e.ChildCompleted)] == [0]
    assert len(shop.unsettled()) == 2_999


def test_many_scattered_dispatches_are_handed_over_in_order() -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 2_999)
    shop.turn(worker)
    worker.stop()
    assert shop.released()
    assert len(shop.unsettled()) == 2_999
    assert [type(event).__name__ for event in shop.journal()] == ["ChildReturned"]


def raising(error: Exception) -> Callable[[], None]:
    def hook() -> None:
        raise error

    return hook


@pytest.mark.parametrize("error", [RecordTooLarge("made up"), TopicMismatch("made up"), LogError("made up")])
def test_a_commit_that_is_refused_in_the_middle_of_a_hand_over_settles_nothing(error: LogError) -> None:
    shop, pool = Shop(partitions=2), ToldPool(slots=4)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 1, partition=0)
    shop.dispatch(2, 6, partition=1)
    shop.turn(worker)
    # One of each partition: while no slot is without work, outcomes wait a moment for more, into the hand-over.
    pool.complete(*(job.key for job in pool.begun if job.child % 2 == 0))
    shop.hooks["w", "commit.begin"] = raising(error)
    other = ToldPool(slots=4)
    joined = shop.worker("other", other)
    joined.step(0.0)
    shop.turn(worker, joined, times=60)
    assert not shop.hooks
    for _ in range(2):
        for held in (pool, other):
            held.complete()
        shop.turn(worker, joined)
    ended = [event.child for event in shop.journal() if isinstance(event, e.ChildCompleted)]
    assert sorted(ended) == list(range(7))
    assert not shop.unsettled(0)
    assert not shop.unsettled(1)
