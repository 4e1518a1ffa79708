"""Queries about tasks, from the view of a session."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streamsched.domain.errors import NoResult, NoSuchTask
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.log.journal import JournalReader
from streamsched.log.port import LogError
from streamsched.queries.eta import FollowedEta, eta_by_weight
from streamsched.queries.presence import Presence
from streamsched.queries.status import ChildStatus, TaskStatus, child_of, children_of, for_status, reduce_of, status_of

if TYPE_CHECKING:
    from streamsched.domain.selector import Predicate
    from streamsched.queries.arguments import Arguments
    from streamsched.queries.attempts import Attempt
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.listing import Filter, TaskPage
    from streamsched.queries.why import Answer
    from streamsched.queries.why_schedule import WhySchedule
    from streamsched.queries.why_tick import WhyNoTask

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
            raise NoSuchTask(f"no task {task_id!r} in {site.settings.where}; {self._instead(task_id)}")
        return task

    def _instead(self, task_id: str) -> str:
        if task_id in self._session.follower.view.schedules:  # in the same partition, which was folded
            return f"it is a schedule: 'streamsched schedule show {task_id}'"
        return "'streamsched list' shows all"

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
        return self.told(self.find(task_id), presence)

    def told(self, task: Task, presence: Presence) -> TaskStatus:
        """Return the status of a task as it was folded last, with why it does not get on."""
        return self.status_with(task, presence, presence.named(task))

    def status_with(self, task: Task, presence: Presence, named: Collection[int]) -> TaskStatus:
        """Return the status as ``told`` does, of a task with the children that workers tell of as running."""
        status = self._status(task, named)
        answer = self._why(task, presence, status, named)
        if status.done:
            return replace(status, why="" if answer.gets_on else answer.sentence)
        weighed = eta_by_weight(self._session.follower.view, task, self._session.site.clock.now())
        return replace(status, why="" if answer.gets_on else answer.sentence, eta=weighed or status.eta)

    def why(self, task_id: str, child: str | None, presence: Presence) -> Answer:
        """Return why a task, a child of it, or a schedule does not run. Raise NoSuchTask, InputError."""
        from streamsched.queries.why import Answer

        found = self.why_known(task_id, child, presence)
        if isinstance(found, Answer):
            return found
        for _ in found.read(self._session.site):
            pass
        return self.why_read(task_id, found, presence)

    def why_known(self, task_id: str, child: str | None, presence: Presence) -> Answer | WhySchedule | WhyNoTask:
        """Return why, as ``why`` does; of a schedule, or a time of one, what is to be read first."""
        from streamsched.queries.why import child_named
        from streamsched.queries.why_schedule import why_schedule
        from streamsched.queries.why_tick import why_no_task

        try:
            task = self.find(task_id)
        except NoSuchTask:
            session = self._session
            none = why_schedule(session, task_id, presence) or why_no_task(session, task_id) if child is None else None
            if none is None:
                raise
            return none
        return self.answer(task, presence, None if child is None else child_named(task, child))

    def why_read(self, task_id: str, found: WhySchedule | WhyNoTask, presence: Presence) -> Answer:
        """Return the answer for a schedule, or a time of one, with what was read of it. Raise NoSuchTask."""
        return found.answer(self._session) or self.answer(self.find(task_id), presence)

    def answer(self, task: Task, presence: Presence, child: int | None = None) -> Answer:
        """Return why a task as it was folded last does not run, or a child by its number in the table."""
        named = presence.named(task)
        return self._why(task, presence, self._status(task, named), named, child)

    def _why(
        self, task: Task, presence: Presence, status: TaskStatus, named: Collection[int], child: int | None = None
    ) -> Answer:
        from streamsched.queries.why import why

        site, follower = self._session.site, self._session.follower
        halt = follower.halts.get(site.topics.journal_of(task.task_id).partition)
        detail = None if child is None else follower.view.detail(task.task_id, child)
        return why(
            task, presence, status=status, named=named, halt="" if halt is None else str(halt), now=site.clock.now(),
            child=child, detail=detail,
        )  # fmt: skip

    def missing(self, task_id: str, presence: Presence) -> str:
        """Return what the task lacks to go on, as it was folded last: nodes, or a resume; empty if nothing."""
        task = self._session.follower.view.active.get(task_id)
        if task is not None and task.hold:
            because = f" ({task.hold_reason})" if task.hold_reason else ""
            return f"it is paused{because}: continue it with 'streamsched resume {task_id}'"
        return presence.missing(task)

    def _status(self, task: Task, named: Collection[int] = ()) -> TaskStatus:
        return status_of(task, self._session.site.clock.now(), named)

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
        return _newest_last(self._status(for_status(view, header)) for header in view.headers())

    def ids(self) -> list[str]:
        """Return the ids of all tasks, in their order."""
        return self._session.folded(self._session.site.topics.journal()).task_ids()

    def page(self, wanted: Filter) -> TaskPage:
        """Return a page of the tasks that are meant, the newest first."""
        from streamsched.queries.listing import page_of

        return page_of(self._session.folded(self._session.site.topics.journal()), wanted, self._status)

    def children(
        self, task_id: str, state: str | None, presence: Callable[[], Presence], where: str | None = None
    ) -> Iterator[ChildStatus]:
        """Yield the children of a task in order, those in one state, and those that meet a selector, if it is given.

        Raise NoSuchTask, SelectorError.
        """
        predicate = None if where is None else predicate_of(where)
        task = self.find(task_id)
        looks = task.live and state in (None, "queued", "running")
        named = presence().named(task) if looks else ()
        return children_of(self._session.follower.view, task, state, predicate, named)

    def child(self, task_id: str, child: str, presence: Presence) -> ChildStatus:
        """Return one child, as people name it. Raise NoSuchTask, InputError."""
        task, number = self._child(task_id, child)
        return child_of(self._session.follower.view, task, number, presence.named(task))

    def arguments(self, task_id: str, child: str) -> Arguments:
        """Return what a child is given. Raise NoSuchTask, InputError."""
        from streamsched.queries.arguments import arguments_of

        return arguments_of(self._session.follower.view, *self._child(task_id, child))

    def attempts(self, task_id: str, child: str) -> Iterator[Attempt]:
        """Return the attempts at a child, the latest first. Raise NoSuchTask, InputError."""
        from streamsched.queries.attempts import attempts, sought

        wanted = sought(self._session, *self._child(task_id, child))
        return (each for each in attempts(self._session.site, wanted) if each is not None)

    def _child(self, task_id: str, name: str) -> tuple[Task, int]:
        from streamsched.queries.why import child_named

        task = self.find(task_id)
        return task, child_named(task, name)

    def failures(self, task_id: str) -> list[FailureStatus]:
        """Return the groups of a task's failures. Raise NoSuchTask."""
        from streamsched.queries.failures import failures_of

        return failures_of(self.find(task_id))

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
        """Yield the status now, after each change and each ``interval`` seconds, until the task has ended."""
        eta, clock = FollowedEta(), self._session.site.clock
        for task in self._seen(task_id, interval):
            status = self._status(task)
            status = replace(status, eta=eta(self._session.follower.view, task, status.eta, clock.now()))
            yield status
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
        """Yield the statuses of all active tasks now and each ``interval`` seconds, for ever."""
        places, clock = self._session.site.topics.journal(), self._session.site.clock
        view = self._session.folded(places)
        changes = self._session.changes(places, interval)
        while True:
            yield _newest_last(map(self._status, view.active.values()))
            due = clock.monotonic() + interval
            while clock.monotonic() < due:
                next(changes)

    def wait(self, task_id: str, timeout: float | None, presence: Callable[[], Presence]) -> TaskStatus:
        """Wait until a task has ended, and return its status. Raise NoSuchTask; TimeoutError, with what is missing."""
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        for status in self.follow(task_id, 0.1):
            if status.done:
                return status
            if time.monotonic() >= deadline:
                raise late(status, timeout or 0.0, self.missing(task_id, presence()))
        raise AssertionError("follow ends with a task that has ended")


def predicate_of(where: str) -> Predicate:
    """Return the predicate of a selector's text. Raise SelectorError."""
    from streamsched.domain.selector import Predicate, parse  # late: few commands need it

    return Predicate(parse(where))


def late(status: TaskStatus, timeout: float, missing: str) -> TimeoutError:
    """Return the error of a wait that is over after ``timeout`` seconds, with what is missing to work on the task."""
    why = f": {missing}" if missing else ""
    return TimeoutError(f"task {status.task_id!r} is {status.state} after {timeout:g} s{why}")


def _newest_last(statuses: Iterable[TaskStatus]) -> list[TaskStatus]:
    return sorted(statuses, key=lambda status: status.submitted_at)
