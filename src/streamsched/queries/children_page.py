"""Children of a task, a page at a time: a part of a long search at once, so that others are answered in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from streamsched.domain.task import Task
from streamsched.queries.documents import Document
from streamsched.queries.grid import STATE, STATES, grid_of
from streamsched.queries.status import ChildStatus, child_of, shown_state

if TYPE_CHECKING:
    from streamsched.domain.selector import Predicate
    from streamsched.view.view import View

LOOKED_AT: Final = 5_000
"""Children whose details are asked for in one part."""
PAINTED: Final = 1 << 18
"""Children whose states are looked at in one part."""
FIRST: Final = 1 << 10
"""Of them, those that are looked at first, and at once; then twice as many, and so on."""


class ChildPage(Document, frozen=True):
    """Children in order of their numbers. ``next`` is the cursor of the page behind it; None: there is none."""

    items: tuple[ChildStatus, ...]
    next: str | None


class Part(NamedTuple):
    """What was found, and the child with which to go on; None at the end."""

    found: list[ChildStatus]
    following: int | None


class ChildCount(Document, frozen=True):
    """How many children were found, and in which states. ``next`` is the cursor for the rest; None: these are all."""

    children: int
    states: dict[str, int]
    next: str | None


def part_of(
    view: View,
    task: Task,
    first: int,
    limit: int,
    *,
    state: str | None = None,
    where: Predicate | None = None,
    named: Collection[int] = (),
) -> Part:
    """Return up to ``limit`` work children from ``first`` on, in ``state`` and met by ``where`` if they are given."""
    end = min(task.work, first + PAINTED)
    found: list[ChildStatus] = []
    for looked, index in enumerate(_candidates(task, first, end, state, where, named)):
        if len(found) == limit or looked == LOOKED_AT:
            return Part(found, index)
        child = index + task.split
        if where is None or _meets(view, task, child, where):
            found.append(child_of(view, task, child, named))
    return Part(found, end if end < task.work else None)


def count_of(
    view: View, task: Task, first: int, where: Predicate, named: Collection[int] = ()
) -> tuple[Counter[str], int | None]:
    """Count work children from ``first`` on that meet ``where``, by state; with the child with which to go on."""
    end = min(task.work, first + PAINTED)
    states: Counter[str] = Counter()
    for looked, index in enumerate(_candidates(task, first, end, None, where, named)):
        if looked == LOOKED_AT:
            return states, index
        child = index + task.split
        if _meets(view, task, child, where):
            states[shown_state(task, child, named)] += 1
    return states, end if end < task.work else None


def _meets(view: View, task: Task, child: int, where: Predicate) -> bool:
    """Return whether a candidate meets the rest of a selector."""
    return not where.needs_detail or where.of(task, child, view.known_of(task, child))


def _candidates(
    task: Task, first: int, end: int, state: str | None, where: Predicate | None, named: Collection[int]
) -> Iterator[int]:
    """Yield the indexes whose state and number fit."""
    spans = [range(first, end)] if where is None else where.indexes(end)
    for span in spans:
        rest = range(max(first, span.start), span.stop)
        for index in rest if state is None else _in_state(task, named, STATES.index(state), rest):
            if where is None or where.may_meet(index, task.state_of(index + task.split)):
                yield index


def _in_state(task: Task, named: Collection[int], state: int, span: range) -> Iterator[int]:
    is_it, size = bytes(byte & STATE == state for byte in range(256)), FIRST
    while span:
        part, span, size = span[:size], span[size:], 2 * size
        marks, at = grid_of(task, named, part.start, part.stop).translate(is_it), -1
        while (at := marks.find(1, at + 1)) >= 0:
            yield part.start + at
