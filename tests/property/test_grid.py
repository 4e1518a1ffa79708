"""Over made-up journals: the grid says of each child what its status says, and no change is missing in a stream."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from streamsched.domain import events as e
from streamsched.domain.task import Task
from streamsched.http.deltas import Touched
from streamsched.http.layers import Layers
from streamsched.http.session import Change
from streamsched.log.codec import Codec
from streamsched.queries import children_page
from streamsched.queries.grid import OFTEN, STATE, STATES, STOPPING, grid_of
from streamsched.queries.status import children_of
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import journals


def folded(events: list[e.Event]) -> tuple[View, Task | None]:
    view, task = View(MemoryStore(), Codec()), None
    for event in events:
        view.apply(event, 0)
        view.moved(0, view.positions.get(0, 0) + 1)
        task = view.task("task")
    return view, task


@given(journals())
def test_the_grid_says_what_the_statuses_say(events: list[e.Event]) -> None:
    view, task = folded(events)
    if task is None:
        return
    children = list(children_of(view, task))
    grid = grid_of(task)
    assert [STATES[byte & STATE] for byte in grid] == [child.state for child in children]
    assert [(byte & OFTEN) >> 4 for byte in grid] == [min(max(child.dispatches - 1, 0), 3) for child in children]
    assert all(not byte & STOPPING or STATES[byte & STATE] in ("queued", "running") for byte in grid)
    for first in range(len(grid) + 2):
        for end in (None, *range(len(grid) + 2)):
            assert grid_of(task, (), first, end) == grid[first:end]


@given(journals(size=60), st.lists(st.booleans(), min_size=60, max_size=60))
def test_a_reader_of_the_stream_has_the_grid(events: list[e.Event], ticks: list[bool]) -> None:
    view, touched, seen = View(MemoryStore(), Codec()), Touched(), bytearray()
    for event, tick in zip(events, [*ticks, *[True] * len(events)][: len(events)], strict=True):
        view.apply(event, 0)
        touched.add(event)
        task = view.task("task")
        if not tick or task is None:
            continue
        runs = touched.runs(task, ())
        if runs is None:
            seen = bytearray(grid_of(task))
        for first, count, byte in runs or ():
            seen.extend(bytes(max(0, first + count - len(seen))))
            seen[first : first + count] = bytes([byte]) * count
        touched = Touched()
        assert bytes(seen) == grid_of(task), event


@given(journals(size=60), st.integers(0, 60), st.booleans())
def test_layers_that_events_keep_up_are_those_that_are_read(events: list[e.Event], begin: int, flush: bool) -> None:
    view, kept = View(MemoryStore(), Codec()), Layers()
    session: Any = SimpleNamespace(follower=SimpleNamespace(view=view))
    for number, event in enumerate(events):
        view.apply(event, 0)
        if flush:
            view.flush()
        if number == begin:
            while not kept._go_on(session, "task"):
                pass
        kept.take(Change(event, 0, number + 1), session)
    task, read = view.task("task"), Layers()
    if task is None or begin >= len(events):
        return
    while not (kept._go_on(session, "task") and read._go_on(session, "task")):
        pass
    ours, theirs = kept._layers["task"], read._layers["task"]
    failed, children = ours.of(task, "failure", 0, None), list(children_of(view, task))
    assert len(failed) == task.work
    keys = [None, *task.failures]
    assert [keys[byte] for byte in failed] == [each.group if each.state == "failed" else None for each in children]
    workers = [each.worker for each in theirs.workers(task).items]
    assert ours.workers(task) == theirs.workers(task)
    of = [None, *workers]
    assert [of[byte] for byte in ours.of(task, "worker", 0, None, workers)] == [each.worker for each in children]
    for first in range(task.work):
        assert ours.of(task, "failure", first, first + 1) == failed[first : first + 1]


@given(journals(), st.sampled_from((None, "waiting", "queued", "failed", "succeeded", "cancelled")), st.integers(1, 3))
def test_pages_hold_what_the_list_holds(events: list[e.Event], state: str | None, limit: int) -> None:
    view, task = folded(events)
    if task is None:
        return
    with mock.patch.multiple(children_page, PAINTED=4, FIRST=1, LOOKED_AT=2):
        found, following = [], 0 if task.work else None
        while following is not None:
            part = children_page.part_of(view, task, following, limit, state=state)
            assert len(part.found) <= limit
            found += part.found
            following = part.following
    assert found == list(children_of(view, task, state))
