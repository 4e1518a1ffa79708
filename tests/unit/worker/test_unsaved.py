"""What an executor reported and the log does not hold: reports are merged, and one function writes them."""

from __future__ import annotations

import pytest

from streamsched.domain import events as e
from streamsched.worker import jobs
from streamsched.worker.progress import NOTHING, Unsaved, merged
from tests.support.worker_case import Shop, ToldPool


def checkpointed(key: int, number: int, *, wait: bool = False) -> jobs.JobCheckpointed:
    return jobs.JobCheckpointed(key=key, state=str(number), number=number, wait=wait)


def test_a_later_state_stands_for_all_before_it() -> None:
    first, second = Unsaved("1", 1, True), Unsaved("2", 2, False)
    assert NOTHING.merge(first) == first
    assert first.merge(second) == second


def test_an_attempt_that_ends_without_a_state_keeps_the_one_before_it_and_waits_no_longer() -> None:
    assert Unsaved("1", 1, True).merge(NOTHING) == Unsaved("1", 1, False)


def test_the_checkpoints_of_each_job_become_its_last_one_and_endings_stay_in_order() -> None:
    ended = jobs.JobCompleted(key=1, started_at=1, finished_at=1, result="1", state=None)
    back = jobs.JobReturned(key=3)
    news: list[jobs.News] = [
        checkpointed(1, 1), checkpointed(2, 1, wait=True), back, checkpointed(1, 2), ended, checkpointed(2, 2),
    ]  # fmt: skip
    assert merged(news) == [back, checkpointed(1, 2), ended, checkpointed(2, 2)]
    assert merged(news[2:3]) == [back]


def test_what_is_reported_while_the_log_is_away_is_merged_too() -> None:
    """Twenty states a second of each child, 256 KiB each, would fill the memory within an outage."""
    shop, pool = Shop(), ToldPool(slots=2)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 1)
    shop.turn(worker)
    first, second = pool.held
    for number in range(1, 500):
        pool.news += [checkpointed(first, number), checkpointed(second, number, wait=True)]
        worker.waiting()
    assert len(worker._late) == 2
    shop.turn(worker)
    states = [event.state for event in shop.journal() if isinstance(event, e.ChildCheckpointed)]
    assert set(states) == {"499"}
    assert pool.confirmed == [(second, 499)]


@pytest.mark.parametrize("reported", [True, False])
def test_a_returned_child_has_its_checkpoint_written_first_where_it_reported_one(reported: bool) -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 0)
    shop.turn(worker)
    (key,) = pool.held
    worker.drain()
    pool.news += [checkpointed(key, 7)] if reported else []
    shop.turn(worker)
    *before, returned = shop.journal()
    assert isinstance(returned, e.ChildReturned)
    assert [type(event) for event in before] == [e.ChildCheckpointed] * reported
    assert (returned.sequence, returned.state) == ((1, "7") if reported else (0, None))
    assert not shop.unsettled()
