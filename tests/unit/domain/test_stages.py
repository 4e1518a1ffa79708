"""The stages of a task: the reduce runs behind the work children, and again whenever one of these has run again."""

from __future__ import annotations

from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.evolve import evolve
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.policy import RUN_ALL, FailurePolicy, RetryPolicy
from streamsched.domain.routing import Requirement
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.task import Load
from streamsched.domain.template import ChildSpec, Template
from tests.support.journals import request
from tests.unit.domain.test_evolve import ONCE, Story

REDUCE = 2
"""The index of the reduce in a task of two work children."""


def planned(children: int = 2, **policies: Any) -> Story:
    story = Story(-1, **{"retry": ONCE, "reduce": ONCE} | policies)
    return story.tell(e.TaskPlanned, 0, children, "{}", "", 0, 1)


def worked(**policies: Any) -> Story:
    """Tell of a task whose work children have ended, so that its reduce is open."""
    return planned(**policies).dispatch(0, 1).complete(0).complete(1)


def ended(story: Story, kind: type[e.TaskEnded] = e.TaskSucceeded) -> Story:
    assert owed(story.task, 0) is Action.END
    return story.tell(kind, story.task.redrive, "", 0)


def redrive(story: Story, scope: str = "failed", *, restart: bool = False) -> Story:
    return story.tell(e.TaskRedriven, story.task.redrive + 1, scope, restart, "", "")


def reduce_state(story: Story) -> ChildState:
    return story.task.state_of(REDUCE)


def test_the_reduce_waits_for_every_work_child() -> None:
    story = planned()
    assert (story.task.children, story.task.work, story.task.bound) == (3, 2, 2)
    story.dispatch(0, 2)
    assert story.task.live == 0
    story.dispatch(0, 1).dispatch(2, 2)
    assert story.task.live == 2
    assert owed(story.complete(0).task, 0) is None
    assert owed(story.complete(1).task, 0) is Action.DISPATCH
    assert story.task.bound == 3
    assert story.task.phase is Phase.RUNNING
    story.dispatch(REDUCE, REDUCE).complete(REDUCE)
    assert story.task.verdict is Phase.SUCCEEDED
    assert ended(story).task.phase is Phase.SUCCEEDED


def test_a_plan_without_children_has_its_reduce_alone() -> None:
    story = planned(0)
    assert (story.task.phase, story.task.bound) == (Phase.RUNNING, 1)
    assert story.dispatch(0, 0).complete(0).task.phase is Phase.SUCCEEDING


def test_a_reduce_that_was_dispatched_with_its_plan_is_live_in_a_cancelled_task_too() -> None:
    story = Story(-1, reduce=ONCE).tell(e.TaskCancelRequested, 0, "enough")
    story.tell(e.TaskPlanned, 0, 0, "{}", "", 0, 1).dispatch(0, 0)
    assert (story.task.phase, story.task.live) == (Phase.CANCELLING, 1)
    assert owed(story.task, 0) is Action.STOP


def test_each_stage_requires_its_own_module() -> None:
    made = Template(
        name="t", split=RangeSplit(first=1, last=2, size=1), child=ChildSpec(handler="jobs:work"),
        reduce=ChildSpec(handler="sums:total"),
    )  # fmt: skip
    task = evolve(None, request(made), Load())
    assert task is not None
    assert task.requirement(0) == Requirement("jobs")
    story = Story(-1)
    story.task = task
    story.tell(e.TaskPlanned, 0, 2, "{}", "", 0, 1)
    assert task.requirement(0) == Requirement("jobs")
    story.dispatch(0, 1).complete(0).complete(1)
    assert (task.requirement(0), task.requirement_of(1)) == (Requirement("sums"), Requirement("jobs"))


def test_failures_are_judged_over_work_children_alone() -> None:
    half = FailurePolicy(percent=50)
    story = planned(failure=half).dispatch(0, 1).fail(0).complete(1)
    assert (story.task.phase, story.task.bound) == (Phase.RUNNING, 3)
    story.dispatch(REDUCE, REDUCE).fail(REDUCE)
    assert story.task.phase is Phase.FAILING
    assert story.task.reason == "the reduce failed: Trouble: no"
    assert story.task.measured == 2


@pytest.mark.parametrize("on", [RUN_ALL, "fail_fast"])
def test_a_task_with_too_many_failures_never_reduces(on: str) -> None:
    story = planned(failure=FailurePolicy(on=on)).dispatch(0, 1).complete(0).fail(1)
    assert story.task.phase is Phase.FAILING
    assert owed(story.task, 0) is Action.CANCEL
    story.tell(e.ChildrenCancelled, tuple(story.task.idle_spans()), "", 0)
    assert ended(story, e.TaskFailed).task.phase is Phase.FAILED


