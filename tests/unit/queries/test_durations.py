"""Times, stragglers, and the slots that are asked for, of tasks made by hand."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.task import Task
from streamsched.log.codec import Codec
from streamsched.queries import durations
from streamsched.queries.durations import durations_of, stragglers_of
from streamsched.queries.grid import OFTEN, grid_of, runs_of
from streamsched.queries.presence import running_children
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import request, template
from tests.unit.queries.test_progress import beat, splitting
from tests.unit.queries.test_split_status import HEAD, Shop


def made(children: int, ended: int, begun: int = 0) -> tuple[View, Task]:
    """Make a task of which the first children have ended, child n after n ms, and the next ones run since 2,000."""
    view, number = View(MemoryStore(), Codec()), 0

    def put(kind: Any, **fields: Any) -> None:
        nonlocal number
        number += 1
        view.apply(kind(event_id=number.to_bytes(16), by="w", task_id="task", **fields), 0)
        view.moved(0, number)

    view.apply(request(template()), 0)
    put(e.TaskPlanned, at=1_000, redrive=0, children=children, plan="{}", digest="", basis=0)
    put(e.ChildrenDispatched, at=1_000, releases=(e.Release(0, ended + begun - 1, 1, 0),), basis=0)
    for child in range(ended):
        told = {"child": child, "ordinal": 1, "attempt": 1, "token": 1, "sequence": 0}
        put(e.ChildCompleted, at=1_000 + child, started_at=1_000, result=None, **told)
    for child in range(ended, ended + begun):
        put(e.ChildStarted, at=2_000 + child, child=child, ordinal=1, attempt=1, token=1)
    task = view.task("task")
    assert task is not None
    return view, task


def test_times_are_counted_in_buckets_of_doubling_width() -> None:
    found = durations_of(*made(10, 9))
    assert (found.ended, found.measured, found.p50, found.max) == (9, 9, 4, 8)
    assert [(each.from_ms, each.to_ms, each.count) for each in found.buckets] == [
        (0, 1, 1), (1, 2, 1), (2, 4, 2), (4, 8, 4), (8, 16, 1),
    ]  # fmt: skip
    assert durations_of(*made(3, 0, 1)).p50 is None


class Told:
    """A task of ten children in a view, told event by event; it is stored and opened again behind each."""

    def __init__(self) -> None:
        self.store, self.codec = MemoryStore(), Codec()
        self.put(request(template()))
        self.put(e.TaskPlanned(*HEAD, 0, 10, "{}", "", 0))

    def put(self, event: e.Event) -> None:
        view = View(self.store, self.codec)
        view.apply(event, 0)
        view.flush()

    def dispatch(self, first: int, last: int, at: int, ordinal: int = 1) -> None:
        self.put(e.ChildrenDispatched(bytes(16), at, "w", "task", (e.Release(first, last, ordinal, 0),), 0))

    def complete(self, child: int, started_at: int, ordinal: int = 1) -> None:
        self.put(e.ChildCompleted(bytes(16), 9_000, "w", "task", child, ordinal, 1, 1, started_at, 0, None))

    def waits(self) -> tuple[int, int | None, int | None]:
        view = View(self.store, self.codec)
        task = view.task("task")
        assert task is not None
        found = durations_of(view, task).waits
        assert found.measured == sum(bucket.count for bucket in found.buckets)
        return found.measured, found.p50, found.max


def test_waits_are_from_the_dispatch_of_an_attempt_to_its_start() -> None:
    told = Told()
    told.dispatch(0, 2, 1_000)
    told.dispatch(3, 5, 2_000)
    assert told.waits() == (0, None, None)
    told.complete(0, 1_007)
    assert told.waits() == (1, 7, 7)
    told.complete(4, 2_100)
    told.complete(3, 1_900)  # by the clock of its worker, which is behind
    assert told.waits() == (3, 7, 100)
    told.put(e.ChildReturned(*HEAD, 1, 1, 1, 1, 0, None, 0, "drain"))
    told.dispatch(1, 1, 4_000, ordinal=2)
    told.complete(1, 4_500, ordinal=2)
    assert told.waits() == (3, 7, 100)  # of a child that was dispatched again it is not known
    told.dispatch(6, 9, 5_000)
    for child in (2, 9):
        told.complete(child, 5_004)
    assert told.waits() == (5, 7, 4_004)


def test_each_release_keeps_its_time() -> None:
    """Those revived by later redrives may lie between others that were dispatched before."""
    view = View(MemoryStore(), Codec())
    view.apply(request(template()), 0)
    view.apply(e.TaskPlanned(*HEAD, 0, 10, "{}", "", 0), 0)
    releases = (e.Release(0, 2, 1, 0), e.Release(3, 5, 1, 1))
    view.apply(e.ChildrenDispatched(bytes(16), 700, "w", "task", releases, 0), 0)
    assert list(view.dispatches("task", 1)) == [(2, 700), (5, 700)]


def test_of_many_some_rows_are_measured(monkeypatch: Any) -> None:
    monkeypatch.setattr(durations, "SAMPLE", 20)
    monkeypatch.setattr(durations, "TOGETHER", 5)
    found = durations_of(*made(101, 101))
    assert found.ended == 101
    assert 15 <= found.measured <= 25
    assert found.p90 is not None
    assert found.p90 > 50


def test_those_that_run_longest_stand_first() -> None:
    view, task = made(20, 5, 4)
    told = e.RunningChild(task_id="task", child=5, attempt=1, started_at=2_005, done=25.0, total=100.0)
    found = stragglers_of(view, task, running_children(task, [replace(beat(), running=(told,))]), 3_005)
    assert [each.child for each in found.items] == [5, 6, 7, 8]
    first = found.items[0]
    assert (first.elapsed_ms, first.progress, first.times_median) == (1_000, 0.25, 500.0)
    assert first.eta is not None
    assert found.items[1].progress is None


def test_neither_the_split_child_nor_the_reduce_is_measured_or_shown() -> None:
    shop = Shop()
    assert durations_of(shop.view, shop.task).ended == 1
    shop.tell(e.ChildStarted(*HEAD, 0, 1, 1, 1))
    shop.tell(e.ChildStarted(*HEAD, 2, 1, 1, 1))
    split = e.RunningChild(task_id="task", child=0, attempt=1, started_at=900, done=1.0, total=2.0)
    running = running_children(shop.task, [replace(beat(), running=(split,))])
    assert [each.child for each in stragglers_of(shop.view, shop.task, running, 2_000).items] == [1]

    shop.complete(0, sequence=1)
    shop.complete(2)
    shop.dispatch(3, 3)
    shop.complete(3)
    shop.dispatch(4, 4)
    shop.complete(4)
    found = durations_of(shop.view, shop.task)
    assert (found.ended, found.measured) == (3, 3)


def test_a_child_is_not_shown_with_the_progress_of_the_split_child() -> None:
    view = splitting()
    view.apply(e.ChildrenDispatched(*HEAD, (e.Release(1, 1, 1, 0),), 0), 0)
    view.apply(e.ChildStarted(*HEAD, 1, 1, 1, 1), 0)
    task = view.active["task"]
    split = e.RunningChild(task_id="task", child=0, attempt=1, started_at=900, done=1.0, total=2.0)
    running = running_children(task, [replace(beat(), running=(split,))])
    assert [(each.child, each.progress) for each in stragglers_of(view, task, running, 2_000).items] == [(0, None)]


def test_a_child_that_was_dispatched_very_often_shows_as_such() -> None:
    _, task = made(3, 0, 3)
    task.table[1] = task.table[1] & ~(0xFFF << 4) | 32 << 4
    assert [byte & OFTEN for byte in grid_of(task)] == [0, OFTEN, 0]


def test_neighbours_of_one_byte_are_one_run() -> None:
    assert list(runs_of([(0, 3), (3, 4), (6, 9)], b"\1\1\2\2\0\0\2\2")) == [(0, 2, 1), (2, 2, 2), (6, 2, 2)]
    assert list(runs_of([], b"\1")) == []
