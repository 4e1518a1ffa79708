"""An installation as ``top`` watches it.

The journal is folded a bit at a time, and only the tasks on the screen are looked at: large tasks cost no more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from streamsched.domain.events import NodeBeat
from streamsched.installation.session import FLUSH_EVENTS, Session
from streamsched.installation.settings import Settings
from streamsched.installation.site import Progress
from streamsched.queries.durations import Straggler, stragglers_of
from streamsched.queries.failures import FailureStatus, failures_of
from streamsched.queries.nodes import FORGOTTEN_MS, NodeDocument, node_document, nodes
from streamsched.queries.presence import Presence, running_children
from streamsched.queries.status import TaskStatus, status_of
from streamsched.queries.task_order import TaskOrder
from streamsched.queries.tasks import Tasks

ACTIVE: Final = 1_000
"""Active tasks that are listed: the newest."""
ENDED: Final = 100
"""Newest tasks, of which those that have ended are listed too."""
TOGETHER: Final = 500
"""Records that are folded at once."""
KEPT: Final = 1_000
"""Ended tasks whose status is kept: each would be loaded whole at every look."""


class _Ended(NamedTuple):
    """What is kept of a task that has ended."""

    status: TaskStatus
    failures: Sequence[FailureStatus]


class Overview:
    """Tasks and nodes, for one thread: call ``begin``, then ``follow`` now and then, and ``close`` at the end.

    All methods raise LogError.
    """

    def __init__(self, settings: Settings, on_progress: Progress) -> None:
        self._session = Session(settings, on_progress)
        self._tasks = Tasks(self._session)
        self._presence: Presence
        self._order: TaskOrder
        self._before: dict[str, tuple[NodeBeat, int]] = {}
        """Nodes that were last heard before ``begin``, each with the time of that."""
        self._ended: dict[str, _Ended] = {}
        """Ended tasks, until an event of theirs is folded."""
        self._unwritten = 0

    def begin(self) -> None:
        """Fold the journal, and read the last beats of all nodes."""
        session, now = self._session, self._session.site.clock.now()
        self._presence = Presence(session.site)
        self._order = TaskOrder(session.folded(session.site.topics.journal()))
        self._before = {beat.node_id: (beat, now - age) for beat, age in nodes(session.site, now)}

    def close(self) -> None:
        """Close the view and the log."""
        if "_presence" in self.__dict__:
            self._presence.close()
        self._session.close()

    def follow(self, seconds: float) -> bool:
        """Fold new events, for so many seconds at most; return whether all of them were folded."""
        follower, deadline = self._session.follower, time.monotonic() + seconds
        while time.monotonic() < deadline:
            folded = 0
            for _, event in follower.poll(0.0, TOGETHER):
                self._order.take(event)
                self._ended.pop(getattr(event, "task_id", ""), None)
                folded += 1
            self._unwritten += folded
            if self._unwritten >= FLUSH_EVENTS:
                follower.view.flush()
                self._unwritten = 0
            if not folded:
                return True
        return False

    @property
    def active(self) -> str:
        """How many tasks have not ended."""
        return f"{len(self._session.follower.view.active):,}"

    def task_ids(self) -> list[str]:
        """Return the tasks that have not ended, the newest first, then those that have ended lately."""
        active = self._session.follower.view.active
        newest = sorted(active.values(), key=lambda task: task.request.at, reverse=True)[:ACTIVE]
        recent = self._order.newest(ENDED)
        return [task.task_id for task in newest] + [task_id for task_id in recent if task_id not in active]

    def brief(self, task_id: str) -> TaskStatus | None:
        """Return the status of a task; of an active one without ``why``."""
        task = self._session.follower.view.active.get(task_id)
        if task is not None:
            return status_of(task, self._session.site.clock.now())
        ended = self._of_ended(task_id)
        return None if ended is None else ended.status

    def status(self, task_id: str) -> TaskStatus | None:
        """Return the status of a task, with why it does not get on."""
        task = self._session.follower.view.active.get(task_id)
        return self.brief(task_id) if task is None else self._tasks.told(task, self._presence)

    def failures(self, task_id: str) -> Sequence[FailureStatus]:
        """Return the groups of a task's failures, those with the most attempts first."""
        task = self._session.follower.view.active.get(task_id)
        if task is not None:
            return failures_of(task)
        ended = self._of_ended(task_id)
        return () if ended is None else ended.failures

    def stragglers(self, task_id: str) -> Sequence[Straggler]:
        """Return the children of a task that have run longest."""
        task = self._session.follower.view.active.get(task_id)
        if task is None or not task.live:
            return ()
        beats, view = self._presence.beats(), self._session.follower.view
        return stragglers_of(view, task, running_children(task, beats), self._session.site.clock.now()).items

    def nodes(self) -> list[NodeDocument]:
        """Return the nodes by their last beats."""
        now = self._session.site.clock.now()
        self._presence.beats()
        heard = self._presence.heard()
        for beat, _ in heard:
            self._before.pop(beat.node_id, None)
        found = [(beat, round(now - at)) for beat, at in (*heard, *self._before.values())]
        present = [node_document(beat, age) for beat, age in found if age < FORGOTTEN_MS]
        return sorted(present, key=lambda node: (node.role, node.name))

    def _of_ended(self, task_id: str) -> _Ended | None:
        if task_id not in self._ended:
            task = self._session.follower.view.task(task_id)
            if task is None:
                return None
            if len(self._ended) >= KEPT:
                self._ended.clear()
            self._ended[task_id] = _Ended(self._tasks.told(task, self._presence), failures_of(task))
        return self._ended[task_id]
