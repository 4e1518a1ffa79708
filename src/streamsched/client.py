"""The Python client, through which the command line works too."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from streamsched.commands.request import AnyTemplate, Params, Wanted, want
from streamsched.installation.settings import Settings, load_settings
from streamsched.installation.site import Progress
from streamsched.reach import reach_of
from streamsched.schedule_client import ScheduleClient
from streamsched.task import Task

# What only some commands need is imported where it is used: submit and status are as fast as what they import.
if TYPE_CHECKING:
    import builtins

    from streamsched.commands.redrive import Redriven
    from streamsched.commands.set_aside import Decided
    from streamsched.domain.events import Event
    from streamsched.log.codec import Undecodable
    from streamsched.log.port import Record
    from streamsched.queries.arguments import Arguments
    from streamsched.queries.attempts import Attempt
    from streamsched.queries.certificate import Certificate
    from streamsched.queries.dead_letters import DeadLetterDocument, WholeDeadLetterDocument
    from streamsched.queries.documents import Moment
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.listing import TaskFilter, TaskPage
    from streamsched.queries.logs import LogLine
    from streamsched.queries.nodes import NodeDocument
    from streamsched.queries.report import Report
    from streamsched.queries.scaling import Scaling
    from streamsched.queries.status import ChildStatus, TaskStatus
    from streamsched.queries.why import Answer


LOOK_S: Final = 0.3
"""Between two looks for lines of a task that is followed."""


class Client(ScheduleClient):
    """A connection to one installation. Without ``brokers`` that is the embedded log in ``data_dir``.

    With the ``url`` of a server it works through that server, with the token in STREAMSCHED_TOKEN, and needs no rights
    on the log. A method that the HTTP API does not offer then raises NeedsLog.

    Use it as a context manager, from one thread. On the embedded log, the ``streamsched up`` or ``run`` of that folder
    works on its requests. ``submit`` and ``create_schedule`` create a missing log.
    """

    def __init__(
        self,
        *,
        brokers: str | None = None,
        data_dir: Path | str | None = None,
        prefix: str | None = None,
        config: Path | str | None = None,
        url: str | None = None,
        settings: Settings | None = None,
        on_progress: Progress = lambda done, total: None,
    ) -> None:
        if settings is None:
            path = Path(config) if config else None
            settings = load_settings(path, brokers=brokers, data_dir=data_dir, prefix=prefix, server=url)
        self._reach = reach_of(settings, on_progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the view and the log."""
        self._reach.close()

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded log."""
        return self._reach.embedded

    # --- write ------------------------------------------------------------------------------------------------------

    def submit(
        self,
        template: AnyTemplate,
        params: Params = None,
        *,
        task_id: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        origin: str = "submit",
    ) -> Task:
        """Request a task; durable on return. A given ``task_id`` makes it idempotent.

        The template is a job, a file, or the content of one as a dictionary; ``labels`` are added to its own. Raise
        InputError, with nothing written; LogError; TaskConflict if the id is taken by a different task.
        """
        wanted = want(template, params, task_id=task_id, priority=priority, labels=labels)
        return self.submit_many([wanted], origin=origin)[0]

    def submit_many(self, wanted: Iterable[Wanted], *, origin: str = "submit") -> builtins.list[Task]:
        """Request tasks that ``streamsched.request`` or a job's ``request`` made, a thousand in one append.

        Durable on return. Raise TaskConflict if an id is taken by a different task: the others are requested. Raise
        LogError: some may be requested; with ids of yours the call can be repeated.
        """
        made = self._reach.submit(list(wanted), origin)
        return [self.task(each.task_id, first=each.first) for each in made]

    def task(self, task_id: str, *, first: bool = False) -> Task:
        """Return a handle of a task; it is not checked whether the task exists."""
        return Task(self._reach, task_id, first=first)

    def halted(self, task_id: str) -> str:
        """Return why the journal's partition of this task stands still; empty if it does not, or if that is unknown."""
        return self._reach.halted(task_id)

    def cancel(self, task_id: str, reason: str = "", *, kill: bool = False) -> TaskStatus:
        """Request the cancellation of a task, unless it has ended, as ``Task.cancel``. Raise NoSuchTask."""
        return self.task(task_id).cancel(reason, kill=kill)

    def pause(self, task_id: str, *, now: bool = False, reason: str = "") -> TaskStatus:
        """Hold a task, as ``Task.pause``. Raise NoSuchTask, NotHoldable."""
        return self.task(task_id).pause(now=now, reason=reason)

    def resume(self, task_id: str, *, reason: str = "") -> TaskStatus:
        """End the hold of a task; returns its status after that. Raise NoSuchTask, NotHoldable."""
        return self.task(task_id).resume(reason=reason)

    def set_limits(self, /, task_id: str, *, reason: str = "", **limits: object) -> TaskStatus:
        """Replace limits of a task, as ``Task.set_limits``. Raise NoSuchTask, InputError, NotChangeable."""
        return self.task(task_id).set_limits(reason=reason, **limits)

    def redrive(
        self,
        task_id: str,
        *,
        where: str | None = None,
        everything: bool = False,
        restart: bool = False,
        reason: str = "",
    ) -> Redriven:
        """Run the children that did not succeed (and meet ``where``) again, or all, after a task has ended.

        They start from their last checkpoints; with ``restart``, or where they succeeded, from their beginning. Raise
        NoSuchTask, SelectorError; NotRedrivable if the task runs or has nothing to do again.
        """
        return self.task(task_id).redrive(where=where, everything=everything, restart=restart, reason=reason)

    def set_aside(self, partition: int, offset: int, reason: str, *, topic: str = "journal") -> Decided:
        """Set aside a record of an unknown schema, so that its partition continues; durable on return.

        ``topic`` is ``journal``, ``work-log`` or the full name of one of these two topics. Raise InputError, and write
        nothing, if the topic has no such record.
        """
        return self._reach.set_aside(partition, offset, reason, topic)

    # --- read -------------------------------------------------------------------------------------------------------

    def status(self, task_id: str) -> TaskStatus:
        """Return the status of a task, with the reason if nothing works on it. Raise NoSuchTask."""
        return self.task(task_id).status()

    def why(self, task_id: str, child: int | str | None = None) -> Answer:
        """Return why a task, a child (index, ``split`` or ``reduce``) or a schedule does not run. Raise NoSuchTask."""
        return self._reach.why(task_id, None if child is None else str(child))

    def missing(self, task_id: str | None = None) -> str:
        """Return which nodes are missing to do any work, or to run this task; empty if none."""
        return self._reach.missing(task_id)

    def tasks(self) -> builtins.list[TaskStatus]:
        """Return all tasks, the newest last."""
        return self._reach.all()

    def task_ids(self) -> builtins.list[str]:
        """Return the ids of all tasks, sorted; no task is loaded."""
        return self._reach.task_ids()

    def list(self, /, **wanted: Unpack[TaskFilter]) -> TaskPage:
        """Return a page of the tasks that meet all of this (``TaskFilter``), newest first. Raise InputError."""
        return self._reach.page(wanted)

    def children(self, task_id: str, state: str | None = None, *, where: str | None = None) -> Iterator[ChildStatus]:
        """Yield the children of a task in order, those in ``state`` and those that meet the selector ``where``.

        Raise NoSuchTask, SelectorError.
        """
        return self.task(task_id).children(state, where=where)

    def child(self, task_id: str, child: int | str) -> ChildStatus:
        """Return one child (its index, ``split`` or ``reduce``). Raise NoSuchTask, InputError."""
        return self._reach.child(task_id, _named(child))

    def arguments(self, task_id: str, child: int | str) -> Arguments:
        """Return what a child runs, and with which arguments. Raise NoSuchTask, InputError."""
        return self._reach.arguments(task_id, _named(child))

    def attempts(self, task_id: str, child: int | str) -> Iterator[Attempt]:
        """Yield the attempts at a child, the latest first, from the journal. Raise NoSuchTask, InputError."""
        yield from self._reach.attempts(task_id, _named(child))

    def results(self, task_id: str, *, where: str | None = None) -> Iterator[ChildStatus]:
        """Yield the children that succeeded (and meet ``where``), in order, with their results. Raise NoSuchTask."""
        return self.task(task_id).results(where=where)

    def failures(self, task_id: str) -> builtins.list[FailureStatus]:
        """Return the failures of a task by their causes, those with the most attempts first. Raise NoSuchTask."""
        return self.task(task_id).failures()

    def result(self, task_id: str) -> Any:
        """Return what the reduce of a task has returned. Raise NoSuchTask; NoResult without one that succeeded."""
        return self.task(task_id).result()

    def follow(self, task_id: str, interval: float = 0.1) -> Iterator[TaskStatus]:
        """Yield the status of a task now, after each change and each ``interval`` seconds, until it has ended."""
        return self._reach.follow(task_id, interval)

    def follow_active(self, interval: float = 0.1) -> Iterator[builtins.list[TaskStatus]]:
        """Yield the statuses of all active tasks now and each ``interval`` seconds, for ever."""
        return self._reach.follow_active(interval)

    def wait(self, task_id: str, timeout: float | None = None) -> TaskStatus:
        """Wait until a task has ended; returns its status. Raise NoSuchTask; TimeoutError after ``timeout`` seconds."""
        return self.task(task_id).wait(timeout)

    def certify(self, task_id: str) -> Certificate:
        """Certify a task that has ended, from the journal alone. Raise NoSuchTask, NotCertifiable."""
        return self._reach.certify(task_id)

    def history(
        self, task_id: str | None = None, *, until_position: int | None = None, until_time: Moment | None = None
    ) -> Iterator[tuple[Record, Event | Undecodable]]:
        """Yield the records of the journal, merged by time, each with its event or with why it is not one.

        ``until_position`` ends each partition before that offset, ``until_time`` before its first later record.
        """
        return self._reach.history(task_id, until_position, _millis(until_time))

    def rebuild(
        self, folder: Path, task_id: str | None, *, until_position: int | None = None, until_time: Moment | None = None
    ) -> int:
        """Fold the history into a new view in ``folder``; returns the number of events."""
        return self._reach.rebuild(folder, task_id, until_position, _millis(until_time))

    def dead_letters(self, *, topic: str | None = None, since: Moment | None = None) -> Iterator[DeadLetterDocument]:
        """Yield the dead letters, the oldest first: of one topic of origin, written at ``since`` or later.

        Raise InputError for an unknown topic.
        """
        return self._reach.dead_letters(topic, _millis(since))

    def dead_letter(self, number: int) -> WholeDeadLetterDocument | None:
        """Return the dead letter of this number, whole, with what the log still has of its record."""
        return self._reach.dead_letter(number)

    def nodes(self) -> builtins.list[NodeDocument]:
        """Return each node that has not left, as it told of itself last."""
        return self._reach.nodes()

    def logs(self, task_id: str, child: str | None = None, *, follow: bool = False) -> Iterator[LogLine]:
        """Yield what the handlers of a task have printed, or of one child: its number, ``split`` or ``reduce``.

        With ``follow``, also yield new lines until the task has ended. Raise NoSuchTask, InputError.
        """
        name = None if child is None else _named(child)
        for part in self._reach.log_parts(task_id, name, follow=follow):
            yield from part
            if not part:
                time.sleep(LOOK_S)

    def report(self, task_id: str) -> Report:
        """Return all that the page of a task shows at this moment. Raise NoSuchTask."""
        return self._reach.report(task_id)

    def scaling(self, target_s: float = 300.0, *, queue: str | None = None) -> Scaling:
        """Return how many slots would do what is left in ``target_s`` seconds; of one queue, if it is named."""
        return self._reach.scaling(target_s, queue)


def _named(child: int | str) -> str:
    from streamsched.queries.output import child_shown

    return child_shown(str(child), "child")


def _millis(moment: Moment | None) -> int | None:
    from streamsched.queries.documents import millis_of

    return None if moment is None else millis_of(moment)
