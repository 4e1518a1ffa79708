"""The Python client: submit, look, wait, cancel. Everything the command line does, it does through this."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamsched.commands.request import AnyTemplate, Submitted, compare, first_request, make_request, record_of, want
from streamsched.domain.errors import InputError, NoSuchTask
from streamsched.domain.events import Event, NodeBeat, TaskCancelRequested
from streamsched.installation.settings import Settings, load_settings
from streamsched.installation.site import Installation, Progress, user_name
from streamsched.installation.writing import connect, write
from streamsched.log.codec import Undecodable
from streamsched.log.port import Record, TopicPartition
from streamsched.runtime.identity import Identity

if TYPE_CHECKING:
    from streamsched.commands.backfills import Refilling, WantedBackfill
    from streamsched.commands.redrive import Redriven
    from streamsched.commands.schedules import Changed, Schedules
    from streamsched.commands.set_aside import Decided
    from streamsched.domain.task import Task
    from streamsched.files.schedule_file import WantedSchedule
    from streamsched.queries.history import SetAside
    from streamsched.queries.ledger import Tick
    from streamsched.queries.presence import Presence
    from streamsched.queries.schedule_status import ScheduleStatus
    from streamsched.queries.status import ChildStatus, TaskStatus
    from streamsched.view.follow import Follower
    from streamsched.view.view import View

FLUSH_EVERY = 20_000
"""Events between writes of the view while following: what is written is let go of."""


class Client:
    """A connection to one installation. ``brokers`` empty: the embedded log in ``data_dir``.

    Use it as a context manager, from one thread. What it asks of the embedded log is done by the ``streamsched up`` or
    ``run`` of that folder, or by the next one. ``submit`` and ``create_schedule`` make the log where there is none.
    """

    _presence: Presence | None = None

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
        self._settings = settings
        self._follower: Follower | None = None
        self._on_progress = on_progress
        if settings.brokers:
            self._site = connect(settings, create=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the view and the log."""
        if self._presence is not None:
            self._presence.close()
            self._presence = None
        if self._follower is not None:
            self._follower.close()
            self._follower.view.close()
            self._follower = None
        if "_site" in self.__dict__:
            self._site.close()

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded log, in a folder of this machine."""
        return not self._settings.brokers

    # --- write ------------------------------------------------------------------------------------------------------

    def submit(
        self,
        template: AnyTemplate,
        params: Mapping[str, object] | None = None,
        *,
        task_id: str | None = None,
        priority: int = 0,
        origin: str = "submit",
    ) -> Submitted:
        """Request a task; durable on return. A given ``task_id`` makes it idempotent.

        The template is a file, or what stands in one as a dictionary.

        Raises:
            InputError: the template or a parameter is wrong; nothing was written.
            TaskConflict: the id is taken by a different task.
            LogError: the log could not be written.

        """
        wanted = want(template, params, task_id=task_id, priority=priority)
        self._make()
        request = make_request(self._me, wanted, origin)
        offset = write(self._site, record_of(self._site, request, request.task_id, request.traceparent))
        if task_id is None:
            return Submitted(request.task_id, first=True)
        return compare(first_request(self._site, request, offset), request)

    def halted(self, task_id: str) -> str:
        """Tell, in words, whether the journal's partition of this task stands still now; empty where it does not.

        Looks from where the schedulers have come to, and not at all where they lie far behind or may not be asked.
        """
        from streamsched.commands.request import halt_of

        return halt_of(self._site, task_id)

    def cancel(self, task_id: str, reason: str = "") -> TaskStatus:
        """Ask for the end of a task and return its status before that; nothing is asked of one that is done."""
        task = self._task(task_id)
        if task.terminal:
            return _status_of(task)
        reason = reason or f"cancelled by {self._me.name}"
        event = self._me.sign(TaskCancelRequested, task_id=task_id, redrive=task.redrive, reason=reason)
        status = _status_of(task)
        write(self._site, record_of(self._site, event, task_id, task.request.traceparent))
        return status

    def redrive(self, task_id: str, *, everything: bool = False, restart: bool = False, reason: str = "") -> Redriven:
        """Let a task that has ended go on: its children that did not succeed, or all of them.

        They go on from their last checkpoints; with ``restart``, and with ``everything``, from their beginning.

        Raises:
            NoSuchTask: it was never requested here.
            NotRedrivable: it runs, or there is nothing to do again.

        """
        from streamsched.commands.redrive import redrive

        task = self._task(task_id)
        return redrive(
            self._site, self._me, self._following, task, everything=everything, restart=restart, reason=reason
        )

    def create_schedule(
        self,
        schedule: WantedSchedule | Path | str,
        params: Mapping[str, object] | None = None,
        *,
        schedule_id: str | None = None,
    ) -> Changed:
        """Make a schedule of a file; durable on return. One that is there with the same content is left as it is.

        Without an id it is called as its file.

        Raises:
            InputError: the file or a parameter is wrong; nothing was written.
            ScheduleConflict: the id is taken by a schedule with other content.

        """
        wanted = self._wanted_schedule(schedule, params, schedule_id)
        self._make()
        return self._schedules.create(wanted)

    def update_schedule(
        self,
        schedule: WantedSchedule | Path | str,
        params: Mapping[str, object] | None = None,
        *,
        schedule_id: str | None = None,
    ) -> Changed:
        """Change a schedule for the times to come.

        Raises:
            InputError: the file or a parameter is wrong; nothing was written.
            NoSuchSchedule: there is none of this id.
            ScheduleConflict: somebody else changed it at the same time; nothing came of this change.

        """
        return self._schedules.update(self._wanted_schedule(schedule, params, schedule_id))

    def pause_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """Pause a schedule: its times are suppressed until it is resumed. Raise NoSuchSchedule."""
        return self._schedules.pause(schedule_id, note, paused=True)

    def resume_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """Let a paused schedule go on with the times to come. Raise NoSuchSchedule."""
        return self._schedules.pause(schedule_id, note, paused=False)

    def trigger_schedule(self, schedule_id: str) -> Changed:
        """Ask for a task of a schedule now, whose id is told. Raise NoSuchSchedule."""
        return self._schedules.trigger(schedule_id)

    def delete_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """End a schedule: its tasks that run go on, no more are made. Raise NoSuchSchedule."""
        return self._schedules.delete(schedule_id, note)

    def backfill(self, schedule_id: str, wanted: WantedBackfill) -> Changed:
        """Go through past times of a schedule once more, whose tasks are missing, or failed, or all.

        Raises:
            NoSuchSchedule: there is none of this id.
            ScheduleConflict: another backfill of it goes on.

        """
        return self._schedules.backfill(schedule_id, wanted)

    def preview_backfill(self, schedule_id: str, wanted: WantedBackfill) -> Iterator[Refilling]:
        """Walk the times of a backfill with what would become of each; nothing is written. Raise NoSuchSchedule."""
        return self._schedules.preview(schedule_id, wanted)

    def cancel_backfill(self, schedule_id: str, note: str = "") -> Changed:
        """Let a schedule's backfill start nothing more; its tasks that run go on. Raise NoSuchSchedule."""
        return self._schedules.cancel_backfill(schedule_id, note)

    # --- read -------------------------------------------------------------------------------------------------------

    def status(self, task_id: str) -> TaskStatus:
        """Tell how a task stands now, and why nothing is done for it, where that is so.

        Raises:
            NoSuchTask: it was never requested here.

        """
        status = _status_of(self._task(task_id))
        return status if status.done else replace(status, why=self.missing(task_id))

    def missing(self, task_id: str | None = None) -> str:
        """Say which nodes are missing for anything to be done; empty while a scheduler and a worker are seen.

        Of a task it also says where no worker can run it, as it was folded last.
        """
        from streamsched.queries.presence import Presence

        if self._presence is None:
            self._presence = Presence(self._site)
        return self._presence.missing(None if task_id is None else self._following().view.active.get(task_id))

    def tasks(self) -> list[TaskStatus]:
        """List all tasks, the youngest last."""
        view = self._folded(self._site.topics.journal())
        tasks = [task for task_id in view.task_ids() if (task := view.task(task_id))]
        return sorted((_status_of(task) for task in tasks), key=lambda status: status.submitted_at)

    def children(self, task_id: str, state: str | None = None) -> Iterator[ChildStatus]:
        """Walk the children of a task in order, those in one state if it is given."""
        task = self._task(task_id)
        from streamsched.queries.status import children_of

        return children_of(self._following().view, task, state)

    def results(self, task_id: str) -> Iterator[ChildStatus]:
        """Walk the children that succeeded, in order, with their results."""
        return self.children(task_id, "succeeded")

    def follow(self, task_id: str, interval: float = 0.1) -> Iterator[TaskStatus]:
        """Give the status of a task now, after each change and each ``interval`` seconds, until it is done."""
        task = self._task(task_id)
        yield _status_of(task)
        if task.terminal:
            return
        for _ in self._changes([self._site.topics.journal_of(task_id)], interval):
            task = self._following().view.task(task_id) or task
            yield _status_of(task)
            if task.terminal:
                return

    def follow_active(self, interval: float = 0.1) -> Iterator[list[TaskStatus]]:
        """Give the statuses of all tasks that go on, as ``follow`` does, without an end."""
        places = self._site.topics.journal()
        view = self._folded(places)
        changes = self._changes(places, interval)
        while True:
            yield sorted(map(_status_of, view.active.values()), key=lambda status: status.submitted_at)
            next(changes)

    def wait(self, task_id: str, timeout: float | None = None) -> TaskStatus:
        """Wait until a task is done, and return its status.

        Raises:
            TimeoutError: it is not, after ``timeout`` seconds; the message says how it stands.
            NoSuchTask: it was never requested here.

        """
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        for status in self.follow(task_id):
            if status.done:
                return status
            if time.monotonic() >= deadline:
                raise TimeoutError(f"task {task_id!r} is {status.state} after {timeout:g} s")
        raise AssertionError("follow ends with a task that is done")

    def history(
        self, task_id: str | None = None, *, until_position: int | None = None, until_time: int | None = None
    ) -> Iterator[tuple[Record, Event | Undecodable]]:
        """Replay the journal, merged by time; a record that is no event comes with the reason.

        ``until_position`` ends each partition before that offset, ``until_time`` (milliseconds) before its first record
        that is later.
        """
        from streamsched.audit.replay import history

        ends = self._until(task_id, until_position, until_time)
        return history(self._site.log, self._site.topics, self._site.codec, ends, task_id)

    def rebuild(
        self, folder: Path, task_id: str | None, *, until_position: int | None = None, until_time: int | None = None
    ) -> int:
        """Fold the history into a new view in ``folder``; returns the number of events."""
        from streamsched.audit.replay import rebuild
        from streamsched.view.view import open_view

        site = self._site
        ends = self._until(task_id, until_position, until_time)
        view = open_view(folder, site.journal_id, site.codec)
        try:
            events = rebuild(view, site.log, site.topics, site.codec, ends, task_id)
        finally:
            written = view.close()
        if not written:
            raise InputError("its disk is full", "make room, or give a folder elsewhere", source=str(folder))
        return events

    def dead_letters(self, *, topic: str | None = None, since: int | None = None) -> Iterator[SetAside]:
        """Walk the records that were set aside; see ``history.dead_letters``."""
        from streamsched.queries.history import dead_letters

        return dead_letters(self._site, topic=topic, since=since)

    def set_aside(self, partition: int, offset: int, reason: str, *, work_log: bool = False) -> Decided:
        """Decide that a record of an unknown schema is rubbish, so that its partition goes on; durable on return.

        Raises:
            InputError: there is no such record, or it is none whose schema is unknown.

        """
        from streamsched.commands.set_aside import decide

        topics = self._site.topics
        places = topics.work_log() if work_log else topics.journal()
        if not 0 <= partition < len(places):
            reason = f"topic {places[0].topic} has no partition {partition}"
            raise InputError(reason, f"it has 0 to {len(places) - 1}")
        return decide(self._site, self._me, places[partition], offset, reason)

    def topic(self, name: str) -> str:
        """Give the full name of one of this installation's topics. Raise InputError where there is none of the name."""
        names = [spec.name for spec in self._site.topics.specs()]
        prefix = f"{self._site.topics.prefix}."
        if name in names or prefix + name in names:
            return name if name in names else prefix + name
        raise InputError(f"{name!r} is no topic here", f"choose one of {', '.join(names)}")

    def dead_letter(self, number: int) -> tuple[SetAside, Record | None] | None:
        """Find the dead letter of this number, and the record that it is about, if the log still has that."""
        from streamsched.queries.history import dead_letter, origin_of

        found = dead_letter(self._site, number)
        return None if found is None else (found, origin_of(self._site, found.letter))

    def nodes(self) -> list[tuple[NodeBeat, int]]:
        """List the latest beat of each node that has not left, with its age in milliseconds."""
        from streamsched.queries.history import nodes

        return nodes(self._site, self._me.clock.now())

    def schedule(self, schedule_id: str) -> ScheduleStatus:
        """Tell how a schedule stands now, a deleted one too. Raise NoSuchSchedule."""
        return self._schedules.status(schedule_id)

    def schedules(self) -> list[ScheduleStatus]:
        """List all schedules by their ids, the deleted ones too."""
        return self._schedules.all()

    def ticks(
        self,
        schedule_id: str,
        *,
        since: int | None = None,
        until: int | None = None,
        last: int | None = None,
        outcome: str | None = None,
    ) -> Iterator[Tick]:
        """Walk the times of a schedule that were decided about, in their order: each with its outcome and the reason.

        Those in [``since``, ``until``) (milliseconds), of one ``outcome``, the ``last`` of them, where these are given.
        Raise NoSuchSchedule.
        """
        found = self._schedules.ticks(schedule_id, since=since, until=until)
        wanted = (tick for tick in found if outcome in (None, tick.outcome))
        return wanted if last is None else iter(deque(wanted, last))

    # --- inside -----------------------------------------------------------------------------------------------------

    @cached_property
    def _site(self) -> Installation:
        """Open the log when it is first needed: the embedded one may be made by the first submit."""
        return connect(self._settings, create=False)

    @cached_property
    def _me(self) -> Identity:
        return self._site.identity("client", user_name())

    def _make(self) -> None:
        """Make the embedded log where there is none yet."""
        if "_site" not in self.__dict__:
            self._site = connect(self._settings, create=True)

    @property
    def _schedules(self) -> Schedules:
        from streamsched.commands.schedules import Schedules

        return Schedules(self._site, self._me, self._following)

    def _wanted_schedule(
        self, schedule: WantedSchedule | Path | str, params: Mapping[str, object] | None, schedule_id: str | None
    ) -> WantedSchedule:
        from streamsched.files.schedule_file import WantedSchedule, want_schedule

        if isinstance(schedule, WantedSchedule):
            return schedule
        return want_schedule(Path(schedule), params, now=self._me.clock.now(), schedule_id=schedule_id)

    def _until(self, task_id: str | None, position: int | None, time: int | None) -> Mapping[TopicPartition, int]:
        from streamsched.audit.replay import ends_of

        topics = self._site.topics
        places = topics.journal() if task_id is None else [topics.journal_of(task_id)]
        return ends_of(self._site.log, places, position=position, time=time)

    def _task(self, task_id: str) -> Task:
        task = self._folded([self._site.topics.journal_of(task_id)]).task(task_id)
        if task is None:
            halt = self._following().halts.get(self._site.topics.journal_of(task_id).partition)
            if halt is not None:
                raise NoSuchTask(f"no task {task_id!r} as far as can be read: {halt}")
            raise NoSuchTask(f"no task {task_id!r} in {self._site.settings.where}; 'streamsched list' shows all")
        return task

    def _folded(self, places: Collection[TopicPartition]) -> View:
        """Fold what is new of these partitions into the view of this process."""
        follower = self._following()
        follower.catch_up(places, self._on_progress)
        return follower.view

    def _changes(self, places: Collection[TopicPartition], interval: float) -> Iterator[int]:
        """Fold what comes, and tell the number of events each time."""
        follower = self._following()
        follower.include(places)
        unwritten = 0
        while True:
            folded = sum(1 for _ in follower.poll(interval))
            unwritten += folded
            if unwritten >= FLUSH_EVERY:
                follower.view.flush()
                unwritten = 0
            yield folded

    def _following(self) -> Follower:
        """Open the view of this process when it is first needed."""
        from streamsched.view.follow import Follower

        if self._follower is None:
            view = self._site.view("client")
            self._follower = Follower(log=self._site.log, topics=self._site.topics, codec=self._site.codec, view=view)
        return self._follower


def _status_of(task: Task) -> TaskStatus:
    from streamsched.queries.status import status_of  # a submit asks for none

    return status_of(task)
