"""All that the page of a task shows, at one moment and of bounded size: what ``streamsched report`` writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamsched.installation.session import Session
from streamsched.queries.documents import Document
from streamsched.queries.durations import Durations, Stragglers, durations_of, stragglers_of
from streamsched.queries.failures import FailureStatus, failures_of
from streamsched.queries.grid import STATE, STATES, grid_of
from streamsched.queries.past import Past
from streamsched.queries.presence import Presence, running_children
from streamsched.queries.status import TaskStatus
from streamsched.queries.tasks import Tasks
from streamsched.queries.why import Answer

CELLS: Final = 5_000
"""Cells of the picture of the children at most."""
RANGES: Final = 100
"""Ranges of failed children that are named."""


class Cells(Document, frozen=True):
    """The children in order, ``per`` of them to a cell; a cell is how many there are in each state of ``STATES``."""

    per: int
    counts: tuple[tuple[int, ...], ...]


class Report(Document, frozen=True, kw_only=True):
    """A task as it was folded up to ``position`` of its partition of the journal, at ``at``, in milliseconds."""

    at: int
    position: str
    status: TaskStatus
    answer: Answer
    failures: tuple[FailureStatus, ...]
    stragglers: Stragglers
    durations: Durations
    cells: Cells
    failed: tuple[tuple[int, int], ...]
    """The first ranges of failed children: first, and last."""
    past: Past


def report_of(session: Session, task_id: str, presence: Presence, past: Past) -> Report:
    """Return the report of a task with its past. Raise NoSuchTask, LogError."""
    tasks = Tasks(session)
    task, view, now = tasks.find(task_id), session.follower.view, session.site.clock.now()
    running = running_children(task, presence.beats() if task.live else [])
    grid = grid_of(task, presence.named(task))
    home = session.site.topics.journal_of(task_id).partition
    return Report(
        at=now,
        position=f"{home}:{view.positions.get(home, 0)}",
        status=tasks.told(task, presence),
        answer=tasks.answer(task, presence),
        failures=tuple(failures_of(task)),
        stragglers=stragglers_of(view, task, running, now),
        durations=durations_of(view, task),
        cells=cells_of(grid),
        failed=tuple(failed_ranges(grid)),
        past=past,
    )


def cells_of(grid: bytes, most: int = CELLS) -> Cells:
    """Return the cells of a grid: so many children to each, 1, 2, 5, 10, 20, ..., that there are no more than ``most``.

    >>> cells_of(bytes([3, 3, 4, 0]), 2)
    Cells(per=2, counts=((0, 0, 0, 2, 0, 0), (1, 0, 0, 0, 1, 0)))
    """
    per = next(step * 10**power for power in range(20) for step in (1, 2, 5) if step * 10**power * most >= len(grid))
    states = grid.translate(bytes(byte & STATE for byte in range(256)))
    parts = (states[first : first + per] for first in range(0, len(states), per))
    return Cells(per, tuple(tuple(map(part.count, range(len(STATES)))) for part in parts))


def failed_ranges(grid: bytes, most: int = RANGES) -> Iterator[tuple[int, int]]:
    """Yield the first ranges of failed children.

    >>> list(failed_ranges(bytes([4, 4, 3, 20])))
    [(0, 1), (3, 3)]
    """
    marks = grid.translate(bytes(byte & STATE == STATES.index("failed") for byte in range(256)))
    end = 0
    for _ in range(most):
        first = marks.find(1, end)
        if first < 0:
            return
        end = marks.find(0, first)
        end = len(marks) if end < 0 else end
        yield first, end - 1
