"""Children that may have taken their worker down: counted before they start, alone at the third, failed after that."""

from __future__ import annotations

import pytest

from streamsched.domain.events import ChildCreated
from streamsched.worker.pending import Child, child_of
from streamsched.worker.recovery import BEGAN_ALONE, MAX_RECOVERIES, Recovery


class Ward:
    """A recovery whose counts are in the log as soon as they are asked for."""

    def __init__(self) -> None:
        self.counted: list[int] = []
        self.failed: list[int] = []
        self.recovery = Recovery(count=self._count, fail=lambda child: self.failed.append(child.work.child))

    def _count(self, child: Child, count: int) -> None:
        child.recoveries = count
        child.inherited = False
        self.counted.append(child.work.child)


def child(number: int, recoveries: int, *, inherited: bool = True) -> Child:
    work = ChildCreated(b"i", 1, "x", "t", number, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, recoveries, None)
    return child_of(work, partition=0, offset=number, epoch=1, inherited=inherited)


def test_a_child_that_was_handed_over_in_order_may_simply_start() -> None:
    assert not Ward().recovery.hold_back(child(1, 2, inherited=False))


def test_the_first_recoveries_are_counted_as_many_as_could_start() -> None:
    ward = Ward()
    for number in range(5):
        assert ward.recovery.hold_back(child(number, 0))
    ward.recovery.advance(3)
    assert ward.counted == [0, 1, 2]
    assert not ward.recovery.claims_worker


def test_innocents_are_not_counted_to_the_last_before_their_turn_alone() -> None:
    """Four died together twice; the third count is taken one by one, each alone on its worker."""
    ward = Ward()
    for number in range(4):
        ward.recovery.hold_back(child(number, MAX_RECOVERIES - 1))
    ward.recovery.advance(10)
    assert ward.counted == []
    assert ward.recovery.claims_worker
    assert ward.recovery.next_alone() is None
    first = ward.recovery.next_alone()
    assert first is not None
    assert first.work.child == 0
    first.key = 7
    assert ward.recovery.claims_worker, "nothing starts beside it"
    assert ward.counted == [0]
    first.key = None
    assert ward.recovery.claims_worker, "the next one waits"


def test_one_that_ran_alone_and_took_its_worker_down_is_failed() -> None:
    ward = Ward()
    ward.recovery.hold_back(child(1, BEGAN_ALONE))
    ward.recovery.advance(1)
    assert ward.failed == [1]
    assert not ward.recovery.claims_worker


def test_one_whose_death_alone_was_counted_by_a_hand_over_is_failed() -> None:
    ward = Ward()
    ward.recovery.hold_back(child(1, BEGAN_ALONE + 1, inherited=False))
    ward.recovery.advance(1)
    assert ward.failed == [1]


def test_one_that_ran_alone_runs_alone_after_a_release_too() -> None:
    ward = Ward()
    assert ward.recovery.hold_back(child(1, BEGAN_ALONE, inherited=False))
    assert ward.recovery.next_alone() is not None
    assert (ward.counted, ward.failed) == ([], [])


@pytest.mark.parametrize("inherited", [False, True])
def test_one_that_waited_for_its_turn_alone_is_not_taken_for_what_took_the_worker_down(inherited: bool) -> None:
    """A hand-over counted its third; then the child before it, alone on the next worker, took that one down."""
    ward = Ward()
    assert ward.recovery.hold_back(child(1, MAX_RECOVERIES, inherited=inherited))
    ward.recovery.advance(1)
    assert ward.recovery.next_alone() is None
    assert ward.recovery.next_alone() is not None
    assert (ward.counted, ward.failed) == ([1], [])


def test_what_ended_or_was_dropped_claims_nothing() -> None:
    ward = Ward()
    for number, recoveries in enumerate((0, MAX_RECOVERIES - 1, MAX_RECOVERIES, BEGAN_ALONE)):
        one = child(number, recoveries)
        ward.recovery.hold_back(one)
        one.gone = True
    ward.recovery.advance(10)
    assert (ward.counted, ward.failed) == ([], [])
    assert not ward.recovery.claims_worker
    assert list(ward.recovery.drain()) == []
