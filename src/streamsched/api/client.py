"""The Python client: submit, look, wait, cancel. Everything the command line does, it does through this."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from streamsched.api.errors import InputError
from streamsched.api.mailbox import Mailbox
from streamsched.api.settings import Settings, load_settings
from streamsched.api.status import ChildStatus, TaskStatus, children_of, status_of
from streamsched.api.wiring import Installation
from streamsched.domain.events import Event, NodeBeat, TaskCancelRequested, TaskRequested
from streamsched.domain.ids import uuid7
from streamsched.domain.task import Task
from streamsched.domain.template import Template
from streamsched.log.codec import Undecodable, append_of, header
from streamsched.log.port import Record, TopicPartition
from streamsched.runtime.identity import Identity
from streamsched.view.follow import Follower
from streamsched.view.view import View, open_view

Progress = Callable[[int, int], None]


class NoSuchTask(Exception):
    """There is no task of this id in this log."""


class TaskConflict(InputError):
    """The task id is taken by a task with another template or other parameters."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submit: ``first`` is False where the task was there already."""

    task_id: str
    first: bool


class Client:
    """A connection to one installation. ``brokers`` empty: the embedded log in ``data_dir``.

    Use it as a context manager, from one thread.
    """

    def __init__(
        self,
        *,
        brokers: str | None = None,
        data_dir: Path | str | None = None,
        prefix: str | None = None,
        config: Path | str | None = None,
        settings: Settings | None = None,
        installation: Installation | None = None,
        on_progress: Progress = lambda done, total: None,
    ) -> None:
        if settings is None:
            settings = load_settings(
                Path(config) if config else None, brokers=brokers, data_dir=data_dir, prefix=prefix
            )
        self._borrowed = installation is not None
        self._site = installation or Installation(settings).discover()
        self._view: View | None = None
        self._on_progress = on_progress
        self._me: Identity = self._site.identity("client", f"{getpass.getuser()}@{socket.gethostname()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the view and the log."""
        if self._view is not None:
            self._view.close()
            self._view = None
        if not self._borrowed:
            self._site.close()

    # --- write ------------------------------------------------------------------------------------------------------

    def submit(
        self,
        template: Template | Path | str,
        params: Mapping[str, object] | None = None,
        *,
        task_id: str | None = None,
        priority: int = 0,
        origin: str = "submit",
    ) -> Submitted:
        """Request a task; durable on return. A given ``task_id`` makes it idempotent.

        Raises:
            InputError: the template or a parameter is wrong; nothing was written.
            TaskConflict: the id is taken by a different task.
            LogError: the log could not be written.

        """
        from streamsched.api.template_file import load_template, prepare

        path = None if isinstance(template, Template) else Path(template)
        loaded = template if isinstance(template, Template) else load_template(Path(template))
        prepared = prepare(loaded, params or {}, path)
        if task_id is not None:
            check_task_id(task_id)
        request = self._me.sign(
            TaskRequested,
            task_id=task_id or uuid7(self._me.clock.now()),
            template_name=loaded.name,
            template_version=prepared.version,
            template=prepared.template_json,
            params=prepared.params_json,
            priority=priority,
            origin=origin,
            traceparent=os.environ.get("TRACEPARENT"),
        )
        home = self._site.topics.journal_of(request.task_id)
        start = self._site.log.start([home])[home] if task_id else 0
        (offset,) = self._site.log.append(
            [append_of(self._site.codec, request, topic=home.topic, partition=home.partition, key=request.task_id,
                       traceparent=request.traceparent)]
        )  # fmt: skip
        if task_id is None:
            return Submitted(request.task_id, first=True)
        return self._compare(self._first_request(home, start, offset, request), request)

    def cancel(self, task_id: str, reason: str = "") -> None:
        """Ask for the end of a task. On the embedded log the running process is asked through its mailbox."""
        task = self._task(task_id)
        event = self._me.sign(
            TaskCancelRequested, task_id=task_id, redrive=task.redrive, reason=reason or f"cancelled by {self._me.name}"
        )
        home = self._site.topics.journal_of(task_id)
        record = append_of(
            self._site.codec, event, topic=home.topic, partition=home.partition, key=task_id,
            traceparent=task.request.traceparent,
        )  # fmt: skip
        if self._site.settings.brokers or self._borrowed:
            self._site.log.append([record])
        else:
            Mailbox(self._site.settings.data_dir).put(record)

    # --- read -------------------------------------------------------------------------------------------------------

    def status(self, task_id: str) -> TaskStatus:
        """Tell how a task stands now.

        Raises:
            NoSuchTask: it was never requested here.

        """
        return status_of(self._task(task_id))

    def tasks(self) -> list[TaskStatus]:
        """List all tasks, the youngest last."""
        view = self._folded(self._site.topics.journal())
        tasks = [task for task_id in view.task_ids() if (task := view.task(task_id))]
        return sorted((status_of(task) for task in tasks), key=lambda status: status.submitted_at)

    def children(self, task_id: str, state: str | None = None) -> Iterator[ChildStatus]:
        """Walk the children of a task in order, those in one state if it is given."""
        task = self._task(task_id)
        assert self._view is not None  # noqa: S101 - _task opened it
        return children_of(self._view, task, state)

    def results(self, task_id: str) -> Iterator[ChildStatus]:
        """Walk the children that succeeded, in order, with their results."""
        return self.children(task_id, "succeeded")

    def follow(self, task_id: str, interval: float = 0.1) -> Iterator[TaskStatus]:
        """Give the status of a task now and after each change, until it is done."""
        home = self._site.topics.journal_of(task_id)
        task = self._task(task_id)
        assert self._view is not None  # noqa: S101 - _task opened it
        follower = Follower(log=self._site.log, codec=self._site.codec, view=self._view, partitions=[home])
        try:
            yield status_of(task)
            while not task.terminal:
                if any(event for _, event in follower.poll(interval)):
                    task = self._view.task(task_id) or task
                    yield status_of(task)
        finally:
            follower.close()

    def wait(self, task_id: str, timeout: float | None = None) -> TaskStatus:
        """Wait until a task is done; after ``timeout`` seconds return its status as it is."""
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        for status in self.follow(task_id):
            if status.done or time.monotonic() >= deadline:
                return status
        raise AssertionError("follow ends with a task that is done")

    def history(
        self, task_id: str | None = None, *, until_position: int | None = None, until_time: int | None = None
    ) -> Iterator[tuple[Record, Event]]:
        """Replay the journal, of one task or of all, in order within each partition.

        ``until_position`` ends before that offset, ``until_time`` (milliseconds) after that time; records that
        cannot be decoded are left out.
        """
        topics = self._site.topics
        places = topics.journal() if task_id is None else [topics.journal_of(task_id)]
        ends = self._site.log.end(places)
        reader = self._site.log.reader()
        try:
            reader.assign(self._site.log.start(places))
            while any(reader.position(place) < ends[place] for place in places):
                for record in reader.poll(5_000, 0.2):
                    if record.offset >= ends[TopicPartition(record.topic, record.partition)]:
                        continue
                    if until_position is not None and record.offset >= until_position:
                        continue
                    if until_time is not None and record.timestamp > until_time:
                        continue
                    if task_id is not None and record.key != task_id.encode():
                        continue
                    try:
                        yield record, self._site.codec.decode(record)
                    except Undecodable:
                        continue
        finally:
            reader.close()

    def nodes(self) -> list[tuple[NodeBeat, int]]:
        """List the latest beat of each node that has not left, with its age in milliseconds."""
        place = TopicPartition(self._site.topics.workers, 0)
        end = self._site.log.end([place])[place]
        reader = self._site.log.reader()
        reader.assign(self._site.log.start([place]))
        beats: dict[bytes, NodeBeat] = {}
        while reader.position(place) < end:
            for record in reader.poll(1_000, 0.2):
                try:
                    beat = self._site.codec.decode(record) if record.value else None
                except Undecodable:
                    continue
                if isinstance(beat, NodeBeat):
                    beats[record.key or b""] = beat
                else:
                    beats.pop(record.key or b"", None)
        reader.close()
        now = self._me.clock.now()
        return [(beat, now - beat.at) for beat in sorted(beats.values(), key=lambda beat: (beat.role, beat.name))]

    def handler_of(self, task_id: str) -> str:
        """Tell which handler the children of a task run."""
        return self._task(task_id).template.child.handler

    # --- inside -----------------------------------------------------------------------------------------------------

    def _task(self, task_id: str) -> Task:
        task = self._folded([self._site.topics.journal_of(task_id)]).task(task_id)
        if task is None:
            raise NoSuchTask(f"no task {task_id!r} in {self._where()}; 'streamsched list' shows all")
        return task

    def _folded(self, places: list[TopicPartition]) -> View:
        """Fold what is new of these partitions into the view of this process."""
        if self._view is None:
            in_memory = self._borrowed
            self._view = (
                open_view(None, self._site.log.cluster_id, self._site.codec) if in_memory else self._site.view("client")
            )
        follower = Follower(log=self._site.log, codec=self._site.codec, view=self._view, partitions=places)
        follower.catch_up(self._on_progress)
        follower.close()
        return self._view

    def _first_request(self, home: TopicPartition, start: int, offset: int, own: TaskRequested) -> TaskRequested:
        """Read to our own record, looking at headers only, and find who made the task."""
        reader = self._site.log.reader()
        reader.assign({home: start})
        try:
            while True:
                for record in reader.poll(5_000, 0.2):
                    if record.key == own.task_id.encode() and header(record.headers, "event_type") == "TaskRequested":
                        event = self._site.codec.decode(record)
                        if isinstance(event, TaskRequested):
                            return event
                    if record.offset >= offset:
                        return own
        finally:
            reader.close()

    def _compare(self, first: TaskRequested, own: TaskRequested) -> Submitted:
        if (first.template, first.params) != (own.template, own.params):
            from streamsched.api.status import rfc3339

            what = "template" if first.template != own.template else "parameters"
            raise TaskConflict(
                f"task id {own.task_id!r} is taken: it was submitted at {rfc3339(first.at)} by {first.by} with another "
                f"{what} (template {first.template_name}, parameters {first.params})",
                "choose another --task-id",
            )
        return Submitted(own.task_id, first=first.event_id == own.event_id)

    def _where(self) -> str:
        settings = self._site.settings
        return f"the cluster {settings.brokers}" if settings.brokers else f"the embedded log in {settings.data_dir}"


def check_task_id(task_id: str) -> None:
    """Refuse ids that cannot be."""
    if not task_id or len(task_id) > 200 or "@" in task_id or any(ord(c) < 33 or c == "/" for c in task_id):
        raise InputError(
            f"{task_id!r} is no task id",
            "use 1 to 200 characters without spaces, '/' and '@' (kept for schedules)",
            field="task-id",
        )
