"""Memory follows work, not promises: what a task of many children costs before they are dispatched."""

from __future__ import annotations

import tracemalloc
from collections import deque
from itertools import islice
from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.task import CHUNK, Load, Task
from streamsched.log.codec import Codec
from streamsched.queries.status import children_of
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import request, template

MANY = 10_000_000
ID = bytes(16)
MIB = 1 << 20


def _fact(cls: type[Any], *fields: Any) -> Any:
    return cls(ID, 1_000, "me", "task", *fields)


def _planned() -> Task:
    load = Load()
    task = evolve(None, request(template()), load)
    return _after(task, _fact(e.TaskPlanned, 0, MANY, "{}", "", 0))


def _after(task: Task | None, *events: e.Event) -> Task:
    for event in events:
        task = evolve(task, event, task.load if task else Load())
    assert task is not None
    return task


def _cancelled(task: Task) -> Task:
    """Cancel a task as its scheduler does."""
    task = _after(task, _fact(e.TaskCancelRequested, task.redrive, "enough"))
    return _after(
        task, _fact(e.ChildrenCancelled, tuple(task.idle_spans()), "over", 0), _fact(e.TaskCancelled, 0, "", 0)
    )


def _redriven(task: Task) -> Task:
    return _after(task, _fact(e.TaskRedriven, task.redrive + 1, "failed", False, "", ""))


def _dispatched(task: Task, last: int) -> Task:
    return _after(task, _fact(e.ChildrenDispatched, (e.Release(task.first_undispatched, last, 1, 3),), 0))


@pytest.mark.parametrize(
    "steps", [(), (_cancelled,), (_cancelled, _redriven)], ids=["planned", "cancelled", "redriven"]
)
def test_twenty_tasks_of_ten_million_children_cost_no_more_than_small_ones(steps: tuple[Any, ...]) -> None:
    tracemalloc.start()
    try:
        tasks = []
        for _ in range(20):
            task = _planned()
            for step in steps:
                task = step(task)
            tasks.append(task)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(task.children == MANY for task in tasks)
    assert peak < 1 * MIB


def test_a_cancelled_task_has_its_children_counted_and_a_redrive_counts_them_back() -> None:
    task = _cancelled(_planned())
    assert (task.phase, task.cancelled, task.idle) == (Phase.CANCELLED, MANY, 0)
    assert task.state_of(0) is task.state_of(MANY - 1) is ChildState.CANCELLED
    task = _redriven(task)
    assert (task.phase, task.cancelled, task.idle, task.first_undispatched) == (Phase.RUNNING, 0, MANY, 0)
    assert task.state_of(MANY - 1) is ChildState.WAITING


def test_cells_are_made_up_to_the_last_dispatched_child() -> None:
    task = _dispatched(_dispatched(_planned(), 9), CHUNK + 4)
    assert len(task.table) == task.cells == task.first_undispatched == CHUNK + 5
    assert task.state_of(CHUNK + 4) is ChildState.RUNNING
    assert task.state_of(CHUNK + 5) is ChildState.WAITING
    assert (task.ordinal_of(CHUNK + 5), task.partition_of(CHUNK + 5)) == (0, 0)
    assert not task.is_current(CHUNK + 5, 0)


def test_nothing_is_dispatched_for_the_first_time_behind_a_cancelled_child() -> None:
    task = _after(_planned(), _fact(e.ChildrenCancelled, (e.Span(0, 4),), "somebody wrote it", 0))
    before = task.void
    task = _dispatched(task, 9)
    assert (task.void, task.live, task.cells) == (before + 1, 0, 0)
    task = _after(task, _fact(e.ChildrenCancelled, (e.Span(7, 9),), "a hole", 0))
    assert (task.cancelled, task.first_undispatched) == (5, 5)


def test_a_release_that_reaches_from_the_cells_into_the_tail_is_void() -> None:
    task = _after(_dispatched(_planned(), 4), _fact(e.ChildReturned, 4, 1, 1, 1, 0, None, 0, "drain"))
    task = _after(task, _fact(e.ChildrenDispatched, (e.Release(4, 5, 2, 3),), 0))
    assert (task.void, task.live, task.cells) == (1, 4, 5)


@pytest.mark.parametrize("cancelled", [False, True])
def test_rows_are_as_few_as_the_cells_and_bring_the_task_back(*, cancelled: bool) -> None:
    store, codec = MemoryStore(), Codec()
    view = View(store, codec)
    first = request(template())
    events: list[Any] = [
        first,
        _fact(e.TaskPlanned, 0, MANY, "{}", "", 0),
        _fact(e.ChildrenDispatched, (e.Release(0, 4, 1, 3),), 0),
        *(_fact(e.ChildCompleted, child, 1, 1, 1, 900, 0, None) for child in range(4)),
    ]
    if cancelled:
        events += [
            _fact(e.TaskCancelRequested, 0, "enough"),
            _fact(e.ChildrenCancelled, (e.Span(5, MANY - 1),), "over", 0),
        ]
    for offset, event in enumerate(events):
        view.apply(event, 0)
        view.moved(0, offset + 1)
    view.flush()
    assert sum(len(value) for _, value in store.scan(b"c")) == 4 * 5
    again = View(store, codec)
    task, known = again.active["task"], view.active["task"]
    assert (task.cells, task.first_undispatched, task.live, task.cancelled) == (
        5,
        known.first_undispatched,
        1,
        known.cancelled,
    )
    assert (task.bound, known.bound) == (MANY, MANY)
    assert [task.state_of(at) for at in (0, 4, 5, MANY - 1)] == [known.state_of(at) for at in (0, 4, 5, MANY - 1)]
    assert again.load[3] == 1


def test_the_children_of_such_a_task_are_listed_one_by_one() -> None:
    task = _planned()
    view = View(MemoryStore(), Codec())
    tracemalloc.start()
    try:
        first = list(islice(children_of(view, task), 3))
        assert deque(children_of(view, task, "running"), maxlen=1) == deque()
        assert next(children_of(view, _cancelled(task), "cancelled")).child == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(child.child, child.state) for child in first] == [(0, "waiting"), (1, "waiting"), (2, "waiting")]
    assert peak < 1 * MIB
