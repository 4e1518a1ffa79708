"""Whatever is done to a good history, ``audit verify`` names it: the invariant, the task, the child and the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

import pytest
from msgspec import structs

from streamsched.audit.verify import Violation
from streamsched.domain import events as e
from streamsched.domain.ids import fencing_token
from streamsched.log.adapter import LogAdapter
from streamsched.log.port import TopicPartition
from streamsched.runtime.commit_metadata import encode_ranges
from tests.support.audit_case import TOPICS, Entry, History, live

Named = tuple[int, str, int | None, str]
"""What has to be named: invariant, task, child, place."""
Tampering = Callable[[History], Named]
WAYS: Final[dict[str, Tampering]] = {}
WORK: Final = TopicPartition(TOPICS.children, 1)
"""Where the children of ``going`` and ``stopping`` are."""
LOW: Final = 140
"""The committed position there."""


@cache
def original() -> LogAdapter:
    return live()


def way(tampering: Tampering) -> Tampering:
    WAYS[tampering.__name__] = tampering
    return tampering


def at(invariant: int, entry: Entry, child: int | None = None) -> Named:
    return invariant, getattr(entry.event, "task_id", ""), child, entry.named


def test_the_history_is_good_as_it_is() -> None:
    report = History(original()).judge()
    assert not report.violations
    assert (report.total, report.void, report.unreadable, report.unjudged) == (0, 0, 0, 0)
    assert (report.tasks, report.ended) == (4, 2)


# --- what came back ---------------------------------------------------------------------------------------------------


@way
def return_that_counts_an_attempt(history: History) -> Named:
    """A worker that cannot import the handler gives a child back, as if it had tried it."""
    entry = history.find(e.ChildFailed, "ended")
    failed = entry.event
    assert isinstance(failed, e.ChildFailed)
    entry.event = e.ChildReturned(
        failed.event_id, failed.at, failed.by, failed.task_id, failed.child, failed.ordinal, failed.attempt + 1,
        failed.token, failed.sequence, failed.state, 0, "", e.Why("import", "no module", "node", 0, False),
    )  # fmt: skip
    return at(3, entry, failed.child)


# --- requests and plans -----------------------------------------------------------------------------------------------


@way
def request_lost(history: History) -> Named:
    history.drop(history.find(e.TaskRequested, "ended"))
    return at(10, history.find(e.TaskPlanned, "ended"))


@way
def request_altered(history: History) -> Named:
    history.find(e.TaskRequested, "ended").alter(params=json.dumps({"n": 5}))
    return at(2, history.find(e.TaskPlanned, "ended"))


@way
def plan_lost(history: History) -> Named:
    history.drop(history.find(e.TaskPlanned, "ended"))
    return at(2, history.find(e.ChildrenDispatched, "ended"), 1)


@way
def plan_made_a_second_time(history: History) -> Named:
    after = history.find(e.ChildStarted, "ended")
    return at(1, history.insert(history.find(e.TaskPlanned, "ended"), after, basis=after.offset))


@way
def plan_record_repeated(history: History) -> Named:
    return at(1, history.repeat(history.find(e.TaskPlanned, "ended")))


@way
def plan_made_a_second_time_after_the_end(history: History) -> Named:
    after = history.find(e.TaskSucceeded, "ended")
    return at(1, history.insert(history.find(e.TaskPlanned, "ended"), after))


@way
def plan_of_another_number(history: History) -> Named:
    entry = history.find(e.TaskPlanned, "ended")
    entry.alter(children=3)
    return at(2, entry)


@way
def plan_of_another_input(history: History) -> Named:
    entry = history.find(e.TaskPlanned, "going")
    entry.alter(plan='{"range":{"first":2,"last":6,"size":1}}', digest="0" * 64)
    return at(2, entry)


@way
def refused_after_its_plan(history: History) -> Named:
    plan = history.find(e.TaskPlanned, "ended").event
    after = history.find(e.ChildStarted, "ended")
    refusal = Entry(
        after.place, 0, e.TaskRefused(plan.event_id, plan.at, plan.by, "ended", b"", "no", after.offset), after.key
    )
    return at(10, history.insert(refusal, after))


# --- dispatches -------------------------------------------------------------------------------------------------------


@way
def dispatch_beyond_the_plan(history: History) -> Named:
    entry = history.find(e.ChildrenDispatched, "ended", 1)
    entry.alter(releases=(e.Release(2, 9, 1, 0),))
    return at(2, entry, 9)


@way
def dispatch_lost(history: History) -> Named:
    history.drop(history.find(e.ChildrenDispatched, "ended", 1))
    return at(3, history.find(e.ChildFailed, "ended"), 2)


@way
def dispatch_made_twice(history: History) -> Named:
    entry = history.find(e.ChildrenDispatched, "ended")
    return at(3, history.insert(entry, entry), 0)


@way
def dispatch_record_repeated(history: History) -> Named:
    return at(10, history.repeat(history.find(e.ChildrenDispatched, "ended")))


@way
def dispatch_that_leaves_children_out(history: History) -> Named:
    entry = history.find(e.ChildrenDispatched, "ended", 1)
    entry.alter(releases=(e.Release(3, 3, 1, 0),))
    return at(10, entry, 3)


@way
def ordinal_left_out(history: History) -> Named:
    entry = history.find(e.ChildrenDispatched, "ended", 2)
    entry.alter(releases=(e.Release(2, 2, 3, 1),))
    return at(3, entry, 2)


@way
def dispatch_after_the_end(history: History) -> Named:
    after = history.find(e.TaskSucceeded, "ended")
    return at(5, history.insert(history.find(e.ChildrenDispatched, "ended"), after))


@way
def retry_before_its_time(history: History) -> Named:
    failure = history.find(e.ChildFailed, "ended")
    failure.alter(delay=3_600_000)
    return at(10, history.find(e.ChildrenDispatched, "ended", 2), None)


# --- outcomes ---------------------------------------------------------------------------------------------------------


@way
def failure_lost(history: History) -> Named:
    history.drop(history.find(e.ChildFailed, "ended"))
    return at(3, history.find(e.ChildrenDispatched, "ended", 2), 2)


@way
def completion_lost(history: History) -> Named:
    history.drop(history.find(e.ChildCompleted, "ended", child=3))
    return at(5, history.find(e.TaskSucceeded, "ended"), 3)


@way
def outcome_made_twice(history: History) -> Named:
    entry = history.find(e.ChildCompleted, "ended", child=3)
    return at(3, history.insert(entry, entry), 3)


@way
def outcome_record_repeated(history: History) -> Named:
    return at(3, history.repeat(history.find(e.ChildCompleted, "ended", child=3)), 3)


@way
def outcome_after_the_end(history: History) -> Named:
    after = history.find(e.TaskSucceeded, "ended")
    return at(5, history.insert(history.find(e.ChildCompleted, "ended", child=3), after), 3)


@way
def outcome_of_an_ordinal_that_was_never_dispatched(history: History) -> Named:
    entry = history.find(e.ChildCompleted, "ended", child=3)
    entry.alter(ordinal=5, token=fencing_token(5, 1))
    return at(3, entry, 3)


@way
def outcome_of_a_child_beyond_the_plan(history: History) -> Named:
    entry = history.find(e.ChildCompleted, "ended", child=3)
    entry.alter(child=77)
    return at(3, entry, 77)


@way
def outcome_before_its_dispatch(history: History) -> Named:
    outcome = history.find(e.ChildCompleted, "ended", child=2)
    outcome.offset = history.find(e.ChildrenDispatched, "ended", 2).offset - 5
    return at(3, outcome, 2)


@way
def failure_turned_into_success(history: History) -> Named:
    failure = history.find(e.ChildFailed, "ended")
    success = history.find(e.ChildCompleted, "ended", child=3).event
    failure.event = structs.replace(success, event_id=failure.event.event_id, child=2)
    return at(3, history.find(e.ChildrenDispatched, "ended", 2), 2)


@way
def cancelled_though_nobody_told_it_to_stop(history: History) -> Named:
    stopped = history.find(e.ChildCancelled, "cancelled")
    forged = history.insert(stopped, history.find(e.ChildCheckpointed, "going", child=0), task_id="going", child=0)
    forged.key = b"going"
    return at(3, forged, 0)


# --- checkpoints and tokens -------------------------------------------------------------------------------------------


@way
def checkpoint_lost(history: History) -> Named:
    history.drop(history.find(e.ChildCheckpointed, "ended"))
    return at(4, history.find(e.ChildCheckpointed, "ended"), 1)


@way
def checkpoint_with_the_sequence_of_the_one_before(history: History) -> Named:
    entry = history.find(e.ChildCheckpointed, "ended", 1)
    entry.alter(sequence=1)
    return at(4, entry, 1)


@way
def checkpoint_that_falls(history: History) -> Named:
    entry = history.find(e.ChildCheckpointed, "ended", 1)
    entry.alter(sequence=0)
    return at(4, entry, 1)


@way
def checkpoints_in_another_order(history: History) -> Named:
    first, second = (history.find(e.ChildCheckpointed, "ended", nth) for nth in (0, 1))
    first.offset, second.offset = second.offset, first.offset
    return at(4, second, 1)


@way
def checkpoint_forged_by_another_node(history: History) -> Named:
    entry = history.find(e.ChildCheckpointed, "going", child=0)
    return at(4, history.insert(entry, entry, sequence=2, state='"forged"', by="-forger-"), 0)


@way
def checkpoint_of_a_dispatch_that_had_ended(history: History) -> Named:
    like = history.find(e.ChildCheckpointed, "ended")
    after = history.find(e.ChildCompleted, "ended", child=0)
    return at(4, history.insert(like, after, child=0), 0)


@way
def checkpoint_record_repeated(history: History) -> Named:
    return at(4, history.repeat(history.find(e.ChildCheckpointed, "ended")), 1)


@way
def outcome_from_an_earlier_checkpoint(history: History) -> Named:
    entry = history.find(e.ChildCompleted, "ended", child=1)
    entry.alter(sequence=1)
    return at(4, entry, 1)


@way
def outcome_from_a_checkpoint_that_is_none(history: History) -> Named:
    entry = history.find(e.ChildFailed, "ended")
    entry.alter(sequence=9)
    return at(4, entry, 2)


@way
def epoch_that_nobody_claimed(history: History) -> Named:
    entry = history.find(e.ChildCheckpointed, "going", child=1)
    entry.alter(token=fencing_token(1, 9))
    return at(4, entry, 1)


@way
def word_of_a_former_owner(history: History) -> Named:
    for place, (position, mark) in history.marks.items():
        history.marks[place] = position, replace(mark, epoch=2)
    history.find(e.ChildCheckpointed, "ended").alter(token=fencing_token(1, 2))
    return at(4, history.find(e.ChildCompleted, "ended"), 0)


@way
def word_of_another_node_in_the_same_epoch(history: History) -> Named:
    entry = history.find(e.ChildCompleted, "ended", child=1)
    entry.alter(by="-forger-")
    return at(4, entry, 1)


@way
def token_of_another_ordinal(history: History) -> Named:
    entry = history.find(e.ChildCompleted, "ended", child=2)
    entry.alter(token=fencing_token(1, 1))
    return at(4, entry, 2)


# --- decisions --------------------------------------------------------------------------------------------------------


@way
def terminal_event_made_twice(history: History) -> Named:
    entry = history.find(e.TaskSucceeded, "ended")
    return at(5, history.insert(entry, entry, basis=entry.offset + 1))


@way
def terminal_record_repeated(history: History) -> Named:
    return at(5, history.repeat(history.find(e.TaskSucceeded, "ended")))


@way
def terminal_event_too_early(history: History) -> Named:
    entry = history.find(e.TaskSucceeded, "ended")
    entry.offset = history.find(e.ChildCompleted, "ended", child=2).offset - 1
    entry.alter(basis=entry.offset)
    return at(5, entry, 2)


@way
def terminal_event_of_another_kind(history: History) -> Named:
    entry = history.find(e.TaskSucceeded, "ended")
    event = entry.event
    assert isinstance(event, e.TaskSucceeded)
    entry.event = e.TaskFailed(event.event_id, event.at, event.by, "ended", 0, "", event.basis)
    return at(5, entry)


@way
def terminal_event_of_another_redrive(history: History) -> Named:
    entry = history.find(e.TaskSucceeded, "ended")
    entry.alter(redrive=3)
    return at(10, entry)


@way
def basis_before_what_made_it_owed(history: History) -> Named:
    entry = history.find(e.TaskSucceeded, "ended")
    entry.alter(basis=history.find(e.ChildCompleted, "ended", child=2).offset)
    return at(10, entry)


@way
def basis_beyond_its_own_place(history: History) -> Named:
    entry = history.find(e.ChildrenDispatched, "ended", 1)
    entry.alter(basis=entry.offset + 1)
    return at(10, entry)


@way
def basis_before_another_decision(history: History) -> Named:
    entry = history.find(e.ChildrenDispatched, "ended", 1)
    entry.alter(basis=history.find(e.ChildrenDispatched, "ended").offset)
    return at(10, entry)


@way
def stopping_that_was_not_owed(history: History) -> Named:
    like = history.find(e.ChildrenStopping, "cancelled")
    after = history.find(e.ChildCheckpointed, "going", child=1)
    forged = history.insert(like, after, task_id="going", basis=after.offset + 1)
    forged.key = b"going"
    return at(10, forged)


@way
def stopping_lost(history: History) -> Named:
    history.drop(history.find(e.ChildrenStopping, "cancelled"))
    return at(10, history.find(e.ChildrenCancelled, "cancelled"))


@way
def stopping_of_an_ordinal_that_is_not_live(history: History) -> Named:
    entry = history.find(e.ChildrenStopping, "cancelled")
    entry.alter(releases=(e.Release(0, 1, 2, 0),))
    return at(10, entry, 0)


@way
def cancel_request_lost(history: History) -> Named:
    history.drop(history.find(e.TaskCancelRequested, "cancelled"))
    return at(10, history.find(e.ChildrenStopping, "cancelled"))


@way
def rest_not_cancelled(history: History) -> Named:
    history.drop(history.find(e.ChildrenCancelled, "cancelled"))
    return at(3, history.find(e.TaskCancelled, "cancelled"), 2)


@way
def live_child_among_the_cancelled_rest(history: History) -> Named:
    entry = history.find(e.ChildrenCancelled, "cancelled")
    entry.alter(spans=(e.Span(1, 4),))
    return at(3, entry, 1)


# --- the work log as of now -------------------------------------------------------------------------------------------


def from_position(task_id: str, child: int | None, position: int = LOW) -> Named:
    return 8, task_id, child, f"{WORK.topic}-{WORK.partition}-{position}"


@way
def pending_record_lost(history: History) -> Named:
    history.drop(history.find_work(e.ChildCheckpointed, "going", child=0))
    return from_position("going", 0)


@way
def pending_record_doubled(history: History) -> Named:
    return at(8, history.repeat(history.find_work(e.ChildCheckpointed, "going", child=1)), 1)


@way
def pending_record_of_a_dispatch_that_never_was(history: History) -> Named:
    like = history.find_work(e.ChildCreated, "stopping", child=1)
    return at(8, history.insert(like, history.find_work(e.ChildCheckpointed, "going", child=1), child=4), 4)


@way
def pending_record_that_goes_on_from_another_checkpoint(history: History) -> Named:
    entry = history.find_work(e.ChildCheckpointed, "going", child=0)
    entry.alter(sequence=5)
    return at(4, entry, 0)


@way
def pending_record_in_another_partition(history: History) -> Named:
    entry = history.find_work(e.ChildCheckpointed, "going", child=1)
    entry.place = TopicPartition(TOPICS.children, 0)
    return at(8, entry, 1)


@way
def settled_bits_forged(history: History) -> Named:
    position, mark = history.marks[WORK]
    history.marks[WORK] = position, replace(mark, settled_ranges=encode_ranges([20, 20, 10, 20, 10, 10]))
    return from_position("going", 0)


@way
def settled_bits_beyond_the_end(history: History) -> Named:
    position, mark = history.marks[WORK]
    history.marks[WORK] = position, replace(mark, settled_ranges=encode_ranges([500, 10]))
    return from_position("", None)


@way
def position_moved_forwards(history: History) -> Named:
    history.marks[WORK] = LOW + 10, replace(history.marks[WORK][1], settled_ranges="-")
    return from_position("stopping", 0, LOW + 10)


@way
def position_moved_backwards(history: History) -> Named:
    history.marks[WORK] = 0, replace(history.marks[WORK][1], settled_ranges="-")
    return at(8, history.find_work(e.ChildCreated, "ended", child=0, ordinal=1), 0)


@way
def position_beyond_the_end(history: History) -> Named:
    place = TopicPartition(TOPICS.children, 1)
    history.marks[place] = 9_999, history.marks[place][1]
    return 8, "", None, f"{place.topic}-{place.partition}-9999"


@way
def position_lost(history: History) -> Named:
    del history.marks[WORK]
    return from_position("", None, 0)


@way
def mark_with_more_epochs_than_transactions(history: History) -> Named:
    history.marks[WORK] = LOW, replace(history.marks[WORK][1], epoch=8)
    return from_position("", None)


@way
def stop_marker_lost(history: History) -> Named:
    history.drop(history.find_work(e.ChildrenStopping, "stopping"))
    return from_position("stopping", 0)


# --- the test ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_each_tampering_is_named(name: str) -> None:
    history = History(original())
    wanted = WAYS[name](history)
    first = history.first_violation()
    assert (first.invariant, first.task_id, first.child, first.place) == wanted, first


def test_there_are_many_ways() -> None:
    assert len(WAYS) >= 60


def test_what_no_fold_takes_in_is_counted_and_not_judged() -> None:
    history = History(original())
    history.insert(history.find(e.TaskRequested, "ended"), history.find(e.ChildCancelled, "cancelled"))
    report = history.judge()
    assert (report.total, report.unreadable) == (0, 1), report.violations


def test_a_scoped_audit_looks_at_one_task() -> None:
    history = History(original())
    completion_lost(history)
    assert history.judge(task_id="ended").violations[0].invariant == 5
    assert not history.judge(task_id="going").total


def test_up_to_a_position_only_what_stands_before_it_is_judged() -> None:
    history = History(original())
    _, _, _, place = completion_lost(history)
    offset = int(place.rpartition("-")[2])
    assert not history.judge(until_position=offset).total
    found = history.judge(until_position=offset + 1).violations
    assert [violation.place for violation in found] == [place]
    assert isinstance(found[0], Violation)
