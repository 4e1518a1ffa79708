"""What causes are read from, and what one says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamsched.domain.events import NodeBeat
from streamsched.domain.places import place_of
from streamsched.domain.task import ChildDetail, Task
from streamsched.queries.status import TaskStatus


class Said(NamedTuple):
    """What one cause says."""

    cause: str
    why: str
    change: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the causes are read from. ``child`` is a number of the table, ``detail`` what is known of it."""

    task: Task
    status: TaskStatus
    beats: Sequence[NodeBeat]
    missing: str
    """Which nodes are missing, with the remedy."""
    skewed: str
    """Which schedulers decide nothing, for their clocks differ from the log's."""
    halt: str
    """Why the journal's partition of the task stands still."""
    now: int
    child: int = -1
    detail: ChildDetail

    @property
    def redrive(self) -> str:
        """The command that continues the task."""
        return f"'streamsched redrive {self.task.task_id}'"

    @property
    def able(self) -> list[NodeBeat]:
        """The workers that may run what comes next."""
        needed = self.task.requirement(self.now)
        return [beat for beat in self.beats if beat.role == "worker" and needed.met_by(beat.modules, place_of(beat))]


Cause = Callable[[Facts], Said | None]


def room(facts: Facts) -> str:
    """Say what gives room at a worker."""
    slots, free = (sum(getattr(beat, name) for beat in facts.able) for name in ("slots", "free"))
    if not slots or free:
        return "the next round of its scheduler or worker"
    busy = f"all {slots:,} slots of the workers that may run it are busy"
    return f"{busy}; add workers, or streamsched set {facts.task.task_id} priority=N"


def number_of(count: int) -> str:
    """Write how many children."""
    return "1 child" if count == 1 else f"{count:,} children"
