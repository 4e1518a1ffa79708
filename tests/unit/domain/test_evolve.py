"""The fold, rule by rule: retry, backoff, tolerance, stop."""

from __future__ import annotations

from typing import Any, Self

import pytest

from streamsched.domain import events as e
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.evolve import evolve
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.policy import RUN_ALL, FailurePolicy, RetryPolicy
from streamsched.domain.task import Load, Task
from tests.support.journals import request, template

ID = bytes(16)


class Story:
    """One task, told event by event."""

    def __init__(self, children: int = 3, **policies: Any) -> None:
        self.load = Load()
        task = evolve(None, request(template(**policies)), self.load)
        assert task is not None
        self.task: Task = task
        if children >= 0:
            self.tell(e.TaskPlanned, 0, children, "{}", "", 0)

    def tell(self, cls: type[Any], *fields: Any, at: int = 1_000) -> Self:
        evolve(self.task, cls(ID, at, "worker", "task", *fields), self.load)
        return self

    def dispatch(self, first: int, last: int, ordinal: int = 1, partition: int = 7) -> Self:
        return self.tell(e.ChildrenDispatched, (e.Release(first, last, ordinal, partition),), 0)

    def complete(self, child: int, ordinal: int = 1) -> Self:
        return self.tell(e.ChildCompleted, child, ordinal, 1, 1, 900, 0, None)

    def fail(self, child: int, ordinal: int = 1, *, at: int = 1_000, **changed: Any) -> Self:
        fields: dict[str, Any] = {
            "attempt": 1, "token": 1, "started_at": 900, "sequence": 0, "state": None, "reason": "error",
            "error_type": "Trouble", "message": "no", "traceback": "", "retryable": True, "delay": 0,
        }  # fmt: skip
        return self.tell(e.ChildFailed, child, ordinal, *(fields | changed).values(), at=at)

    def stop(self, child: int, ordinal: int = 1) -> Self:
        return self.tell(e.ChildrenStopping, (e.Release(child, child, ordinal, 7),), "enough", 0)

    def states(self) -> list[ChildState]:
        return [self.task.state_of(child) for child in range(self.task.children)]


ONCE = RetryPolicy(max_attempts=1)


def test_an_event_without_a_request_makes_no_task() -> None:
    assert evolve(None, e.TaskCancelRequested(ID, 1, "me", "task", 0, "why"), Load()) is None


def test_all_children_completed_is_success() -> None:
    story = Story(2).dispatch(0, 1).complete(0)
    assert story.task.phase is Phase.RUNNING
    assert story.complete(1).task.phase is Phase.SUCCEEDING
    assert story.tell(e.TaskSucceeded, 0, "", 0).task.phase is Phase.SUCCEEDED
    assert story.load[7] == 0


def test_an_empty_split_succeeds_at_once() -> None:
    assert Story(0).task.phase is Phase.SUCCEEDING


def test_only_the_first_outcome_of_the_current_ordinal_counts() -> None:
    story = Story().dispatch(0, 2).complete(0).complete(0).complete(1, ordinal=2)
    assert (story.task.succeeded, story.task.void) == (1, 2)


def test_a_child_that_came_back_is_due_at_once_whatever_the_clock_of_its_worker_says() -> None:
    story = Story().dispatch(0, 2).tell(e.ChildReturned, 1, 1, 1, 1, 0, None, 0, "drain", at=9_000_000)
    assert story.task.due_children(1_000, 10) == [1]
    evolve(story.task, e.PartitionReset(ID, 9_000_000, "admin", 7), story.load)
    assert story.task.due_children(1_000, 10) == [0, 1, 2]


def test_a_failed_attempt_is_tried_again_after_its_delay() -> None:
    story = Story().dispatch(0, 2).fail(1, delay=500)
    assert story.states()[1] is ChildState.DUE
    assert story.task.next_due() == 1_500
    assert story.task.details[1].attempt == 2
    assert story.task.due_children(1_499, 10) == []
    assert story.task.due_children(1_500, 10) == [1]
    assert story.dispatch(1, 1, ordinal=2).states()[1] is ChildState.RUNNING


