"""Which children of a task events have touched, as far as they are told one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.task import Task
from streamsched.queries.grid import Run, grid_of, runs_of

TOUCHED: Final = 20_000
"""Children, and spans of them, that are kept."""
RUNS: Final = 5_000
"""Runs that are told; beyond, the grid is to be loaded again."""
_UNTOLD: Final = (e.PartitionReset, e.TaskRedriven, e.TaskPlanned, e.TaskRequested)
"""Events after which any child may be another."""


class Touched:
    """What was touched since it was last told. ``full``: the whole grid is to be loaded again."""

    __slots__ = ("_children", "_spans", "any", "full")

    def __init__(self) -> None:
        self._children: set[int] = set()
        self._spans: list[tuple[int, int]] = []
        self.any = self.full = False

    def add(self, event: e.Event) -> None:
        """Take note of an event."""
        self.any = True
        if self.full:
            return
        if isinstance(event, _UNTOLD):
            self._overflow()
        elif isinstance(event, e.ChildrenDispatched | e.ChildrenStopping):
            self._spans += [(each.first, each.last + 1) for each in event.releases]
        elif isinstance(event, e.ChildrenCancelled | e.ChildrenSelected):
            self._spans += [(each.first, each.last + 1) for each in event.spans]
        elif isinstance(event, e.TaskPlanProgressed):
            self._spans.append((event.first, event.first + event.count))
        elif isinstance(event, e.WorkerEvent):
            self._children.add(event.child)
        if len(self._children) + len(self._spans) > TOUCHED:
            self._overflow()

    def add_children(self, children: Collection[int]) -> None:
        """Take note of children that nodes have told of."""
        if children and not self.full:
            self.any = True
            self._children.update(children)

    def runs(self, task: Task, named: Collection[int]) -> list[Run] | None:
        """Return what the touched children are now; None where the whole grid is to be loaded again."""
        if self.full:
            return None
        spans = [(max(0, first), end) for first, end in self._joined(task.split) if end > 0]
        if not spans:
            return []
        lowest, highest = spans[0][0], spans[-1][1]
        grid = grid_of(task, named, lowest, highest)
        found: list[Run] = []
        for first, count, byte in runs_of([(first - lowest, end - lowest) for first, end in spans], grid):
            found.append((first + lowest, count, byte))
            if len(found) > RUNS:
                return None
        return found

    def _joined(self, split: int) -> Iterator[tuple[int, int]]:
        """Yield spans of indexes in order that do not overlap."""
        ordered = sorted([*((child, child + 1) for child in self._children), *self._spans])
        first = end = -1
        for begin, stop in ordered:
            if begin <= end:
                end = max(end, stop)
                continue
            if end > first:
                yield first - split, end - split
            first, end = begin, stop
        if end > first:
            yield first - split, end - split

    def _overflow(self) -> None:
        self.full = True
        self._children.clear()
        self._spans.clear()
