"""What people see of a task with a split child: its work children alone, counted from 0, and how the split gets on."""

from __future__ import annotations

import pytest

from streamsched.cli.progress import counted
from streamsched.cli.task_text import describe
from streamsched.domain import events as e
from streamsched.domain.task import Task
from streamsched.log.codec import Codec
from streamsched.queries.status import children_of, reduce_of, status_of
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import request, template
from tests.unit.domain.test_evolve import ONCE

HEAD = (bytes(16), 1_000, "w", "task")


class Shop:
    """A view with one task whose split child is live and has found three children, the first of which has ended."""

    def __init__(self) -> None:
        self.view = View(MemoryStore(), Codec())
        self.view.apply(request(template(retry=ONCE, reduce=ONCE)), 0)
        self.tell(e.TaskPlanned(*HEAD, 0, 0, '{"by":{}}', "", 0, 1, True))
        self.dispatch(0, 0)
        self.tell(e.TaskPlanProgressed(*HEAD, 0, "{}", 0, 0, 1, 1, 1, 1, 1, 3, "1\n2\n3"))
        self.dispatch(1, 2)
        self.complete(1, "7")

    @property
    def task(self) -> Task:
        task = self.view.task("task")
        assert task is not None
        return task

    def tell(self, event: e.Event) -> None:
        self.view.apply(event, 0)

    def dispatch(self, first: int, last: int) -> None:
        self.tell(e.ChildrenDispatched(*HEAD, (e.Release(first, last, 1, 0),), 0))

    def complete(self, child: int, result: str | None = None, sequence: int = 0) -> None:
        self.tell(e.ChildCompleted(*HEAD, child, 1, 1, 1, 900, sequence, result))


@pytest.mark.parametrize("stored", [False, True])
def test_work_children_are_listed_from_zero(*, stored: bool) -> None:
    shop = Shop()
    if stored:
        shop.view.flush()
    shown = [(child.child, child.state, child.result) for child in children_of(shop.view, shop.task)]
    assert shown == [(0, "succeeded", 7), (1, "queued", None), (2, "waiting", None)]
    assert [child.child for child in children_of(shop.view, shop.task, "waiting")] == [2]


def test_the_status_says_how_many_were_found_so_far() -> None:
    shop = Shop()
    status = status_of(shop.task)
    counts = status.children
    assert (counts.total, counts.succeeded, counts.queued, counts.waiting) == (3, 1, 1, 1)
    assert (status.split, status.splitting, "reduce" in status.document()) == ("queued", True, False)
    assert counted(status) == "splitting: 3 so far, 1 succeeded, 1 queued, 1 waiting"
    assert dict(describe(status))["children"] == "splitting: 3 so far, 1 succeeded, 1 queued, 1 waiting"


def test_a_sealed_plan_is_shown_as_any_other() -> None:
    shop = Shop()
    shop.complete(0, sequence=1)
    status = status_of(shop.task)
    assert (status.split, status.splitting, status.reduce) == ("succeeded", False, "waiting")
    assert counted(status) == "1 of 3 succeeded, 1 queued, 1 waiting, reduce waiting"
    reduce = reduce_of(shop.view, shop.task)
    assert reduce is not None
    assert (reduce.child, reduce.state) == (0, "waiting")


def test_a_split_child_that_failed_is_named() -> None:
    shop = Shop()
    shop.tell(e.ChildFailed(*HEAD, 0, 1, 1, 1, 900, 1, None, "error", "InputMissing", "no such file", "", False, None))
    status = status_of(shop.task)
    assert (status.state, status.splitting) == ("failing", False)
    assert status.reason == "the split failed: InputMissing: no such file"
    assert counted(status) == "1 of 3 succeeded, 1 queued, 1 waiting, split failed"


def test_a_task_without_a_split_child_says_nothing_of_it() -> None:
    view = View(MemoryStore(), Codec())
    view.apply(request(template()), 0)
    task = view.task("task")
    assert task is not None
    assert "split" not in status_of(task).document()