def test_backoff_is_drawn_below_a_bound_that_grows() -> None:
    retry = RetryPolicy(initial_interval_ms=1_000, backoff=2.0, max_attempts=0)
    for attempt in range(1, 12):
        story = Story(retry=retry).dispatch(0, 2).fail(0, attempt=attempt, delay=None)
        due = story.task.next_due()
        assert due is not None
        assert 1_000 <= due <= 1_001 + min(100_000, 1_000 * 2 ** (attempt - 1))


@pytest.mark.parametrize(
    ("retry", "failure"),
    [
        (RetryPolicy(max_attempts=2), {"attempt": 2}),
        (RetryPolicy(max_attempts=1), {}),
        (RetryPolicy(), {"retryable": False}),
        (RetryPolicy(non_retryable=("Trouble",)), {}),
        (RetryPolicy(max_attempts=2, reset_on_progress=False), {"attempt": 2, "sequence": 5}),
    ],
)
def test_a_child_that_is_not_tried_again_has_failed(retry: RetryPolicy, failure: dict[str, Any]) -> None:
    story = Story(retry=retry).dispatch(0, 2).fail(0, **failure)
    assert story.states()[0] is ChildState.FAILED
    assert story.task.phase is Phase.FAILING
    assert "Trouble: no" in story.task.reason


def test_an_advanced_checkpoint_counts_attempts_anew() -> None:
    story = Story(retry=RetryPolicy(max_attempts=2)).dispatch(0, 2).fail(0, attempt=2, sequence=5, state="5")
    assert story.states()[0] is ChildState.DUE
    assert (story.task.details[0].attempt, story.task.details[0].state) == (2, "5")
    story.dispatch(0, 0, ordinal=2).fail(0, ordinal=2, attempt=2, sequence=5, state="5")
    assert story.states()[0] is ChildState.FAILED


@pytest.mark.parametrize(
    ("tolerate", "phases"),
    [
        (FailurePolicy(), [Phase.FAILING] * 4),
        (FailurePolicy(count=2), [Phase.RUNNING, Phase.RUNNING, Phase.FAILING, Phase.FAILING]),
        (FailurePolicy(percent=50), [Phase.RUNNING, Phase.RUNNING, Phase.FAILING, Phase.FAILING]),
        (FailurePolicy(percent=100), [Phase.RUNNING, Phase.RUNNING, Phase.RUNNING, Phase.SUCCEEDING]),
        (FailurePolicy(count=0, percent=100), [Phase.FAILING] * 4),
    ],
)
def test_a_task_fails_when_more_children_failed_than_it_bears(tolerate: FailurePolicy, phases: list[Phase]) -> None:
    story = Story(4, retry=ONCE, failure=tolerate).dispatch(0, 3)
    assert [story.fail(child).task.phase for child in range(4)] == phases


def test_a_stopped_child_is_not_tried_again() -> None:
    story = Story().dispatch(0, 2).tell(e.TaskCancelRequested, 0, "enough").stop(0).stop(1)
    assert story.fail(0).states()[0] is ChildState.CANCELLED
    assert story.tell(e.ChildReturned, 1, 1, 1, 1, 0, None, 0, "drain").states()[1] is ChildState.CANCELLED
    assert story.complete(2).task.succeeded == 1
    assert not any(story.task.told)


def test_a_cancelled_child_keeps_its_state_for_a_redrive() -> None:
    story = Story().dispatch(0, 2).tell(e.TaskCancelRequested, 0, "enough").stop(0)
    story.tell(e.ChildCancelled, 0, 1, 1, 1, 900, 4, "four", "enough")
    assert (story.task.details[0].sequence, story.task.details[0].state) == (4, "four")


