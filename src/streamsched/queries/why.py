"""Why a task or a child does not run: of a table of causes the first that applies answers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import UNSET, UnsetType

from streamsched.domain.errors import InputError
from streamsched.domain.task import ChildDetail, Task
from streamsched.queries.causes import children, tasks
from streamsched.queries.causes.facts import Facts
from streamsched.queries.documents import Document
from streamsched.queries.presence import Presence
from streamsched.queries.status import TaskStatus, shown_state, state_of

WELL: Final = frozenset({"running", "succeeded"})
"""Causes of what gets on as it should."""


class Answer(Document, frozen=True):
    """Why a task, or a child of it, is in its state, and what would change that; ``cause`` is a word for scripts."""

    task_id: str
    child: str | None
    state: str
    cause: str
    why: str
    change: str
    schedule_id: str | UnsetType = UNSET
    """Of a schedule, whose id was given: that; absent otherwise."""

    @property
    def sentence(self) -> str:
        """Both in one line."""
        return f"{self.why}: {self.change}" if self.change else self.why

    @property
    def gets_on(self) -> bool:
        """Whether nothing need be changed."""
        return self.cause in WELL


def why(
    task: Task,
    presence: Presence,
    *,
    status: TaskStatus,
    named: Collection[int],
    halt: str,
    now: int,
    child: int | None = None,
    detail: ChildDetail | None = None,
) -> Answer:
    """Answer for a task, or for a child by its number in the table with what the view knows of it.

    ``status`` is the task's with ``named``, the children that workers tell of as running.
    """
    works = not status.done
    facts = Facts(
        task=task, status=status, beats=presence.beats() if works else [],
        missing=presence.missing(task) if works else "", skewed=presence.skewed() if works else "", halt=halt, now=now,
        child=-1 if child is None else child, detail=detail or ChildDetail(),
    )  # fmt: skip
    said = next(
        said for cause in (tasks.CAUSES if child is None else children.CAUSES) if (said := cause(facts)) is not None
    )
    state = state_of(task) if child is None else shown_state(task, child, named)
    return Answer(task.task_id, None if child is None else _name(task, child), state, *said)


def child_named(task: Task, name: str) -> int:
    """Return the table's number of a child as people name it: its index, ``split`` or ``reduce``. Raise InputError."""
    if name == "split" and task.split:
        return 0
    if name == "reduce" and task.work_end < task.children:
        return task.work_end
    if name.isdecimal() and len(name) < 10 and int(name) < task.work:
        return int(name) + task.split
    last = f"0 to {task.work - 1:,}" if task.work else "none yet"
    stages = [stage for stage, there in (("split", task.split), ("reduce", task.work_end < task.children)) if there]
    raise InputError(
        f"task {task.task_id!r} has no child {name[:100]!r}",
        f"its children are {', '.join([last, *stages])}",
        source="child",
    )


def _name(task: Task, child: int) -> str:
    if task.split and not child:
        return "split"
    return "reduce" if child >= task.work_end else str(task.index_of(child))
