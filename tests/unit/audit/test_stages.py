"""Decisions about stages: a reduce that is dispatched before its time, or planned where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from streamsched.audit.decisions import judge_at_basis, judge_companion, judge_in_place
from streamsched.audit.report import Fault
from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.policy import RetryPolicy
from streamsched.domain.splitting import plan
from streamsched.domain.task import Load, Task
from tests.support.journals import template
from tests.unit.domain.test_evolve import ONCE, Story


def dispatched(*releases: e.Release) -> e.ChildrenDispatched:
    return e.ChildrenDispatched(bytes(16), 2_000, "scheduler", "task", releases, 9)


def judged(story: Story, *releases: e.Release) -> Fault | None:
    return judge_at_basis(story.task, dispatched(*releases))


def test_a_reduce_before_the_last_ending_is_named() -> None:
    story = Story(-1, reduce=ONCE).tell(e.TaskPlanned, 0, 2, "{}", "", 0, 1).dispatch(0, 0)
    assert judged(story, e.Release(1, 1, 1, 0)) is None
    early = judged(story, e.Release(1, 2, 1, 0))
    assert early == Fault(
        14, 2, "at basis 9 an ending of every child before the reduce", "child 0 was running with ordinal 1"
    )
    story.dispatch(1, 1).complete(0).complete(1)
    assert judged(story, e.Release(2, 2, 1, 0)) is None


def test_a_held_reduce_is_not_to_be_dispatched() -> None:
    story = Story(-1, reduce=ONCE).tell(e.TaskPlanned, 0, 1, "{}", "", 0, 1)
    story.dispatch(0, 0).complete(0).dispatch(1, 1).complete(1).tell(e.TaskSucceeded, 0, "", 0)
    story.tell(e.TaskRedriven, 1, "all", False, "", "")
    assert judged(story, e.Release(0, 0, 2, 0)) is None
    found = judged(story, e.Release(0, 0, 2, 0), e.Release(1, 1, 2, 0))
    assert (found and found.invariant, found and found.child) == (14, 1)


@pytest.mark.parametrize(
    ("children", "fan_in", "last", "good"), [(2, 1, 1, True), (2, 1, 2, False), (0, 1, 0, True), (0, 0, 0, False)]
)
def test_the_companion_of_a_plan_stays_in_the_first_stage(children: int, fan_in: int, last: int, *, good: bool) -> None:
    planned = e.TaskPlanned(bytes(16), 1, "me", "task", 0, children, "{}", "", 0, fan_in)
    assert (judge_companion(planned, dispatched(e.Release(0, last, 1, 0))) is None) is good


@pytest.mark.parametrize(("reduce", "fan_in"), [(ONCE, 0), (None, 1)])
def test_a_plan_has_the_reduce_of_its_template(reduce: RetryPolicy | None, fan_in: int) -> None:
    made: Any = template(reduce=reduce)
    asked = e.TaskRequested(bytes(16), 1, "me", "task", "t", "1", made.to_json(), '{"n":3}', 0, "", None)
    task = evolve(None, asked, Load())
    assert isinstance(task, Task)
    found = plan(task.template, task.params())

    def judged_plan(number: int) -> Fault | None:
        planned = e.TaskPlanned(bytes(16), 1, "me", "task", 0, 3, found.document, found.digest, 0, number)
        return judge_in_place(task, planned, 1)

    assert judged_plan(1 - fan_in) is None
    assert judged_plan(fan_in) == Fault(2, None, "a reduce as the template says", f"{fan_in} in TaskPlanned")