@pytest.mark.parametrize(
    ("named", "final"),
    [
        ("Sub", True),
        ("m.Sub", True),
        ("m.Outer.Base", True),
        ("m.Base", True),
        ("p.q.r.Deep", True),
        ("p.q.Deep", True),  # as a package shows what a module in it has
        ("p.Deep", True),
        ("q.Deep", False),
        ("p.r.Deep", False),
        ("Base", True),
        ("ValueError", True),
        ("builtins.ValueError", True),
        ("Exception", True),
        ("Trouble", True),  # as it is shown
        ("other.Sub", False),
        ("Outer.Base", False),
        ("m.ValueError", False),
        ("value", False),
    ],
)
def test_an_error_is_final_by_its_class_and_by_each_base(named: str, final: bool) -> None:
    cause = e.Cause(("m.Sub", "m.Outer.Base", "p.q.r.Deep", "ValueError", "Exception"))
    story = Story(1, retry=RetryPolicy(non_retryable=(named,))).dispatch(0, 0).fail(0, cause=cause)
    assert story.states() == [ChildState.FAILED if final else ChildState.DUE]


def test_what_former_workers_tell_matches_by_its_simple_name() -> None:
    story = Story(2, retry=RetryPolicy(non_retryable=("ValueError", "m.Sub"))).dispatch(0, 1)
    story.fail(0, error_type="UnicodeDecodeError").fail(1, error_type="Sub")
    assert story.states() == [ChildState.DUE, ChildState.DUE]
    story = Story(1, retry=RetryPolicy(non_retryable=("Trouble",))).dispatch(0, 0).fail(0)
    assert story.states() == [ChildState.FAILED]


@pytest.mark.parametrize(
    ("tolerate", "failed", "end"),
    [
        (FailurePolicy(on=RUN_ALL), 1, Phase.FAILING),
        (FailurePolicy(on=RUN_ALL), 0, Phase.SUCCEEDING),
        (FailurePolicy(count=1, on=RUN_ALL), 1, Phase.SUCCEEDING),
        (FailurePolicy(count=1, on=RUN_ALL), 2, Phase.FAILING),
        (FailurePolicy(percent=50, on=RUN_ALL), 2, Phase.SUCCEEDING),
        (FailurePolicy(percent=50, on=RUN_ALL), 3, Phase.FAILING),
        (FailurePolicy(percent=100, on=RUN_ALL), 4, Phase.SUCCEEDING),
    ],
)
def test_run_all_is_judged_when_every_child_has_ended(tolerate: FailurePolicy, failed: int, end: Phase) -> None:
    for order in ((0, 1, 2, 3), (3, 2, 1, 0)):  # the failures first, and last
        story = Story(4, retry=ONCE, failure=tolerate).dispatch(0, 3)
        for child in order:
            assert story.task.phase is Phase.RUNNING
            story.fail(child) if child < failed else story.complete(child)
        assert story.task.phase is end
        assert bool(story.task.reason) is (end is Phase.FAILING)
        if end is Phase.FAILING:
            story.tell(e.TaskFailed, 0, "", 0).tell(e.TaskRedriven, 1, "failed", False, "", "")
            assert (story.task.phase, story.task.failed, story.task.reason) == (Phase.RUNNING, 0, "")


def test_run_all_is_cancelled_as_any_task() -> None:
    story = Story(3, retry=ONCE, failure=FailurePolicy(on=RUN_ALL)).dispatch(0, 1).fail(0)
    assert "child 0 failed" in story.task.reason
    story.tell(e.TaskCancelRequested, 0, "enough").stop(1).tell(e.ChildrenCancelled, (e.Span(2, 2),), "over", 0)
    assert story.tell(e.ChildCancelled, 1, 1, 1, 1, 900, 0, None, "enough").task.phase is Phase.CANCELLING
    assert story.task.reason == "enough"


