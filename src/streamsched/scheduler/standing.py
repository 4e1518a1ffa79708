"""What keys have of the workers: expected running slots, and the room that their live children take.

Kept only where keys compete. It is changed by the difference: a round looks at the tasks that were touched since the
one before, not at all tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streamsched.domain.fairness import expected_slots
from streamsched.domain.task import Task
from streamsched.scheduler.turns import concurrency_of, window_of

NOWHERE: Final[Mapping[int, int]] = {}


class _Part(NamedTuple):
    """What one task has of what its key has."""

    key: str
    share: float
    placed: tuple[tuple[int, float], ...]
    """Partitions, with the room that its children take there."""


@dataclass(slots=True)
class Holding:
    """What a key has."""

    share: float = 0.0
    """Expected running slots."""
    placed: dict[int, float] = field(default_factory=dict)
    """Room that its children take, by partition."""
    tasks: int = 0


NOTHING: Final = Holding()


def room_of(task: Task, mean_ms: float | None) -> float:
    """Return the room that a child takes, in slots: where all are equal, a slot has room for its window of them."""
    return 1 / (window_of(mean_ms) * concurrency_of(task))


class Standing:
    """What all keys have; ``mean_ms`` tells how long a child of a task takes."""

    def __init__(self, mean_ms: Callable[[Task], float | None]) -> None:
        self._mean_ms = mean_ms
        self._parts: dict[str, _Part] = {}
        self.touched: dict[str, Task | None] = {}
        """Tasks that may have changed since the last update; None: as the view has it."""
        self.keys: dict[str, Holding] = {}
        self.taken: dict[int, float] = {}
        """Room that is taken, by partition."""

    def update(self, active: Mapping[str, Task], flying: Mapping[str, Mapping[int, int]]) -> None:
        """Count the touched tasks anew; ``flying`` has what was dispatched and not read back, by task."""
        for task_id, given in self.touched.items():
            task = given or active.get(task_id)
            self._drop(task_id)
            if task is not None:
                self._count(task, flying.get(task_id, NOWHERE))
        self.touched.clear()

    def forget(self, task_id: str) -> None:
        """Forget a task."""
        self.touched.pop(task_id, None)
        self._drop(task_id)

    def _count(self, task: Task, flying: Mapping[int, int]) -> None:
        live = task.live + sum(flying.values())
        if not live:
            return
        mean_ms = self._mean_ms(task)
        each, key = room_of(task, mean_ms), task.stake.key
        placed = tuple((at, count * each) for of in (task.placed, flying) for at, count in of.items() if count)
        part = self._parts[task.task_id] = _Part(key, expected_slots(live / concurrency_of(task), mean_ms), placed)
        holding = self.keys.setdefault(key, Holding())
        holding.tasks += 1
        holding.share += part.share
        for partition, room in placed:
            holding.placed[partition] = holding.placed.get(partition, 0.0) + room
            self.taken[partition] = self.taken.get(partition, 0.0) + room

    def _drop(self, task_id: str) -> None:
        part = self._parts.pop(task_id, None)
        if part is None:
            return
        holding = self.keys[part.key]
        holding.tasks -= 1
        holding.share -= part.share
        for partition, room in part.placed:
            holding.placed[partition] -= room
            self.taken[partition] -= room
        if not holding.tasks:
            del self.keys[part.key]
        if not self._parts:
            self.taken.clear()  # with what rounding has left
