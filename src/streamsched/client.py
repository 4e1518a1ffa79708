"""The Python client, through which the command line works too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from streamsched.commands.request import AnyTemplate, Params, Wanted, submit, submit_many, want
from streamsched.installation.session import Session
from streamsched.installation.settings import Settings, load_settings
from streamsched.installation.site import Progress
from streamsched.runtime.clock import SystemClock
from streamsched.task import Task

# What only some commands need is imported where it is used: submit and status are as fast as what they import.
if TYPE_CHECKING:
    from streamsched.commands.backfills import BackfillStep, WantedBackfill
    from streamsched.commands.redrive import Redriven
    from streamsched.commands.schedules import Changed, ScheduleChanges
    from streamsched.commands.set_aside import Decided
    from streamsched.domain.events import Event, NodeBeat
    from streamsched.files.schedule_file import WantedSchedule
    from streamsched.log.codec import Undecodable
    from streamsched.log.port import Record
    from streamsched.queries.certificate import Certificate
    from streamsched.queries.dead_letters import SetAside
    from streamsched.queries.documents import Moment
    from streamsched.queries.ledger import Tick
    from streamsched.queries.presence import Presence
    from streamsched.queries.schedule_status import ScheduleStatus
    from streamsched.queries.schedules import Schedules
    from streamsched.queries.status import ChildStatus, TaskStatus
    from streamsched.queries.tasks import Tasks


class Client:
    """A connection to one installation. ``brokers`` empty: the embedded log in ``data_dir``.

    Use it as a context manager, from one thread. On the embedded log its requests are worked on by the ``streamsched
    up`` or ``run`` of that folder. ``submit`` and ``create_schedule`` create a missing log.
    """

    def __init__(
        self,
        *,
        brokers: str | None = None,
        data_dir: Path | str | None = None,
        prefix: str | None = None,
        config: Path | str | None = None,
        settings: Settings | None = None,
        on_progress: Progress = lambda done, total: None,
    ) -> None:
        if settings is None:
            path = Path(config) if config else None
            settings = load_settings(path, brokers=brokers, data_dir=data_dir, prefix=prefix)
        self._session = Session(settings, on_progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the view and the log."""
        if "_presence" in self.__dict__:
            self._presence.close()
        self._session.close()

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded log."""
        return not self._session.settings.brokers

    # --- write ------------------------------------------------------------------------------------------------------

    def submit(
        self,
        template: AnyTemplate,
        params: Params = None,
        *,
        task_id: str | None = None,
        priority: int = 0,
        origin: str = "submit",
    ) -> Task:
        """Request a task; durable on return. A given ``task_id`` makes it idempotent.

        The template is a job, a file, or the content of one as a dictionary. Raise InputError, with nothing written;
        LogError; TaskConflict if the id is taken by a different task.
        """
        made = submit(self._session, want(template, params, task_id=task_id, priority=priority), origin)
        return self.task(made.task_id, first=made.first)

    def submit_many(self, wanted: Iterable[Wanted], *, origin: str = "submit") -> list[Task]:
        """Request tasks that ``streamsched.request`` or a job's ``request`` made, a thousand in one append.

        Durable on return. Raise TaskConflict if an id is taken by a different task: the others are requested. Raise
        LogError: some may be requested; with ids of yours the call can be repeated.
        """
        made = submit_many(self._session, list(wanted), origin)
        return [self.task(each.task_id, first=each.first) for each in made]

    def task(self, task_id: str, *, first: bool = False) -> Task:
        """Return a handle of a task; whether it exists is not looked at."""
        return Task(self._session, lambda: self._presence, task_id, first=first)

    def halted(self, task_id: str) -> str:
        """Return why the journal's partition of this task stands still; empty if it does not, or if that is unknown."""
        return self._tasks.halted(task_id)

    def cancel(self, task_id: str, reason: str = "") -> TaskStatus:
        """Request the cancellation of a task, unless it is done; returns its status before that. Raise NoSuchTask."""
        return self.task(task_id).cancel(reason)

    def redrive(self, task_id: str, *, everything: bool = False, restart: bool = False, reason: str = "") -> Redriven:
        """Run the children that did not succeed again, or all of them, after a task has ended.

        They start from their last checkpoints; with ``restart`` or ``everything``, from their beginning. Raise
        NoSuchTask; NotRedrivable if the task runs or has nothing to do again.
        """
        return self.task(task_id).redrive(everything=everything, restart=restart, reason=reason)

    def create_schedule(
        self, schedule: WantedSchedule | Path | str, params: Params = None, *, schedule_id: str | None = None
    ) -> Changed:
        """Create a schedule, unless it exists with the same content; durable on return.

        The default id is the file's name. Raise InputError, or ScheduleConflict if the id is taken by a schedule with
        other content; nothing was written then.
        """
        wanted = self._wanted_schedule(schedule, params, schedule_id)
        self._session.make()
        return self._changes.create(wanted)

    def update_schedule(
        self, schedule: WantedSchedule | Path | str, params: Params = None, *, schedule_id: str | None = None
    ) -> Changed:
        """Change a schedule for future times.

        Raise InputError, NoSuchSchedule, or ScheduleConflict if another command changed it at the same time.
        """
        return self._changes.update(self._wanted_schedule(schedule, params, schedule_id))

    def pause_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """Pause a schedule: its times are suppressed until it is resumed. Raise NoSuchSchedule."""
        return self._changes.pause(schedule_id, note, paused=True)

    def resume_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """Resume a schedule with its future times. Raise NoSuchSchedule."""
        return self._changes.pause(schedule_id, note, paused=False)

    def trigger_schedule(self, schedule_id: str) -> Changed:
        """Request a task of a schedule now, and return its id. Raise NoSuchSchedule."""
        return self._changes.trigger(schedule_id)

    def delete_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """Delete a schedule; its running tasks continue. Raise NoSuchSchedule."""
        return self._changes.delete(schedule_id, note)

    def backfill(self, schedule_id: str, wanted: WantedBackfill) -> Changed:
        """Make tasks of past times. Raise NoSuchSchedule; ScheduleConflict while another backfill of it is active."""
        return self._changes.backfill(schedule_id, wanted)

    def preview_backfill(self, schedule_id: str, wanted: WantedBackfill) -> Iterator[BackfillStep]:
        """Yield the times of a backfill with what it would do about each; nothing is written. Raise NoSuchSchedule."""
        return self._changes.preview(schedule_id, wanted)

    def cancel_backfill(self, schedule_id: str, note: str = "") -> Changed:
        """Cancel a schedule's backfill; its running tasks continue. Raise NoSuchSchedule."""
        return self._changes.cancel_backfill(schedule_id, note)

    def set_aside(self, partition: int, offset: int, reason: str, *, work_log: bool = False) -> Decided:
        """Set aside a record of an unknown schema, so that its partition continues; durable on return."""
        from streamsched.commands.set_aside import set_aside

        return set_aside(self._session, partition, offset, reason, work_log=work_log)

    # --- read -------------------------------------------------------------------------------------------------------

    def status(self, task_id: str) -> TaskStatus:
        """Return the status of a task, with the reason if nothing works on it. Raise NoSuchTask."""
        return self.task(task_id).status()

    def missing(self, task_id: str | None = None) -> str:
        """Return which nodes are missing to do any work, or to run this task; empty if none."""
        return self._presence.missing() if task_id is None else self._tasks.missing(task_id, self._presence)

    def tasks(self) -> list[TaskStatus]:
        """Return all tasks, the newest last."""
        return self._tasks.all()

    def children(self, task_id: str, state: str | None = None) -> Iterator[ChildStatus]:
        """Yield the children of a task in order, those in ``state`` if it is given. Raise NoSuchTask."""
        return self.task(task_id).children(state)

    def results(self, task_id: str) -> Iterator[ChildStatus]:
        """Yield the children that succeeded, in order, with their results. Raise NoSuchTask."""
        return self.task(task_id).results()

    def result(self, task_id: str) -> Any:
        """Return what the reduce of a task has returned. Raise NoSuchTask; NoResult without one that succeeded."""
        return self.task(task_id).result()

    def follow(self, task_id: str, interval: float = 0.1) -> Iterator[TaskStatus]:
        """Yield the status of a task now, after each change and each ``interval`` seconds, until it is done."""
        return self._tasks.follow(task_id, interval)

    def follow_active(self, interval: float = 0.1) -> Iterator[list[TaskStatus]]:
        """Yield the statuses of all active tasks, as ``follow`` does, for ever."""
        return self._tasks.follow_active(interval)

    def wait(self, task_id: str, timeout: float | None = None) -> TaskStatus:
        """Wait until a task is done and return its status. Raise NoSuchTask; TimeoutError after ``timeout`` seconds."""
        return self.task(task_id).wait(timeout)

    def certify(self, task_id: str) -> Certificate:
        """Certify a task that has ended, from the journal alone. Raise NoSuchTask, NotCertifiable."""
        from streamsched.queries.certificate import certify

        return certify(self._session, task_id)

    def history(
        self, task_id: str | None = None, *, until_position: int | None = None, until_time: Moment | None = None
    ) -> Iterator[tuple[Record, Event | Undecodable]]:
        """Yield the records of the journal, merged by time, each with its event or with why it is not one.

        ``until_position`` ends each partition before that offset, ``until_time`` before its first later record.
        """
        from streamsched.queries.history import history

        return history(self._session.site, task_id, position=until_position, time=_millis(until_time))

    def rebuild(
        self, folder: Path, task_id: str | None, *, until_position: int | None = None, until_time: Moment | None = None
    ) -> int:
        """Fold the history into a new view in ``folder``; returns the number of events."""
        from streamsched.queries.history import rebuild

        return rebuild(self._session.site, folder, task_id, position=until_position, time=_millis(until_time))

    def topic(self, name: str) -> str:
        """Return the full name of a topic of this installation. Raise InputError if it is unknown."""
        from streamsched.queries.dead_letters import topic_named

        return topic_named(self._session.site.topics, name)

    def dead_letters(self, *, topic: str | None = None, since: Moment | None = None) -> Iterator[SetAside]:
        """Yield the dead letters, the oldest first: of one topic of origin, written at ``since`` or later."""
        from streamsched.queries.dead_letters import dead_letters

        return dead_letters(self._session.site, topic=topic, since=_millis(since))

    def dead_letter(self, number: int) -> tuple[SetAside, Record | None] | None:
        """Return the dead letter of this number, and its record if the log still has it."""
        from streamsched.queries.dead_letters import dead_letter, origin_of

        found = dead_letter(self._session.site, number)
        return None if found is None else (found, origin_of(self._session.site, found.letter))

    def nodes(self) -> list[tuple[NodeBeat, int]]:
        """Return the latest beat of each node that has not left, with its age in milliseconds."""
        from streamsched.queries.nodes import nodes

        return nodes(self._session.site, self._session.me.clock.now())

    def schedule(self, schedule_id: str) -> ScheduleStatus:
        """Return the status of a schedule, a deleted one too. Raise NoSuchSchedule."""
        return self._schedules.status_of(self._schedules.need(schedule_id))

    def schedules(self) -> list[ScheduleStatus]:
        """Return all schedules by their ids, the deleted ones too."""
        return self._schedules.all()

    def ticks(
        self,
        schedule_id: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        last: int | None = None,
        outcome: str | None = None,
    ) -> Iterator[Tick]:
        """Yield the decided times of a schedule in order, each with its outcome and the reason. Raise NoSuchSchedule.

        Optional filters: times in [``since``, ``until``), one ``outcome``, only the ``last`` of them.
        """
        return self._schedules.ticks(schedule_id, since=since, until=until, last=last, outcome=outcome)

    # --- inside -----------------------------------------------------------------------------------------------------

    @cached_property
    def _presence(self) -> Presence:
        from streamsched.queries.presence import Presence

        return Presence(self._session.site)

    @property
    def _tasks(self) -> Tasks:
        from streamsched.queries.tasks import Tasks

        return Tasks(self._session)

    @property
    def _schedules(self) -> Schedules:
        from streamsched.queries.schedules import Schedules

        return Schedules(self._session)

    @property
    def _changes(self) -> ScheduleChanges:
        from streamsched.commands.schedules import ScheduleChanges

        return ScheduleChanges(self._session)

    def _wanted_schedule(
        self, schedule: WantedSchedule | Path | str, params: Params, schedule_id: str | None
    ) -> WantedSchedule:
        from streamsched.files.schedule_file import WantedSchedule, want_schedule

        if isinstance(schedule, WantedSchedule):
            return schedule
        return want_schedule(Path(schedule), params, now=SystemClock().now(), schedule_id=schedule_id)


def _millis(moment: Moment | None) -> int | None:
    from streamsched.queries.documents import millis_of

    return None if moment is None else millis_of(moment)