def test_a_redrive_does_again_what_did_not_succeed() -> None:
    story = Story(4, retry=ONCE, failure=FailurePolicy(count=0)).dispatch(0, 1)
    story.complete(0).fail(1, sequence=3, state='"there"')
    story.tell(e.ChildrenCancelled, (e.Span(2, 3),), "over", 0).tell(e.TaskFailed, 0, "why", 0)
    story.tell(e.TaskRedriven, 1, "failed", False, "", "")
    assert story.task.phase is Phase.RUNNING
    assert (story.task.succeeded, story.task.failed, story.task.cancelled, story.task.first_undispatched) == (
        1,
        0,
        0,
        2,
    )
    assert story.states() == [ChildState.SUCCEEDED, ChildState.WAITING, ChildState.WAITING, ChildState.WAITING]
    assert story.task.due_children(0, 9) == [1]
    detail = story.dispatch(1, 1, ordinal=2).task.details[1]
    assert (detail.attempt, detail.sequence, detail.state, detail.error_type) == (1, 3, '"there"', None)
    story.dispatch(2, 3).complete(1, ordinal=2).complete(2).complete(3)
    assert story.tell(e.TaskSucceeded, 0, "", 0).task.phase is Phase.SUCCEEDING, "that was of another redrive"
    assert story.tell(e.TaskSucceeded, 1, "", 0).task.phase is Phase.SUCCEEDED


def test_a_redrive_does_not_wait_for_a_retry_that_was_put_off() -> None:
    story = Story(1).dispatch(0, 0).fail(0)
    assert story.task.due[0][0] > 0
    story.tell(e.TaskCancelRequested, 0, "enough").tell(e.ChildrenCancelled, (e.Span(0, 0),), "enough", 0)
    story.tell(e.TaskCancelled, 0, "enough", 0).tell(e.TaskRedriven, 1, "failed", False, "", "")
    assert story.states() == [ChildState.WAITING]
    assert (story.task.due, story.task.next_due(), story.task.due_children(0, 9)) == ([], 0, [0])


def test_a_redrive_of_a_task_that_bore_failures_does_these_again() -> None:
    story = Story(3, retry=ONCE, failure=FailurePolicy(count=2)).dispatch(0, 2)
    story.complete(0).fail(1, sequence=3, state='"there"').fail(2)
    assert story.tell(e.TaskSucceeded, 0, "", 0).task.phase is Phase.SUCCEEDED
    story.tell(e.TaskRedriven, 1, "failed", False, "", "")
    assert (story.task.phase, story.task.succeeded, story.task.failed) == (Phase.RUNNING, 1, 0)
    assert story.states() == [ChildState.SUCCEEDED, ChildState.WAITING, ChildState.WAITING]
    story.dispatch(1, 2, ordinal=2)
    assert (story.task.details[1].sequence, story.task.details[1].state) == (3, '"there"')
    story.complete(1, ordinal=2).complete(2, ordinal=2).tell(e.TaskSucceeded, 1, "", 0)
    assert story.tell(e.TaskRedriven, 2, "failed", False, "", "").task.phase is Phase.SUCCEEDED, "nothing is left"


def test_a_redrive_of_all_begins_from_nothing_and_goes_on_counting() -> None:
    story = Story(1).dispatch(0, 0).tell(e.ChildCheckpointed, 0, 1, 1, 1, 1, '"there"', 0, None)
    story.tell(e.ChildCompleted, 0, 1, 1, 1, 900, 1, None).tell(e.TaskSucceeded, 0, "", 0)
    assert story.tell(e.TaskRedriven, 1, "failed", False, "", "").task.phase is Phase.SUCCEEDED
    assert story.tell(e.TaskRedriven, 2, "all", False, "", "").task.phase is Phase.SUCCEEDED
    assert story.tell(e.TaskRedriven, 1, "all", False, "", "").task.phase is Phase.RUNNING
    assert (story.task.details[0].sequence, story.task.details[0].state) == (1, None)
    assert not story.task.reopened
    assert story.dispatch(0, 0, ordinal=2).task.reopened
    assert story.tell(e.TaskRedriven, 2, "all", False, "", "").task.redrive == 1, "it runs"


