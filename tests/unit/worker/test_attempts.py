"""From one attempt at a child to the next on the same worker: nothing told is lost, nothing is believed too early."""

from __future__ import annotations

import pytest

from streamsched.domain import events as e
from streamsched.domain.ids import CAUSES
from streamsched.worker import jobs
from streamsched.worker.recovery import BEGAN_ALONE, MAX_RECOVERIES
from tests.support.worker_case import Shop, ToldPool


def test_a_job_that_came_back_after_it_had_begun_goes_on_from_what_it_told() -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 0)
    shop.turn(worker)
    (first,) = pool.begun
    pool.news += [
        jobs.JobCheckpointed(key=first.key, state='"half"', number=3, wait=True),
        jobs.JobReturned(key=first.key),  # its executor was killed for the job before it
    ]
    worker.step(0.0)
    again = pool.begun[1]
    assert again.state == '"half"'
    shop.turn(worker, times=40)
    assert pool.confirmed == [], "the new attempt has asked for nothing yet"
    pool.news.append(jobs.JobCheckpointed(key=again.key, state='"more"', number=1, wait=True))
    shop.turn(worker, times=2)
    assert pool.confirmed == [(again.key, 1)]


def test_a_worker_that_was_away_for_a_while_does_not_take_its_children_for_its_murderers() -> None:
    shop, pool = Shop(), ToldPool(slots=2)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 1)
    shop.turn(worker)
    for _ in range(5):  # the machine slept, or the broker was away
        shop.clock.advance(11)
        shop.turn(worker)
        assert sorted(job.child for job in pool.held.values()) == [0, 1]
    pool.complete()
    shop.turn(worker)
    assert [type(event).__name__ for event in shop.journal()] == ["ChildCompleted", "ChildCompleted"]


def test_a_child_whose_worker_died_is_counted_by_the_next_one() -> None:
    shop, pool = Shop(), ToldPool(slots=2)
    dead = shop.worker("dead", pool)
    shop.dispatch(0, 0)
    shop.turn(dead)
    shop.clock.advance(11)
    shop.turn(shop.worker("next", ToldPool()))
    (record,) = shop.unsettled()
    assert isinstance(record, e.ChildCheckpointed)
    assert record.recoveries == 1


def test_a_death_is_counted_though_the_child_moves_on_before_it_starts_again() -> None:
    shop = Shop()
    dead = shop.worker("dead", ToldPool())
    shop.dispatch(0, 1)
    shop.turn(dead)
    shop.clock.advance(11)
    full = shop.worker("full", ToldPool(slots=0))
    shop.turn(full)
    full.stop()
    assert shop.released()
    records = shop.unsettled()
    assert [record.recoveries for record in records if isinstance(record, e.ChildCheckpointed)] == [1, 1]
    pool = ToldPool()
    shop.turn(shop.worker("next", pool))
    assert len(pool.begun) == 2
    assert shop.unsettled() == records, "and counted once"


def test_a_death_is_counted_though_the_child_is_returned_by_a_drain() -> None:
    shop = Shop()
    dead = shop.worker("dead", ToldPool())
    shop.dispatch(0, 0, recoveries=1)
    shop.turn(dead)
    shop.clock.advance(11)
    full = shop.worker("full", ToldPool(slots=0))
    shop.turn(full)
    full.drain()
    shop.turn(full)
    (returned,) = shop.journal()
    assert isinstance(returned, e.ChildReturned)
    assert returned.recoveries == 2


@pytest.mark.parametrize(
    ("counted", "left"), [(0, 1), (MAX_RECOVERIES, MAX_RECOVERIES), (BEGAN_ALONE, BEGAN_ALONE + 1)]
)
@pytest.mark.parametrize("drained", [False, True])
def test_a_death_while_it_waits_for_its_turn_alone_is_not_its_own(counted: int, left: int, drained: bool) -> None:
    shop = Shop()
    shop.dispatch(0, 0, recoveries=counted)
    shop.turn(shop.worker("dead", ToldPool(slots=0)))
    shop.clock.advance(11)
    full = shop.worker("full", ToldPool(slots=0))
    shop.turn(full)
    if drained:
        full.drain()
        shop.turn(full)
        (record,) = shop.journal()
    else:
        full.stop()
        assert shop.released()
        (record,) = shop.unsettled()
    assert getattr(record, "recoveries", None) == left


@pytest.mark.parametrize("how", ["drained", "stopped", "revoked"])
@pytest.mark.parametrize("slots", [0, 1])
def test_that_it_began_alone_is_taken_back_at_a_hand_over(slots: int, how: str) -> None:
    shop, pool = Shop(), ToldPool(slots=slots)
    shop.dispatch(0, 0, recoveries=MAX_RECOVERIES)
    worker = shop.worker("w", pool)
    shop.turn(worker, times=5)
    assert len(pool.begun) == slots
    (record,) = shop.unsettled()
    assert getattr(record, "recoveries", None) == (BEGAN_ALONE if slots else MAX_RECOVERIES)
    if how == "drained":
        worker.drain()
    elif how == "stopped":
        worker.stop()
    else:  # its job says that it has stopped, and its record is left to the next owner
        worker._children.revoke([0], [])
    if how != "stopped":
        shop.turn(worker, times=5)
    left = [*shop.unsettled(), *(event for event in shop.journal() if isinstance(event, e.ChildReturned))]
    assert [getattr(event, "recoveries", None) for event in left] == [MAX_RECOVERIES]


@pytest.mark.parametrize(("level", "told"), [(0, False), (CAUSES, True)])
def test_the_cause_of_a_failure_is_told_to_schedulers_that_can_read_it(level: int, told: bool) -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    worker = shop.worker("w", pool)
    shop.dispatch(0, 0, event_id=b"prefix--" + bytes([level]) + bytes(7))
    shop.turn(worker)
    (job,) = pool.begun
    pool.news.append(
        jobs.JobFailed(
            key=job.key, started_at=0, finished_at=1, reason="error", error_type="E", message="", traceback="",
            retryable=False, delay_ms=None, state=None, error_types=("m.E",), fingerprint="ab", output="said",
        )
    )  # fmt: skip
    shop.turn(worker)
    (failed,) = shop.journal()
    assert isinstance(failed, e.ChildFailed)
    assert (failed.cause is not None, failed.output == "said") == (told, told)
