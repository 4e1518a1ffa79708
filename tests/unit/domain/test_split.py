"""The split child: its pages add work children while it runs, and it seals the plan when it has succeeded."""

from __future__ import annotations

from typing import Any, Self

import pytest

from streamsched.domain import events as e
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.policy import RUN_ALL, FailurePolicy, RetryPolicy
from streamsched.domain.routing import Requirement
from streamsched.domain.splitters.by import BySplit
from streamsched.domain.task import Task
from streamsched.domain.template import ChildSpec, Template
from tests.support.journals import request
from tests.unit.domain.test_evolve import ONCE, Story

PLAN = '{"by":{}}'


class Split(Story):
    """A task with a split child, which is live, and with a reduce unless it is told otherwise."""

    def __init__(self, fan_in: int = 1, *, live: bool = True, **policies: Any) -> None:
        super().__init__(-1, **{"retry": ONCE, "reduce": ONCE if fan_in else None} | policies)
        self.tell(e.TaskPlanned, 0, 0, PLAN, "", 0, fan_in, True)
        if live:
            self.dispatch(0, 0)

    def page(self, sequence: int, first: int, count: int = 1, ordinal: int = 1, child: int = 0) -> Self:
        entries = "\n".join(str(first + at) for at in range(count))
        state = f'{{"n":{first - 1 + count}}}'
        self.tell(e.TaskPlanProgressed, 0, state, 0, child, ordinal, 1, 1, sequence, first, count, entries)
        return self

    def seal(self, sequence: int, ordinal: int = 1) -> Self:
        self.tell(e.ChildCompleted, 0, ordinal, 1, 1, 900, sequence, None)
        return self

    def ended(self, kind: type[e.TaskEnded] = e.TaskSucceeded) -> Self:
        while owed(self.task, 0) is Action.CANCEL:
            self.tell(e.ChildrenCancelled, tuple(self.task.idle_spans()), "", 0)
        assert owed(self.task, 0) is Action.END
        self.tell(kind, self.task.redrive, "", 0)
        return self

    def redrive(self, scope: str = "failed", *, restart: bool = False) -> Self:
        self.tell(e.TaskRedriven, self.task.redrive + 1, scope, restart, "", "")
        return self


def test_children_of_a_page_run_while_the_splitter_does() -> None:
    story = Split()
    assert (story.task.children, story.task.bound, story.task.live) == (1, 1, 1)
    assert owed(story.task, 0) is None
    story.page(1, 1, 2)
    assert (story.task.children, story.task.work, story.task.bound) == (3, 2, 3)
    assert (story.task.pages.tolist(), story.task.new_pages) == ([1], {1: "1\n2"})
    assert (story.task.detail_of(0).sequence, story.task.detail_of(0).state) == (1, '{"n":2}')
    assert owed(story.task, 0) is Action.DISPATCH
    story.dispatch(1, 2).complete(1).complete(2)
    assert story.task.phase is Phase.RUNNING
    story.page(2, 3)
    assert story.dispatch(3, 3).complete(3).seal(2).task.sealed
    assert (story.task.children, story.task.bound, story.task.work) == (5, 5, 3)
    story.dispatch(4, 4).complete(4)
    assert story.ended().task.phase is Phase.SUCCEEDED


def test_a_sealed_plan_without_children_has_its_reduce_alone() -> None:
    story = Split().seal(0)
    assert (story.task.children, story.task.bound, story.task.work) == (2, 2, 0)
    assert story.dispatch(1, 1).complete(1).task.phase is Phase.SUCCEEDING
    assert Split(fan_in=0).seal(0).task.phase is Phase.SUCCEEDING


@pytest.mark.parametrize(
    "page",
    [
        {"sequence": 3, "first": 2},  # one before it was lost
        {"sequence": 1, "first": 2},
        {"sequence": 2, "first": 3},
        {"sequence": 2, "first": 1},
        {"sequence": 2, "first": 2, "count": 0},
        {"sequence": 2, "first": 2, "ordinal": 2},
        {"sequence": 1, "first": 2, "child": 1},
    ],
)
def test_a_page_that_does_not_follow_is_void_as_a_whole(page: dict[str, int]) -> None:
    story = Split().page(1, 1).dispatch(1, 1)
    before = (story.task.children, story.task.pages.tolist(), story.task.detail_of(0).sequence)
    void = story.task.void
    story.page(**page)
    assert (story.task.children, story.task.pages.tolist(), story.task.detail_of(0).sequence) == before
    assert story.task.void == void + 1


def test_a_task_without_a_split_child_has_no_pages() -> None:
    story = Story(2).dispatch(0, 1)
    story.tell(e.TaskPlanProgressed, 0, "1", 0, 0, 1, 1, 1, 1, 2, 1, "1")
    assert (story.task.children, story.task.void) == (2, 1)


def test_a_split_child_that_ends_behind_a_lost_page_goes_on_from_the_last_one() -> None:
    """A page was set aside as rubbish: neither the outcome nor a checkpoint behind it is believed."""
    story = Split(retry=RetryPolicy(max_attempts=2)).page(1, 1).page(3, 3)
    story.tell(e.ChildCheckpointed, 0, 1, 1, 1, 3, "later", 0, None).seal(3)
    detail = story.task.detail_of(0)
    assert (story.states()[0], detail.error_type) == (ChildState.DUE, "PagesMissing")
    assert (detail.sequence, detail.state) == (1, '{"n":1}')
    story.dispatch(0, 0, 2).page(2, 2, ordinal=2).seal(2, ordinal=2)
    assert (story.task.sealed, story.task.work) == (True, 2)