def test_a_redrive_with_nothing_left_succeeds_at_once() -> None:
    story = Story(1).dispatch(0, 0).tell(e.TaskCancelRequested, 0, "enough").complete(0)
    story.tell(e.TaskCancelled, 0, "", 0).tell(e.TaskRedriven, 1, "failed", False, "", "")
    assert story.task.phase is Phase.SUCCEEDING


def test_a_redrive_of_a_task_that_was_never_planned_plans_it() -> None:
    story = Story(-1).tell(e.TaskCancelRequested, 0, "enough").tell(e.TaskCancelled, 0, "", 0)
    story.tell(e.TaskRedriven, 1, "failed", False, "", "")
    assert story.task.phase is Phase.REQUESTED
    assert story.tell(e.TaskPlanned, 1, 2, "{}", "", 0).task.phase is Phase.RUNNING


def test_a_child_that_comes_back_from_its_last_dispatch_has_failed() -> None:
    story = Story(1)
    for ordinal in range(1, LAST_ORDINAL + 1):
        assert story.task.phase is Phase.RUNNING
        story.dispatch(0, 0, ordinal=ordinal).tell(e.ChildReturned, 0, ordinal, 1, 1, 0, None, 0, "drain")
    assert story.states() == [ChildState.FAILED]
    assert story.task.phase is Phase.FAILING


def test_waits_of_equal_time_make_a_child_due_once() -> None:
    story = Story().dispatch(0, 2)
    for ordinal in (1, 2, 3):
        story.tell(e.ChildReturned, 0, ordinal, 1, 1, 0, None, 0, "drain").dispatch(0, 0, ordinal=ordinal + 1)
    story.tell(e.ChildReturned, 0, 4, 1, 1, 0, None, 0, "drain")
    assert story.task.due_children(2_000, 10) == [0]
    assert list(story.task.idle_spans()) == [e.Span(0, 0)]


def test_a_reset_partition_gives_back_what_was_live_there() -> None:
    story = Story().dispatch(0, 0, partition=1).dispatch(1, 2, partition=2)
    evolve(story.task, e.PartitionReset(ID, 2_000, "admin", 2), story.load)
    assert story.states() == [ChildState.RUNNING, ChildState.DUE, ChildState.DUE]
    assert story.load == {1: 1, 2: 0}


def test_a_reset_of_a_partition_without_live_children_looks_at_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may write to the journal writes many of them, beside a task with ten million live children."""
    monkeypatch.setattr(Task, "live_children", lambda self: pytest.fail("it goes through all live children"))
    story = Story().dispatch(0, 2, partition=7)
    evolve(story.task, e.PartitionReset(ID, 1_000, "worker", 8), story.load)
    assert story.task.live == 3


def test_a_cancel_of_another_redrive_is_void() -> None:
    story = Story().tell(e.TaskCancelRequested, 1, "enough")
    assert (story.task.phase, story.task.void) == (Phase.RUNNING, 1)


def test_a_plan_that_comes_after_the_cancel_is_believed_and_cancelled() -> None:
    story = Story(-1).tell(e.TaskCancelRequested, 0, "enough").tell(e.TaskPlanned, 0, 3, "{}", "", 0)
    assert (story.task.phase, story.task.idle) == (Phase.CANCELLING, 3)
    story.tell(e.ChildrenCancelled, (e.Span(0, 2),), "cancelling", 0)
    assert story.task.cancelled == 3
    assert story.tell(e.TaskCancelled, 0, "", 0).task.terminal


def test_a_refusal_of_another_request_is_void() -> None:
    assert Story(-1).tell(e.TaskRefused, b"another", "no", 0).task.phase is Phase.REQUESTED
    assert Story(-1).tell(e.TaskRefused, ID, "no", 0).task.phase is Phase.REFUSED
