"""What a task gets in a round, and how many of its children a worker should hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from streamsched.domain.events import Release
from streamsched.domain.task import Task
from streamsched.scheduler.workers import Capacity

ROUND: Final = 2_000
"""Children released in one round (one transaction)."""
AGAIN: Final = 1_000
"""Children that one task may dispatch again in a round: what is known of each is read first, which costs as much."""
TURN: Final = 250
"""Children that a task may take before another has its turn."""
HELD: Final = 8_000
"""Children that one worker holds at most."""
AHEAD_MS: Final = 1_000
"""Work that a worker should have before it, in milliseconds."""
LONG_MS: Final = 10_000
"""Children longer than this do not wait at a worker: another one may come."""


def window_of(mean_ms: float | None) -> int:
    """Return how many children a slot should hold that take so long on average; None: not known."""
    return 1 if mean_ms is None or mean_ms > LONG_MS else 1 + int(AHEAD_MS / max(mean_ms, 0.1))


def wanted_on(worker: Capacity, mean_ms: float | None, concurrency: int = 1) -> int:
    """Return how many of them a worker should hold where nothing else competes."""
    at_once = worker.slots * concurrency
    if mean_ms is None or mean_ms > LONG_MS:
        return at_once
    return min(HELD, at_once * window_of(mean_ms))


def concurrency_of(task: Task) -> int:
    """Return how many children of a task share a slot."""
    return 1 if task.fault else task.template.child.concurrency


@dataclass(slots=True)
class Turn:
    """What one task gets in this round, and what is left of it."""

    task: Task
    due: list[int]
    first_undispatched: int
    end: int
    """The first child that may not be dispatched for the first time now."""
    taken: int = 0
    releases: list[Release] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many it may still get."""
        return len(self.due) + self.end - self.first_undispatched

    def take(self, count: int, partition: int) -> None:
        """Release up to ``count`` children to a partition: first those that are due again."""
        count = min(count, self.left)
        self.taken += count
        for _ in range(min(count, len(self.due))):
            child = self.due.pop(0)
            self.releases.append(Release(child, child, self.task.ordinal_of(child) + 1, partition))
            count -= 1
        if count:
            first = self.first_undispatched
            before = self.releases[-1] if self.releases else None
            if before is not None and before.first >= self.task.cells and before.partition == partition:
                first = self.releases.pop().first
            self.releases.append(Release(first, self.first_undispatched + count - 1, 1, partition))
            self.first_undispatched += count


def turn_of(task: Task, now: int) -> Turn:
    """Return what a task may get now."""
    fresh = task.first_undispatched
    if fresh and task.split and task.splits(now):  # alone: what its children require may be something else
        return Turn(task, [0], fresh, fresh)
    allowed = task.room(now)
    due = task.due_children(now, min(AGAIN, allowed))
    return Turn(task, due, fresh, max(fresh, min(task.bound, fresh + allowed - len(due))))
