"""The table of intents: it is total, and each intent does what it says, however its child came to hand."""

from __future__ import annotations

from itertools import product

import pytest

from streamsched.worker.intents import OUTCOMES, EndingKind, Outcome, StopIntent, outcome_of

ALL = list(product(EndingKind, StopIntent))
LOST = {EndingKind.UNBEGUN, EndingKind.STOPPED, EndingKind.LACKING}
"""Endings that are no outcome of the handler's own."""


def test_the_table_says_something_of_everything() -> None:
    assert set(OUTCOMES) == set(EndingKind)
    assert all(len(row) == len(StopIntent) for row in OUTCOMES.values())
    assert {outcome_of(*case) for case in ALL} == set(Outcome)


@pytest.mark.parametrize("intent", StopIntent)
def test_what_a_handler_completed_counts_whatever_was_wanted(intent: StopIntent) -> None:
    assert outcome_of(EndingKind.COMPLETED, intent) is Outcome.COMPLETE


@pytest.mark.parametrize("ending", EndingKind)
def test_a_cancelled_child_never_starts_and_never_goes_back(ending: EndingKind) -> None:
    wanted = Outcome.COMPLETE if ending is EndingKind.COMPLETED else Outcome.CANCEL
    assert outcome_of(ending, StopIntent.CANCEL) is outcome_of(ending, StopIntent.KILL) is wanted


@pytest.mark.parametrize("intent", [intent for intent in StopIntent if StopIntent.NONE < intent < StopIntent.CANCEL])
def test_a_pause_a_drain_and_a_hand_over_neither_cancel_nor_start_and_use_up_no_attempt(intent: StopIntent) -> None:
    for ending in LOST:
        assert outcome_of(ending, intent) in {Outcome.RETURN, Outcome.LEAVE, Outcome.YIELD}
    assert outcome_of(EndingKind.FAILED, intent) is Outcome.FAIL


@pytest.mark.parametrize("ending", EndingKind)
def test_only_a_hand_over_leaves_a_record_in_its_partition(ending: EndingKind) -> None:
    left = {intent for intent in StopIntent if outcome_of(ending, intent) in {Outcome.LEAVE, Outcome.YIELD}}
    assert left <= {StopIntent.REVOKE}


def test_what_this_worker_lacks_is_no_failure_and_no_reason_to_start() -> None:
    assert {outcome_of(EndingKind.LACKING, intent) for intent in StopIntent}.isdisjoint({Outcome.START, Outcome.FAIL})
