"""What the readers of one stream share: the channel of a task, and that of all tasks, with their messages.

The id of a message is a position. A message holds what children and tasks *are* there, not what has changed, so one
that comes twice does no harm, and a reader that comes back is told what was touched since.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Final

import msgspec

from streamsched.domain import events as e
from streamsched.http import positions
from streamsched.http.deltas import Touched
from streamsched.http.encoding import encode
from streamsched.http.session import FollowingSession
from streamsched.queries.grid import Run
from streamsched.queries.status import status_of
from streamsched.queries.tasks import Tasks

KEPT: Final = 20
"""Messages that are kept for a reader that is slow; behind them it is cut off."""
TOLD: Final = 100
"""Tasks and schedules in one message."""


class TaskMessage(msgspec.Struct, frozen=True):
    """A task as it is, and its children that were touched: runs of first child, number, and byte of the grid.

    ``full``: the whole grid is to be loaded again, with ``at_least`` the id of this message.
    """

    status: dict[str, Any]
    grid: list[Run] = []
    full: bool = False


class TasksMessage(msgspec.Struct, frozen=True):
    """Tasks that were touched as they are, without ``why``, and the ids of schedules that were.

    ``full``: there were more, so that lists are to be loaded again.
    """

    tasks: list[dict[str, Any]] = []
    schedules: list[str] = []
    full: bool = False


class Channel(ABC):
    """What the readers of one stream share. Its messages are made in the thread of the session."""

    name: str

    def __init__(self) -> None:
        self.readers: set[object] = set()
        """Without one, a channel is forgotten."""
        self.sent = 0
        """Messages that were ever made."""
        self.messages: deque[bytes] = deque(maxlen=KEPT)
        self.news = asyncio.Event()
        self.failed = False
        """Whether its last message could not be made: the next one is ``full``."""

    @abstractmethod
    def take(self, event: e.Event) -> None:
        """Take note of an event that was folded."""

    @abstractmethod
    def message(self, session: FollowingSession, *, look: bool, full: bool = False) -> bytes | None:
        """Make a message of what was touched; None where there is nothing to tell. ``full``: in any case."""

    def push(self, message: bytes) -> None:
        """Give a message to all readers."""
        self.messages.append(message)
        self.sent += 1
        self.news.set()
        self.news = asyncio.Event()

    def since(self, sent: int) -> list[bytes] | None:
        """Return the messages behind so many; None where they are not kept any more."""
        missing = self.sent - sent
        return None if missing > len(self.messages) else list(self.messages)[len(self.messages) - missing :]


class TaskChannel(Channel):
    """The stream of one task."""

    name = "task"

    def __init__(self, task_id: str) -> None:
        super().__init__()
        self._task_id = task_id
        self._touched = Touched()
        self._named: frozenset[int] = frozenset()
        self._told: object = None

    def take(self, event: e.Event) -> None:
        """Take note of an event of this task, or of a whole partition."""
        self._touched.add(event)

    def message(self, session: FollowingSession, *, look: bool, full: bool = False) -> bytes | None:
        """Make a message of the task as it is."""
        if not (self._touched.any or look or full):
            return None
        touched, self._touched = self._touched, Touched()
        tasks = Tasks(session)
        task = tasks.find(self._task_id)
        named = frozenset(session.presence.named(task))
        status = tasks.status_with(task, session.presence, named)
        touched.add_children(named ^ self._named)
        self._named = named
        told = msgspec.structs.replace(status, eta=None)
        if not (touched.any or full) and told == self._told:
            return None
        self._told = told
        runs = None if full else touched.runs(task, named)
        home = session.site.topics.journal_of(self._task_id).partition
        data = TaskMessage(status.document(), runs or [], runs is None)
        return written(self.name, {home: session.follower.view.positions.get(home, 0)}, data)


class TasksChannel(Channel):
    """The stream of all tasks and schedules whose templates begin so."""

    name = "tasks"

    def __init__(self, within: str) -> None:
        super().__init__()
        self._within = within
        self._tasks: dict[str, None] = {}
        self._schedules: dict[str, None] = {}
        self._full = False

    def take(self, event: e.Event) -> None:
        """Take note of an event of any task or schedule."""
        if isinstance(event, e.OfSchedule):
            self._schedules[event.schedule_id] = None
        elif isinstance(event, e.OfTask):
            self._tasks[event.task_id] = None
        else:
            self._full = True

    def message(self, session: FollowingSession, *, look: bool, full: bool = False) -> bytes | None:
        """Make a message of the tasks that were touched, as they are; what is not within leaves no trace."""
        view, now = session.follower.view, session.site.clock.now()
        touched, schedules, full = self._tasks, self._schedules, full or self._full
        self._tasks, self._schedules, self._full = {}, {}, False
        if full or (len(touched) + len(schedules) > TOLD and not self._within):
            return written(self.name, view.positions, TasksMessage(full=True))
        found = (view.task(task_id) for task_id in touched)
        tasks = [task for task in found if task is not None and self._is_within(task.request.template_name)]
        known = (view.schedules.get(schedule_id) for schedule_id in schedules)
        named = [each.schedule_id for each in known if each and self._is_within(each.now.body.template_name)]
        if not (tasks or named):
            return None
        if len(tasks) + len(named) > TOLD:
            return written(self.name, view.positions, TasksMessage(full=True))
        statuses = [status_of(task, now, session.presence.named(task)).document() for task in tasks]
        return written(self.name, view.positions, TasksMessage(statuses, named))

    def _is_within(self, template: str) -> bool:
        return template.startswith(self._within)


def written(name: str, position: positions.Positions, data: object) -> bytes:
    """Write a message."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (positions.write(position).encode(), name.encode(), encode(data))
