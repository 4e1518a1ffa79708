"""Queries about tasks, from the view of a session."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Final

from msgspec.structs import replace

from streamsched.domain.errors import NoResult, NoSuchTask
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.log.journal import JournalReader
from streamsched.log.port import LogError
from streamsched.queries.presence import Presence
from streamsched.queries.status import ChildStatus, TaskStatus, children_of, reduce_of, status_of

HALT_OFFSETS: Final = 10_000
"""Offsets that are read from the schedulers' position on, to find a record that halts the partition."""
HALT_LOOK_S: Final = 1.0
"""How long that may take."""
END_S: Final = 5.0
"""How long a terminal event that is certain to come is waited for, where it is needed."""


class Tasks:
    """Answers about tasks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, task_id: str) -> Task:
        """Return a task as it stands now. Raise NoSuchTask."""
        site = self._session.site
        home = site.topics.journal_of(task_id)
        task = self._session.folded([home]).task(task_id)
        if task is None:
            halt = self._session.follower.halts.get(home.partition)
            if halt is not None:
                raise NoSuchTask(f"no task {task_id!r} as far as can be read: {halt}")
            raise NoSuchTask(f"no task {task_id!r} in {site.settings.where}; 'streamsched list' shows all")
        return task

    def ended(self, task_id: str) -> Task:
        """Return a task as it stands now; where its ending is certain, wait for its terminal event, END_S at most."""
        seen = self._seen(task_id, 0.1)
        task = next(seen)  # the first fold may take longer than END_S
        clock = self._session.site.clock
        deadline = clock.monotonic() + END_S
        while task.verdict is not task.phase and clock.monotonic() < deadline:
            task = next(seen)
        return task

    def status(self, task_id: str, presence: Presence) -> TaskStatus:
        """Return the status of a task, with the reason if nothing works on it. Raise NoSuchTask."""
        status = status_of(self.find(task_id))
        return status if status.done else replace(status, why=self.missing(task_id, presence))

    def missing(self, task_id: str, presence: Presence) -> str:
        """Return which nodes are missing to work on the task, as it was folded last; empty if none."""
        return presence.missing(self._session.follower.view.active.get(task_id))

    def halted(self, task_id: str) -> str:
        """Return why the task's partition stands still behind the schedulers' position; empty if it does not."""
        site = self._session.site
        home = site.topics.journal_of(task_id)
        try:
            committed = site.log.committed(site.topics.scheduler_group, [home], stable=False)[home]
            ends = site.log.end([home])
            begin = max(0 if committed is None else committed.position, site.log.start([home])[home])
            if ends[home] - begin > HALT_OFFSETS:
                return ""
            with closing(JournalReader(site.log, site.topics, site.codec)) as reader:
                reader.assign({home: begin})
                deadline = site.clock.monotonic() + HALT_LOOK_S
                while reader.left(ends) and site.clock.monotonic() < deadline:
                    reader.poll(HALT_OFFSETS, 0.2)
                halt = reader.halts.get(home.partition)
                return "" if halt is None else str(halt)
        except LogError:  # a user who may only write can submit all the same
            return ""

    def all(self) -> list[TaskStatus]:
        """Return all tasks, the newest last."""
        view = self._session.folded(self._session.site.topics.journal())
        return _newest_last(task for task_id in view.task_ids() if (task := view.task(task_id)))

    def children(self, task_id: str, state: str | None = None) -> Iterator[ChildStatus]:
        """Yield the children of a task in order, those in one state if it is given. Raise NoSuchTask."""
        task = self.find(task_id)
        return children_of(self._session.follower.view, task, state)

    def reduced(self, task_id: str) -> ChildStatus:
        """Return a task's reduce, which has succeeded. Raise NoSuchTask, NoResult."""
        task = self.find(task_id)
        reduce = reduce_of(self._session.follower.view, task)
        if reduce is None:
            raise NoResult(f"task {task_id!r} has no reduce; 'streamsched results' shows the results of its children")
        if reduce.state != "succeeded":
            raise NoResult(f"task {task_id!r} is {task.verdict}, its reduce is {reduce.state}: there is no result")
        return reduce

    def follow(self, task_id: str, interval: float) -> Iterator[TaskStatus]:
        """Yield the status now, after each change and each ``interval`` seconds, until the task is done."""
        for task in self._seen(task_id, interval):
            yield (status := status_of(task))
            if status.done:
                return

    def _seen(self, task_id: str, interval: float) -> Iterator[Task]:
        """Yield a task as it stands now, after each change and each ``interval`` seconds, for ever."""
        task = self.find(task_id)
        yield task
        for _ in self._session.changes([self._session.site.topics.journal_of(task_id)], interval):
            task = self._session.follower.view.task(task_id) or task
            yield task

    def follow_active(self, interval: float) -> Iterator[list[TaskStatus]]:
        """Yield the statuses of all active tasks, as ``follow`` does, for ever."""
        places = self._session.site.topics.journal()
        view = self._session.folded(places)
        changes = self._session.changes(places, interval)
        while True:
            yield _newest_last(view.active.values())
            next(changes)

    def wait(self, task_id: str, timeout: float | None, presence: Callable[[], Presence]) -> TaskStatus:
        """Wait until a task is done, and return its status. Raise NoSuchTask; TimeoutError, with what is missing."""
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        for status in self.follow(task_id, 0.1):
            if status.done:
                return status
            if time.monotonic() >= deadline:
                raise late(status, timeout or 0.0, self.missing(task_id, presence()))
        raise AssertionError("follow ends with a task that is done")


def late(status: TaskStatus, timeout: float, missing: str) -> TimeoutError:
    """Return the error of a wait that is over after ``timeout`` seconds, with what is missing to work on the task."""
    why = f": {missing}" if missing else ""
    return TimeoutError(f"task {status.task_id!r} is {status.state} after {timeout:g} s{why}")


def _newest_last(tasks: Iterable[Task]) -> list[TaskStatus]:
    return sorted(map(status_of, tasks), key=lambda status: status.submitted_at)
