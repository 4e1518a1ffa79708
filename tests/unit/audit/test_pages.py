"""Pages and the seal: each page follows the one before it, and nothing is dispatched that no page has named."""

from __future__ import annotations

from typing import Any

import pytest

from streamsched.audit.children import Owners, judge_worker_event
from streamsched.audit.decisions import judge_at_basis, judge_companion, judge_in_place
from streamsched.audit.report import Fault
from streamsched.domain import events as e
from streamsched.domain.bounds import CHILDREN_LIMIT
from streamsched.domain.splitters.by import BySplit
from streamsched.domain.splitting import plan
from streamsched.domain.template import ChildSpec, Template
from tests.support.journals import request
from tests.unit.domain.test_evolve import Story
from tests.unit.domain.test_split import PLAN, Split

HEAD = (bytes(16), 2_000, "worker", "task")


def page(**changed: Any) -> e.TaskPlanProgressed:
    fields: dict[str, Any] = {
        "redrive": 0, "cursor": "{}", "basis": 0, "child": 0, "ordinal": 1, "attempt": 1, "token": 1 << 32,
        "sequence": 2, "first": 2, "count": 1, "entries": "1",
    }  # fmt: skip
    return e.TaskPlanProgressed(*HEAD, *(fields | changed).values())


def judged(story: Story, event: Any) -> Fault | None:
    return judge_worker_event(story.task, event, 7, Owners({}), ())


def test_a_page_that_follows_is_good() -> None:
    assert judged(Split().page(1, 1), page()) is None


@pytest.mark.parametrize(
    ("changed", "invariant", "found"),
    [
        ({"child": 1}, 13, "a page by child 1"),
        ({"ordinal": 2}, 13, "TaskPlanProgressed, but its last dispatch has ordinal 1"),
        ({"sequence": 3}, 13, "page 3"),
        ({"first": 3}, 13, "one from child 3 on"),
        ({"count": 0}, 13, "an empty one"),
        ({"token": 2 << 32}, 4, "one of ordinal 2"),
    ],
)
def test_a_page_that_does_not_follow_is_named(changed: dict[str, int], invariant: int, found: str) -> None:
    fault = judged(Split().page(1, 1), page(**changed))
    assert (fault and fault.invariant, fault and fault.found) == (invariant, found)


def test_a_page_behind_the_seal_is_named() -> None:
    fault = judged(Split().page(1, 1).seal(1), page())
    assert (fault and fault.invariant, fault and fault.expected) == (13, "nothing of ordinal 1 after its outcome")


def test_more_children_than_a_task_may_have_are_named() -> None:
    story = Split()
    story.task.work, story.task.work_end = CHILDREN_LIMIT, CHILDREN_LIMIT + 1
    fault = judged(story, page(sequence=1, first=CHILDREN_LIMIT + 1))
    assert (fault and fault.invariant, fault and fault.found) == (13, "10,000,001")


def test_an_outcome_of_a_split_child_tells_nothing_that_is_not_written() -> None:
    story = Split().page(1, 1).dispatch(1, 1)
    live = (1, 1, 1 << 32)
    assert judged(story, e.ChildReturned(*HEAD, 0, *live, 1, "{}", 0, "drain")) is None
    ahead = judged(story, e.ChildReturned(*HEAD, 0, *live, 2, "{}", 0, "drain"))
    assert (ahead and ahead.invariant, ahead and ahead.child) == (4, 0)
    assert judged(story, e.ChildReturned(*HEAD, 1, *live, 1, "{}", 0, "drain")) is None


def dispatched(child: int, ordinal: int = 1) -> e.ChildrenDispatched:
    return e.ChildrenDispatched(*HEAD, (e.Release(child, child, ordinal, 0),), 9)


def test_a_child_that_no_page_had_named_at_the_basis_is_named() -> None:
    story = Split().page(1, 1)
    assert judge_at_basis(story.task, dispatched(1)) is None
    early = judge_at_basis(story.task, dispatched(2))
    assert early == Fault(
        14, 2, "at basis 9 a page that names it: so far there were 1 work children",
        "2 with ordinal 1 in partition 0",
    )  # fmt: skip


def test_a_sealed_split_child_is_not_to_be_dispatched() -> None:
    story = Split().page(1, 1, 2).seal(1)
    fault = judge_in_place(story.task, dispatched(0, 2), 1)
    assert (fault and fault.invariant, fault and fault.child) == (3, 0)


def test_the_companion_of_a_plan_is_its_split_child_alone() -> None:
    planned = e.TaskPlanned(*HEAD, 0, 0, PLAN, "", 9, 1, True)
    assert judge_companion(planned, dispatched(0)) is None
    both = e.ChildrenDispatched(*HEAD, (e.Release(0, 1, 1, 0),), 9)
    assert judge_companion(planned, both) is not None


def test_a_plan_has_a_split_child_where_its_template_says_so() -> None:
    made = Template(name="t", split=BySplit(function="jobs:pieces"), child=ChildSpec(handler="jobs:work"))
    story = Story(-1)
    story.task.__init__(request(made), story.load)  # type: ignore[misc]
    found = plan(made, {})

    def judged_plan(*, split: bool) -> Fault | None:
        return judge_in_place(story.task, e.TaskPlanned(*HEAD, 0, 0, found.document, found.digest, 0, 0, split), 1)

    assert judged_plan(split=True) is None
    assert judged_plan(split=False) == Fault(2, None, "a split child: True", "False in TaskPlanned")
