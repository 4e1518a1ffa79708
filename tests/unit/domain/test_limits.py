"""Limits of a task (design-life.md 1, 2, 5): the bucket, parallelism, the deadline, and what people change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.domain import events as e
from streamsched.domain.events import Rate
from streamsched.domain.evolve import evolve
from streamsched.domain.limits import ANY_RATE, Limits, deadline_of, initial, read_rate, write_rate
from streamsched.domain.owed import Action, next_look, owed
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.policy import RUN_ALL, FailurePolicy
from streamsched.domain.refusal import TemplateError
from tests.unit.domain.test_evolve import ONCE, Story

FIELDS = ("parallelism", "rate", "priority", "weight", "tolerate", "deadline")


def change(story: Story, *, at: int = 1_000, redrive: int = 0, **changed: Any) -> Story:
    return story.tell(e.TaskLimitsChanged, redrive, *(changed.get(name) for name in FIELDS), "because", at=at)


# --- the bucket -----------------------------------------------------------------------------------------------------


def test_a_bucket_holds_a_second_of_its_rate_and_at_least_one() -> None:
    assert initial(0, Rate(100, 1_000), 0).room(0, 5) == 100
    assert initial(0, Rate(5, 60_000), 0).room(0, 5) == 1
    assert initial(0, Rate(1, 1), 0).room(0, 5) == 1_000


def test_the_next_token_is_there_when_it_is_said_to_be() -> None:
    limits = initial(0, Rate(3, 10_000), 0).charged(1_000, 1)
    assert (limits.room(0, 1_000), limits.next_token(1_000)) == (0, 4_334)
    assert (limits.room(0, 4_333), limits.room(0, 4_334)) == (0, 1)


def test_the_time_of_a_bucket_never_goes_back() -> None:
    limits = initial(0, Rate(10, 1_000), 0).charged(5_000, 2)
    assert limits.room(0, 4_999) == 0, "a scheduler with a clock behind it waits"
    assert limits.next_token(4_000) == 5_000
    behind = limits.charged(4_000, 1)
    assert behind.filled_at == 5_000
    assert behind.room(0, 5_000) == 7


def test_a_rate_that_changes_makes_no_tokens() -> None:
    limits = initial(0, Rate(100, 1_000), 0).charged(1_000, 100)
    assert limits.rated(Rate(100, 1_000)).room(0, 1_000) == 0
    assert limits.rated(Rate(50, 1_000)).room(0, 1_500) == 25
    assert limits.rated(Rate(6_000, 60_000)).room(0, 1_100) == 10
    assert initial(0, Rate(100, 1_000), 0).rated(Rate(2, 1_000)).room(0, 5) == 2
    assert limits.rated(Rate(0, 1)).rated(Rate(100, 1_000)).room(0, 1_010) == 1, "nor does one that was away"


def test_a_client_whose_clock_is_ahead_holds_up_nothing() -> None:
    story = change(Story(3), rate=Rate(1, 1_000), at=9_000_000)
    assert owed(story.task, 1_000) is Action.DISPATCH


@given(
    rate=st.builds(Rate, st.integers(1, 50), st.integers(1, 5_000)),
    steps=st.lists(st.tuples(st.integers(-50, 400), st.integers(1, 60)), min_size=1, max_size=60),
)
def test_no_window_admits_more_than_burst_and_rate(rate: Rate, steps: list[tuple[int, int]]) -> None:
    limits, at, admitted = initial(0, rate, 0), 10_000, list[tuple[int, int]]()
    for step, wanted in steps:
        at = max(0, at + step)
        count = min(wanted, limits.room(0, at))
        if count:
            limits = limits.charged(at, count)
            admitted.append((at, count))
    burst = max(rate.period, rate.count * 1_000)
    for first, (begin, _) in enumerate(admitted):
        total = 0
        for end, count in admitted[first:]:
            assert end >= begin
            total += count * rate.period
            assert total <= burst + rate.count * (end - begin)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/s", Rate(100, 1_000)), ("5/m", Rate(5, 60_000)), ("3/10s", Rate(3, 10_000)), ("1/d", Rate(1, 86_400_000))],
)
def test_rates_as_people_write_them(text: str, rate: Rate) -> None:
    assert read_rate(text, ("rate",)) == rate
    assert write_rate(rate) == text


@pytest.mark.parametrize(
    "text", ["", "100", "0/s", "-1/s", "1/", "1/0s", "1/2d", "9999999999/s", "1.5/s", "1/x", 5, None]
)
def test_absurd_rates_are_refused(text: object) -> None:
    with pytest.raises(TemplateError, match="rate"):
        read_rate(text, ("rate",))


# --- what is dispatched ---------------------------------------------------------------------------------------------


def test_parallelism_counts_live_work_children_and_a_lower_one_lets_them_finish() -> None:
    story = change(Story(5), parallelism=2)
    assert (owed(story.task, 0), story.task.room(0)) == (Action.DISPATCH, 2)
    story.dispatch(0, 1)
    assert owed(story.task, 0) is None
    change(story, parallelism=1)
    assert story.states()[:2] == [ChildState.RUNNING] * 2
    story.complete(0)
    assert owed(story.task, 0) is None
    assert owed(story.complete(1).task, 0) is Action.DISPATCH
    change(story, parallelism=0)
    assert story.task.room(0) > 5


def test_a_rate_is_charged_where_dispatches_are_folded_and_wakes_when_a_token_is_there() -> None:
    story = change(Story(9), rate=Rate(2, 1_000))
    story.tell(e.ChildrenDispatched, (e.Release(0, 1, 1, 7),), 0, at=2_000)
    assert (owed(story.task, 2_000), next_look(story.task, 2_000)) == (None, 2_500)
    assert owed(story.task, 2_500) is Action.DISPATCH


def test_what_comes_back_unbegun_is_refunded() -> None:
    story = change(Story(9), rate=Rate(1, 60_000)).dispatch(0, 0)
    why = e.Why("module", "no m", "node", 0, False)
    story.tell(e.ChildReturned, 0, 1, 1, 1, 0, None, 0, "", why)
    assert owed(story.task, 1_000) is Action.DISPATCH
    story.dispatch(0, 0, 2)
    story.tell(e.ChildReturned, 0, 2, 1, 1, 0, None, 0, "drain")
    assert owed(story.task, 1_000) is None, "it may have begun"


def test_neither_counts_a_reduce() -> None:
    story = change(Story(-1, reduce=ONCE), parallelism=1, rate=Rate(1, 60_000))
    story.tell(e.TaskPlanned, 0, 1, "{}", "", 0, 1).dispatch(0, 0).complete(0)
    assert owed(story.task, 1_000) is Action.DISPATCH
    story.dispatch(1, 1)
    assert story.task.live_work == 0
    assert story.task.limits.level == 0


def test_neither_counts_a_split_child() -> None:
    story = change(Story(-1), parallelism=1, rate=Rate(1, 60_000))
    story.tell(e.TaskPlanned, 0, 0, "{}", "", 0, 0, True).dispatch(0, 0)
    story.tell(e.TaskPlanProgressed, 0, '"1"', 0, 0, 1, 1, 1, 1, 1, 2, "1\n2")
    assert (owed(story.task, 1_000), story.task.room(1_000)) == (Action.DISPATCH, 1)
    assert owed(story.dispatch(1, 1).task, 1_000_000) is None


# --- the deadline ---------------------------------------------------------------------------------------------------


def test_a_deadline_counts_from_the_request_or_the_plan_if_that_clock_is_ahead() -> None:
    assert deadline_of(500, 1_000, 4_000) == 1_500
    assert deadline_of(500, 9_000, 4_000) == 4_500
    assert deadline_of(0, 9_000, 4_000) is None


def planned(deadline: int | None = 5_000, children: int = 3) -> Story:
    return Story(-1, retry=ONCE).tell(e.TaskPlanned, 0, children, "{}", "", 0, 0, False, deadline)


def test_a_passed_deadline_is_owed_before_a_dispatch_and_fails_the_task() -> None:
    story = planned()
    assert (owed(story.task, 4_999), next_look(story.task, 4_999)) == (Action.DISPATCH, 5_000)
    story.dispatch(0, 0)
    assert owed(story.task, 5_000) is Action.TIME
    story.tell(e.TimerFired, 5_000, 0, at=5_003)
    assert (story.task.phase, owed(story.task, 5_003)) == (Phase.FAILING, Action.STOP)
    assert "deadline 1970-01-01T00:00:05Z" in story.task.reason


def test_a_deadline_counts_while_a_task_is_paused() -> None:
    story = planned().tell(e.TaskPaused, 0, True, False, "")
    assert next_look(story.task, 1_000) == 5_000
    assert owed(story.task, 5_000) is Action.TIME


def test_a_later_deadline_that_landed_meanwhile_makes_the_timer_void() -> None:
    story = change(planned(), deadline=6_000)
    story.tell(e.TimerFired, 5_000, 0, at=5_003)
    assert (story.task.phase, story.task.void) == (Phase.RUNNING, 1)
    assert owed(story.task, 6_000) is Action.TIME
    assert owed(change(story, deadline=0).task, 9_000) is Action.DISPATCH


def test_what_people_have_set_before_the_plan_goes_before_that_of_the_plan() -> None:
    story = change(Story(-1), deadline=9_000).tell(e.TaskPlanned, 0, 1, "{}", "", 0, 0, False, 5_000)
    assert story.task.limits.deadline == 9_000


def test_a_redrive_has_no_deadline_and_keeps_the_other_limits() -> None:
    story = change(planned(children=1), parallelism=1).tell(e.TimerFired, 5_000, 0, at=5_003)
    story.tell(e.ChildrenCancelled, (e.Span(0, 0),), "", 0).tell(e.TaskFailed, 0, "", 0)
    story.tell(e.TaskRedriven, 1, "failed", False, "", "")
    assert (story.task.phase, owed(story.task, 99_000)) == (Phase.RUNNING, Action.DISPATCH)
    assert story.task.limits.parallelism == 1
    story.tell(e.TimerFired, 5_000, 0, at=99_000)
    assert story.task.phase is Phase.RUNNING


# --- what people change ---------------------------------------------------------------------------------------------


def test_a_change_of_another_redrive_or_of_an_ended_task_is_void() -> None:
    story = change(Story(1), redrive=1, priority=3)
    assert (story.task.void, story.task.limits.priority) == (1, 0)
    story.dispatch(0, 0).complete(0).tell(e.TaskSucceeded, 0, "", 0)
    assert change(story, priority=3).task.void == 2


def test_only_what_is_named_is_replaced() -> None:
    story = change(change(Story(1), priority=3, parallelism=7), rate=Rate(1, 9))
    limits = story.task.limits
    assert (limits.priority, limits.parallelism, limits.rate) == (3, 7, Rate(1, 9))
    assert change(story, rate=ANY_RATE).task.room(0) == 7


def test_a_lower_tolerance_is_judged_at_once() -> None:
    story = Story(3, retry=ONCE, failure=FailurePolicy(count=2)).dispatch(0, 2).fail(0)
    change(story, tolerate=e.Tolerance(1, None))
    assert story.task.phase is Phase.RUNNING
    change(story, tolerate=e.Tolerance(0, None))
    assert (story.task.phase, story.task.reason) == (Phase.FAILING, "1 of 3 children failed")


def test_a_higher_tolerance_saves_a_task_that_runs_all() -> None:
    story = Story(2, retry=ONCE, failure=FailurePolicy(count=0, on=RUN_ALL)).dispatch(0, 1).fail(0)
    assert story.task.reason
    change(story, tolerate=e.Tolerance(None, 50.0))
    assert story.complete(1).task.phase is Phase.SUCCEEDING
    assert story.task.reason == ""


def test_tolerance_counts_failures_from_then_on() -> None:
    story = change(Story(3, retry=ONCE), tolerate=e.Tolerance(1, None)).dispatch(0, 2).fail(0)
    assert story.task.phase is Phase.RUNNING
    assert story.fail(1).task.phase is Phase.FAILING


def test_limits_are_never_those_of_another_task() -> None:
    story = change(Story(1), parallelism=1)
    other = evolve(None, story.task.request, story.load)
    assert other is not None
    assert other.limits == Limits()
