"""What the selector of a task's redrive says of its children: asked by the scheduler, and again by the audit."""

from __future__ import annotations

from streamsched.domain.redriving import is_selectable
from streamsched.domain.selector import Predicate
from streamsched.domain.task import ChildDetail, Task


class Selection:
    """The selection of a task that selects."""

    __slots__ = ("_predicate", "_task", "needs_detail")

    def __init__(self, task: Task) -> None:
        if task.selector is None:
            raise AssertionError(f"task {task.task_id} selects nothing")
        self._task = task
        self._predicate = Predicate(task.selector)
        self.needs_detail = self._predicate.needs_detail

    def may_meet(self, child: int) -> bool:
        """Return whether a child can run again, and its index and state are meant."""
        task = self._task
        return is_selectable(task, child) and self._predicate.may_meet(task.index_of(child), task.state_of(child))

    def meets(self, child: int, known: ChildDetail | None) -> bool:
        """Return whether a child is meant; ``known`` is what is known of it."""
        return self._predicate.of(self._task, child, known)
