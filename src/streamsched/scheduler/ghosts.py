"""Ghosts: tasks that owe a dispatch which others make, those of other schedulers' journal partitions.

Schedulers fold all partitions, and share the workers' room out in the same order. What falls to another's task is left
to its owner, for ``LEFT_S`` after the last event of its partition: the owner may be gone. It may also be there and not
be able to dispatch this task. So grants are left to a task for ``PATIENCE_S`` at most without a dispatch of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from streamsched.domain.owed import Action, owed
from streamsched.domain.task import Task
from streamsched.view.view import View

LEFT_S: Final = 0.1
"""Seconds after the last event of a partition in which grants are left to its owner."""

PATIENCE_S: Final = 1.0
"""Seconds for which grants are left to a task of which nothing is dispatched."""


class Ghosts:
    """The tasks of other schedulers' partitions that owe a dispatch. Times are monotonic seconds."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._tasks: dict[str, None] = {}
        self._heard: dict[int, tuple[int, float]] = {}
        """By partition, the last position that was seen, and since when it stands there."""
        self._left: dict[str, tuple[tuple[int, int], float]] = {}
        """By task to which a grant was left, what it had to dispatch then, and since when that is so."""

    def look(self, task_id: str, now: int) -> None:
        """Look at a task of another's partition, of which something was folded."""
        task = self._view.active.get(task_id)
        if task is not None and owed(task, now) is Action.DISPATCH:
            self._tasks[task_id] = None
        else:
            self._tasks.pop(task_id, None)

    def drop(self, task_id: str) -> None:
        """Forget a task: it has ended."""
        self._tasks.pop(task_id, None)
        self._left.pop(task_id, None)

    def leave(self, tasks: Iterable[Task], moment: float) -> None:
        """Note that grants were left to these tasks."""
        for task in tasks:
            backlog = _backlog(task)
            if self._left.get(task.task_id, (None,))[0] != backlog:
                self._left[task.task_id] = backlog, moment

    def present(self, owned: Collection[int], moment: float) -> Iterator[Task]:
        """Yield the tasks whose owner was heard of lately. Those of partitions that were claimed since are dropped."""
        lately: dict[int, bool] = {}
        for task_id in list(self._tasks):
            home, task = self._view.homes.get(task_id, -1), self._view.active.get(task_id)
            if task is None or home in owned:
                self.drop(task_id)
                continue
            backlog, since = self._left.get(task_id, (None, moment))
            if backlog == _backlog(task) and moment - since >= PATIENCE_S:
                continue
            if home not in lately:
                lately[home] = self._is_heard(home, moment)
            if lately[home]:
                yield task

    def _is_heard(self, partition: int, moment: float) -> bool:
        position = self._view.positions.get(partition, 0)
        before, since = self._heard.get(partition, (-1, moment))
        if position != before:
            since = moment
            self._heard[partition] = position, since
        return moment - since < LEFT_S


def _backlog(task: Task) -> tuple[int, int]:
    """Return what a dispatch of the task changes."""
    return task.first_undispatched, task.idle
