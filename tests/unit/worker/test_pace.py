"""When a worker begins what it reads, and when it writes what has ended."""

from __future__ import annotations

from collections.abc import Sequence

from streamsched.domain import events as e
from streamsched.worker import jobs
from streamsched.worker.node import GATHER_MS
from streamsched.worker.reading import FED
from tests.support.worker_case import Shop, ToldPool


class DeepPool(ToldPool):
    """Holds many short jobs for each slot; notes how many it got at a time."""

    def __init__(self, slots: int = 2) -> None:
        super().__init__(slots)
        self.given: list[int] = []

    def room(self) -> int:
        return 1_000 - len(self.held)

    def submit(self, new: Sequence[jobs.Job]) -> None:
        super().submit(new)
        self.given += [len(new)] if new else []


def completed(shop: Shop) -> int:
    """Count the children whose outcome is written."""
    return sum(isinstance(event, e.ChildCompleted) for event in shop.journal())


def test_children_begin_before_all_was_read() -> None:
    shop, pool = Shop(), DeepPool()
    worker = shop.worker("w", pool)
    shop.dispatch(1, 2 * FED + 1)
    shop.turn(worker)
    assert pool.given == [FED, FED, 1]


def test_nothing_is_begun_by_a_worker_that_is_to_stop() -> None:
    shop, pool = Shop(), DeepPool()
    worker = shop.worker("w", pool)
    shop.turn(worker)
    shop.dispatch(1, 2 * FED)
    worker.drain()
    worker.drain()
    shop.turn(worker)
    assert pool.given == []
    assert worker.stopped


class RunningPool(ToldPool):
    """Says since when its jobs run."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(slots=2)
        self._shop = shop
        self.since: dict[int, int] = {}

    def submit(self, new: Sequence[jobs.Job]) -> None:
        super().submit(new)
        self.since |= {job.key: self._shop.clock.now() for job in new}

    def running(self) -> list[jobs.Running]:
        return [jobs.Running(key=key, started_at=self.since[key], done=0, total=0) for key in self.held]


def test_first_outcomes_wait_for_those_of_others_that_have_just_begun() -> None:
    shop = Shop()
    worker = shop.worker("w", pool := RunningPool(shop))
    shop.dispatch(1, 10)
    shop.turn(worker)
    for _ in range(3):
        pool.complete(min(pool.held))
        worker.step(0.0)
    assert completed(shop) == 0
    shop.clock.advance(2 * GATHER_MS / 1000)
    worker.step(0.0)
    assert completed(shop) == 3


def test_the_last_outcomes_wait_for_nothing() -> None:
    shop, pool = Shop(), DeepPool()
    worker = shop.worker("w", pool)
    shop.dispatch(1, 10)
    shop.turn(worker)
    pool.complete()
    worker.step(0.0)
    assert completed(shop) == 10


def test_an_outcome_does_not_wait_for_what_has_run_for_long() -> None:
    shop = Shop()
    worker = shop.worker("w", pool := RunningPool(shop))
    shop.dispatch(1, 2)
    shop.turn(worker)
    shop.clock.advance(2 * GATHER_MS / 1000)
    pool.complete(min(pool.held))
    worker.step(0.0)
    assert completed(shop) == 1
