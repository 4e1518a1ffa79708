"""Children behind a split child: their arguments come from the pages of the view, few of which are read in a round."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from streamsched.domain import events as e
from streamsched.domain.options import SPLIT, read_options
from streamsched.domain.splitters.by import BySplit
from streamsched.domain.task import Task
from streamsched.domain.template import ChildSpec, Template, TemplateError
from streamsched.log.codec import Codec
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.scheduler import entries as module
from streamsched.scheduler.dispatcher import Dispatcher
from streamsched.scheduler.entries import Entries
from streamsched.scheduler.planner import plan_task
from streamsched.scheduler.workers import Capacity
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import request

ME = Identity("s", "s", SystemClock())
TEMPLATE = Template(
    name="t",
    split=BySplit(function="jobs:pieces", args={"year": 2024}),
    child=ChildSpec(handler="jobs:work", args={"item": "${child.item}", "at": "${child.index}"}),
    reduce=ChildSpec(handler="jobs:total"),
)
WORKERS = [Capacity("w", 100, (3,))]


class Shop:
    """A view with one task, its split child live, and a dispatcher."""

    def __init__(self) -> None:
        self.view = View(MemoryStore(), Codec())
        self.dispatcher = Dispatcher(ME, Entries(self.view))
        self.tell(request(TEMPLATE))
        planned = plan_task(self.task, ME, 0)
        assert isinstance(planned, e.TaskPlanned)
        self.tell(planned)
        self.split = self.work()
        self.number = 0

    @property
    def task(self) -> Task:
        return self.view.active["task"]

    def tell(self, event: e.Event) -> None:
        self.view.apply(event, 0)
        self.view.moved(0, self.view.positions.get(0, 0) + 1)

    def page(self, *items: object) -> None:
        self.number += 1
        entries = "\n".join(json.dumps(item) for item in items)
        first = self.task.work_end
        self.tell(
            e.TaskPlanProgressed(
                bytes(16), 1, "w", "task", 0, "{}", 0, 0, 1, 1, 1 << 32, self.number, first, len(items), entries
            )
        )

    def work(self, now: int = 0) -> Sequence[e.ChildCreated]:
        """Dispatch a round, as far as it goes."""
        releases = self.dispatcher.choose([self.task], WORKERS, {}, now)["task"]
        made = [record for _, record in self.dispatcher.records(self.task, releases, 0)]
        for record in made:
            self.tell(
                e.ChildrenDispatched(
                    bytes(16), 1, "s", "task", (e.Release(record.child, record.child, record.ordinal, 3),), 0
                )
            )
        return made


def test_the_split_child_goes_with_the_plan() -> None:
    (split,) = Shop().split
    options = read_options(split.options or "")
    assert (split.child, split.handler, split.args) == (0, "jobs:pieces", "{}")
    assert json.loads(split.options or "")["stage"] == SPLIT
    assert options is None or options.split is not None
    assert json.loads(json.loads(split.options or "")["split"]["input"]) == {
        "function": "jobs:pieces",
        "args": {"year": 2024},
    }


def test_each_child_gets_its_entry_and_people_s_index() -> None:
    shop = Shop()
    shop.page("a", {"b": [1]})
    shop.page(3)
    made = shop.work()
    assert [(record.child, json.loads(record.args)) for record in made] == [
        (1, {"item": "a", "at": 0}),
        (2, {"item": {"b": [1]}, "at": 1}),
        (3, {"item": 3, "at": 2}),
    ]
    assert {record.handler for record in made} == {"jobs:work"}
    assert {record.options for record in made} == {'{"inputs":[]}'}


def test_pages_that_are_stored_serve_too() -> None:
    shop = Shop()
    shop.page("a")
    shop.view.flush()
    assert [json.loads(record.args)["item"] for record in shop.work()] == ["a"]


def test_a_round_reads_a_few_pages_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPENED", 2)
    shop = Shop()
    for number in range(3):
        shop.page(number)
    assert [record.child for record in shop.work()] == [1, 2]
    assert [record.child for record in shop.work()] == [3]


def test_pages_that_were_not_used_for_long_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 10)
    read: list[int] = []
    real = View.page

    def page(view: View, task: Task, first: int) -> str | None:
        read.append(first)
        return real(view, task, first)

    monkeypatch.setattr(View, "page", page)
    shop = Shop()
    for number in range(3):
        shop.page(number)
    entries = Entries(shop.view)
    for child in (1, 1, 2, 3, 1):
        entries(shop.task, child)
    assert read == [1, 2, 3, 1]
    entries.forget("task")
    entries.begin()
    entries(shop.task, 1)
    assert read[-1] == 1


def test_a_page_that_is_missing_or_broken_makes_no_child() -> None:
    shop = Shop()
    shop.page("a")
    shop.task.new_pages[1] = "{"
    with pytest.raises(TemplateError, match="its page has no entry for child 0"):
        shop.work()
    shop.task.new_pages.clear()
    with pytest.raises(TemplateError, match="its page has no entry for child 0"):
        Entries(shop.view)(shop.task, 1)


def test_a_split_child_that_is_due_goes_alone_and_before_the_work_children() -> None:
    shop = Shop()
    shop.page("a")
    shop.tell(e.ChildReturned(bytes(16), 1, "w", "task", 0, 1, 1, 1 << 32, 1, None, 0, "drain"))
    (again,) = shop.work(now=5)
    assert (again.child, again.ordinal, again.sequence, again.state) == (0, 2, 1, "{}")
    assert [record.child for record in shop.work(now=5)] == [1]


def test_the_reduce_reads_the_work_children() -> None:
    shop = Shop()
    shop.page("a")
    shop.work()
    shop.tell(e.ChildCompleted(bytes(16), 1, "w", "task", 1, 1, 1, 1 << 32, 1, 0, "1"))
    shop.tell(e.ChildCompleted(bytes(16), 1, "w", "task", 0, 1, 1, 1 << 32, 1, 1, None))
    (reduce,) = shop.work()
    options = read_options(reduce.options or "")
    assert options is not None
    assert options.reduce is not None
    assert (reduce.child, options.reduce.first, options.reduce.end) == (2, 1, 2)
