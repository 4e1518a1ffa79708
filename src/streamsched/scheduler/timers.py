"""Which tasks to look at: those an event touched, those whose time has come, those that wait for capacity."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import islice

from streamsched.domain.phases import Phase
from streamsched.domain.task import Task


class Agenda:
    """Ids of tasks that may owe a decision; asked for in the order in which they came."""

    def __init__(self) -> None:
        self._touched: dict[str, None] = {}
        self._due: list[tuple[int, str]] = []
        self._noted: dict[str, int] = {}

    def touch(self, task: Task) -> None:
        """Look at this task soon, and again when its next retry is due."""
        self._touched[task.task_id] = None
        due = task.next_due() if task.phase is Phase.RUNNING else None
        if due is not None and self._noted.get(task.task_id) != due:
            self._noted[task.task_id] = due
            heappush(self._due, (due, task.task_id))

    def take(self, now: int, limit: int) -> list[str]:
        """Take up to ``limit`` ids to look at now."""
        while self._due and self._due[0][0] <= now:
            _, task_id = heappop(self._due)
            self._noted.pop(task_id, None)
            self._touched[task_id] = None
        taken = list(islice(self._touched, limit))
        for task_id in taken:
            del self._touched[task_id]
        return taken

    def put_back(self, task_ids: Sequence[str]) -> None:
        """Look at these first of all: they were taken, and there was no time for them."""
        self._touched = dict.fromkeys(task_ids) | self._touched

    def wait(self, now: int, at_most: float) -> float:
        """Tell how many seconds may pass before there is something to look at."""
        if self._touched:
            return 0.0
        if not self._due:
            return at_most
        return min(at_most, max(0, self._due[0][0] - now) / 1000)
