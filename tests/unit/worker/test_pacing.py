"""When a worker writes what has ended: at once after a pause, later where more is about to end."""

from __future__ import annotations

import pytest

from streamsched.domain.events import ChildCompleted
from tests.support.worker_case import Shop, ToldPool


class DeepPool(ToldPool):
    """Holds more jobs than it has slots, as executors do with short ones."""

    def room(self) -> int:
        return 100


@pytest.mark.parametrize(("children", "at_once"), [(3, 1), (4, 0)])
def test_an_ending_after_a_pause_waits_only_for_what_waits_behind_others(children: int, at_once: int) -> None:
    shop, pool = Shop(), DeepPool(slots=2)
    worker = shop.worker("w", pool)
    shop.turn(worker)
    shop.dispatch(0, children - 1)
    shop.turn(worker)
    assert pool.busy() == children

    pool.complete(1)
    worker.step(0.0)
    assert ended(shop) == at_once
    shop.clock.advance(0.04)
    pool.complete(2)
    worker.step(0.0)
    assert ended(shop) == at_once, "it waits for more"
    shop.clock.advance(0.02)
    worker.step(0.0)
    assert ended(shop) == 2, "however much is held, no longer than 50 ms after the first"


def ended(shop: Shop) -> int:
    return sum(isinstance(event, ChildCompleted) for event in shop.journal())
