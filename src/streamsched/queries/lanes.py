"""What each worker did for a task in the last ten minutes, as far as it was seen while the journal was followed."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, NamedTuple

from streamsched.domain import events as e
from streamsched.domain.task import Task
from streamsched.queries.documents import Document, Time, Timestamp

WINDOW_MS: Final = 600_000
ENDINGS: Final = 2_000
"""Endings that are kept of a task."""
TASKS: Final = 100
_OUTCOMES: Final[dict[type[e.Event], str]] = {
    e.ChildCompleted: "succeeded",
    e.ChildFailed: "failed",
    e.ChildCancelled: "cancelled",
}


class Piece(Document, frozen=True):
    """An attempt at a child; ``finished_at`` is None while it runs. ``failed`` ones may be retried."""

    child: int
    attempt: int
    outcome: str
    started_at: Timestamp
    finished_at: Timestamp | None


class Lane(Document, frozen=True):
    """What one worker did, the earliest first."""

    worker: str
    items: tuple[Piece, ...]


class Lanes(Document, frozen=True):
    """The workers by their names. Attempts that ended before ``since`` are not known."""

    task_id: str
    since: Timestamp
    items: tuple[Lane, ...]


class _Ending(NamedTuple):
    """What is kept of the end of an attempt: never its result."""

    child: int
    attempt: int
    outcome: str
    started_at: int
    at: int
    by: str


class Endings:
    """The latest endings of the tasks that have had some lately; bounded."""

    def __init__(self, now: int) -> None:
        self._since = now
        self._tasks: OrderedDict[str, deque[_Ending]] = OrderedDict()

    def on_event(self, event: e.Event) -> None:
        """Take note of an event that was folded."""
        if isinstance(event, e.ChildCompleted | e.ChildFailed | e.ChildCancelled):
            kept = self._tasks.get(event.task_id)
            if kept is None:
                kept = self._tasks[event.task_id] = deque(maxlen=ENDINGS)
                if len(self._tasks) > TASKS:
                    self._tasks.popitem(last=False)
            self._tasks.move_to_end(event.task_id)
            outcome = _OUTCOMES[type(event)]
            kept.append(_Ending(event.child, event.attempt, outcome, event.started_at, event.at, event.by))

    def lanes(self, task: Task, now: int) -> Lanes:
        """Return the lanes of a task."""
        since, kept = now - WINDOW_MS, self._tasks.get(task.task_id, ())
        lanes: dict[str, list[Piece]] = {}
        for ending in kept:
            if ending.at >= since and task.is_work(ending.child):
                began, ended = Time.at(ending.started_at), Time.at(ending.at)
                piece = Piece(task.index_of(ending.child), ending.attempt, ending.outcome, began, ended)
                lanes.setdefault(ending.by, []).append(piece)
        for child in filter(task.is_work, task.begun_children()):
            detail = task.detail_of(child)
            if detail.started_at is not None:
                piece = Piece(task.index_of(child), detail.attempt, "running", Time.at(detail.started_at), None)
                lanes.setdefault(detail.worker or "", []).append(piece)
        items = tuple(
            Lane(worker, tuple(sorted(lanes[worker], key=lambda piece: piece.started_at))) for worker in sorted(lanes)
        )
        return Lanes(task.task_id, Time.at(max(since, self._since)), items)