def test_the_reduce_is_retried_by_its_own_policy() -> None:
    story = worked(reduce=RetryPolicy(max_attempts=2)).dispatch(REDUCE, REDUCE)
    assert reduce_state(story.fail(REDUCE)) is ChildState.DUE
    story.dispatch(REDUCE, REDUCE, 2).fail(REDUCE, 2, attempt=2)
    assert story.task.phase is Phase.FAILING


def test_a_cancelled_task_passes_its_stages_at_once_when_it_goes_on() -> None:
    """It was cancelled beside its last outcome: the redrive finds nothing to do but the reduce."""
    story = planned().dispatch(0, 1).complete(0).tell(e.TaskCancelRequested, 0, "enough").complete(1)
    assert [*story.task.idle_spans()] == [e.Span(REDUCE, REDUCE)]
    story.tell(e.ChildrenCancelled, (e.Span(REDUCE, REDUCE),), "", 0)
    redrive(ended(story, e.TaskCancelled))
    assert (story.task.phase, story.task.bound, reduce_state(story)) == (Phase.RUNNING, 3, ChildState.WAITING)
    assert owed(story.task, 0) is Action.DISPATCH


def test_a_reduce_goes_on_from_its_checkpoint_while_its_results_stand() -> None:
    story = worked().dispatch(REDUCE, REDUCE).fail(REDUCE, sequence=4, state='{"n":7}')
    redrive(ended(story, e.TaskFailed))
    assert (story.task.bound, reduce_state(story), story.task.detail_of(REDUCE).state) == (3, ChildState.DUE, '{"n":7}')
    assert story.task.next_due() is not None
    story.dispatch(REDUCE, REDUCE, 2).fail(REDUCE, 2, sequence=5, state='{"n":8}')
    redrive(ended(story, e.TaskFailed), restart=True)
    assert (story.task.detail_of(REDUCE).state, story.task.detail_of(REDUCE).sequence) == (None, 5)


def tolerant() -> Story:
    """Tell of a task that succeeded with a tolerated failure, its reduce too."""
    story = planned(failure=FailurePolicy(count=1)).dispatch(0, 1).fail(0).complete(1)
    story.dispatch(REDUCE, REDUCE).tell(e.ChildCheckpointed, REDUCE, 1, 1, 1, 3, "{}", 0, None)
    return ended(story.complete(REDUCE))


def test_a_reduce_that_had_succeeded_is_held_where_a_work_child_runs_again() -> None:
    story = redrive(tolerant())
    assert (story.task.bound, reduce_state(story), story.task.succeeded) == (2, ChildState.WAITING, 1)
    assert story.task.due_children(1 << 60, 9) == [0]
    assert story.dispatch(REDUCE, REDUCE, 2).task.live == 0
    story.dispatch(0, 0, 2).complete(0, 2)
    assert (story.task.bound, reduce_state(story)) == (3, ChildState.DUE)
    detail = story.task.detail_of(REDUCE)
    assert (detail.sequence, detail.state) == (3, None)
    story.dispatch(REDUCE, REDUCE, 2).complete(REDUCE, 2)
    assert story.task.phase is Phase.SUCCEEDING


def test_a_held_reduce_is_cancelled_with_its_task() -> None:
    story = redrive(tolerant()).tell(e.TaskCancelRequested, 1, "enough")
    assert owed(story.task, 0) is Action.CANCEL
    spans = [*story.task.idle_spans()]
    assert spans == [e.Span(0, 0), e.Span(REDUCE, REDUCE)]
    assert [story.task.first_taken(span) for span in spans] == [None, None]
    story.tell(e.ChildrenCancelled, tuple(spans), "", 0)
    assert ended(story, e.TaskCancelled).task.phase is Phase.CANCELLED


@pytest.mark.parametrize("scope", ["all", "failed"])
def test_a_redrive_whose_reduce_cannot_be_dispatched_any_more_is_void(scope: str) -> None:
    story = tolerant()
    story.task.table[REDUCE] |= LAST_ORDINAL << 4
    void = story.task.void
    assert redrive(story, scope).task.phase is Phase.SUCCEEDED
    assert story.task.void == void + 1


@pytest.mark.parametrize(("tolerate", "end"), [(0, Phase.FAILING), (1, Phase.SUCCEEDING)])
def test_run_all_is_judged_again_behind_the_reduce_which_may_have_begun_while_more_was_tolerated(
    tolerate: int, end: Phase
) -> None:
    story = planned(failure=FailurePolicy(count=1, on=RUN_ALL)).dispatch(0, 1).fail(0).complete(1)
    story.dispatch(REDUCE, REDUCE)
    story.tell(e.TaskLimitsChanged, 0, None, None, None, None, e.Tolerance(tolerate, None), None, "because")
    assert story.task.phase is Phase.RUNNING
    assert story.complete(REDUCE).task.phase is end