@pytest.mark.parametrize("outcome", ["failed", "returned", "cancelled"])
def test_an_outcome_moves_neither_state_nor_sequence_of_a_split_child(outcome: str) -> None:
    story = Split(retry=RetryPolicy(max_attempts=2)).page(1, 1)
    if outcome == "failed":
        story.fail(0, sequence=3, state="later")
    elif outcome == "returned":
        story.tell(e.ChildReturned, 0, 1, 1, 1, 3, "later", 0, "drain")
    else:
        story.stop(0).tell(e.ChildCancelled, 0, 1, 1, 1, 900, 3, "later", "enough")
    detail = story.task.detail_of(0)
    assert (detail.sequence, detail.state) == (1, '{"n":1}')


def test_a_page_in_a_closing_task_adds_children_to_be_cancelled() -> None:
    story = Split().page(1, 1).tell(e.TaskCancelRequested, 0, "enough").stop(0)
    assert owed(story.task, 0) is Action.CANCEL
    story.tell(e.ChildrenCancelled, tuple(story.task.idle_spans()), "", 0)
    assert owed(story.task, 0) is None
    story.page(2, 2)
    assert (story.task.children, story.task.idle) == (3, 1)
    assert [*story.task.idle_spans()] == [e.Span(2, 2)]
    assert story.seal(2).task.sealed
    assert [*story.task.idle_spans()] == [e.Span(2, 3)]  # the reduce too
    assert story.ended(e.TaskCancelled).task.phase is Phase.CANCELLED


def test_a_split_child_that_fails_for_good_fails_its_task_whatever_is_tolerated() -> None:
    story = Split(failure=FailurePolicy(percent=100, on=RUN_ALL)).page(1, 1).fail(0)
    assert (story.task.phase, story.task.measured) == (Phase.FAILING, 0)
    assert story.task.reason == "the split failed: Trouble: no"


def test_percentages_are_judged_at_the_seal() -> None:
    half = FailurePolicy(percent=50)
    story = Split(failure=half).page(1, 1, 3).dispatch(1, 3).fail(1).fail(2)
    assert story.task.phase is Phase.RUNNING
    assert (story.seal(1).task.phase, story.task.reason) == (Phase.FAILING, "2 of 3 children failed")


def test_a_count_is_judged_at_once_and_people_count_from_zero() -> None:
    story = Split(failure=FailurePolicy(count=0)).page(1, 1, 2).dispatch(1, 2).fail(2)
    assert (story.task.phase, story.task.reason) == (Phase.FAILING, "child 1 failed: Trouble: no")


def test_a_split_child_that_waits_for_its_next_attempt_goes_first_when_it_is_due() -> None:
    story = Split(retry=RetryPolicy(max_attempts=2)).page(1, 1, 2).dispatch(1, 1).fail(0, delay=500)
    assert [story.task.splits(now) for now in (1_499, 1_500)] == [False, True]
    assert owed(story.task, 0) is Action.DISPATCH


# --- redrives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["failed", "all"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_split_child_that_failed_goes_on_from_its_last_page(scope: str, *, restart: bool) -> None:
    story = Split().page(1, 1)
    story.dispatch(1, 1).complete(1).fail(0)
    story.ended(e.TaskFailed).redrive(scope, restart=restart)
    detail = story.task.detail_of(0)
    assert (story.states()[0], detail.sequence, detail.state) == (ChildState.DUE, 1, '{"n":1}')
    assert story.states()[1] is (ChildState.WAITING if scope == "all" else ChildState.SUCCEEDED)
    assert (story.task.children, story.task.bound, story.task.phase) == (2, 2, Phase.RUNNING)


def test_a_plan_is_made_once_also_where_everything_is_done_again() -> None:
    story = Split().page(1, 1)
    story.dispatch(1, 1).complete(1)
    story.seal(1).dispatch(2, 2).complete(2)
    story.ended().redrive("all", restart=True)
    assert story.states() == [ChildState.SUCCEEDED, ChildState.WAITING, ChildState.WAITING]
    assert (story.task.sealed, story.task.bound, story.task.children) == (True, 2, 3)
    story.dispatch(1, 1, 2).complete(1, 2)
    assert (story.task.bound, story.states()[2]) == (3, ChildState.DUE)


def test_a_split_child_that_was_never_dispatched_waits_again() -> None:
    story = Split(live=False).tell(e.TaskCancelRequested, 0, "enough")
    story.ended(e.TaskCancelled).redrive()
    assert (story.task.bound, story.task.splits(0), owed(story.task, 0)) == (1, True, Action.DISPATCH)


def test_a_redrive_whose_split_child_cannot_be_dispatched_any_more_is_void() -> None:
    story = Split().page(1, 1)
    story.dispatch(1, 1).complete(1).fail(0)
    story.ended(e.TaskFailed).task.table[0] |= LAST_ORDINAL << 4
    assert story.redrive().task.phase is Phase.FAILED


def test_a_task_requires_what_its_splitter_does_before_its_plan_and_while_that_is_due() -> None:
    made = Template(
        name="t", split=BySplit(function="cuts:pieces"), child=ChildSpec(handler="jobs:work"),
        split_retry=RetryPolicy(max_attempts=2),
    )  # fmt: skip
    story = Story(-1)
    story.task = Task(request(made), story.load)
    assert story.task.requirement(0) == Requirement("cuts")
    story.tell(e.TaskPlanned, 0, 0, PLAN, "", 0, 0, True)
    assert story.task.requirement(0) == Requirement("cuts")
    story.dispatch(0, 0).tell(e.TaskPlanProgressed, 0, "1", 0, 0, 1, 1, 1, 1, 1, 1, "1")
    assert story.task.requirement(0) == Requirement("jobs")
    story.fail(0, delay=500)
    assert [story.task.requirement(now) for now in (0, 9_999)] == [Requirement("jobs"), Requirement("cuts")]
