"""``run`` and ``up``: scheduler and worker in one process, until one task has ended or until stopped."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from streamsched.commands.request import (
    AnyTemplate,
    Submitted,
    Wanted,
    compare,
    first_requests,
    make_request,
    record_of,
    want,
)
from streamsched.domain.refusal import TemplateError
from streamsched.domain.routing import (
    EVERYTHING,
    EVERYWHERE,
    PATTERNS_LIMIT,
    PLAIN,
    Place,
    problem_of_pattern,
    requirement_of,
)
from streamsched.domain.task import Task
from streamsched.domain.template import Template
from streamsched.hosting import lookup, wiring
from streamsched.hosting.relaying import place_of_copy, relaying
from streamsched.hosting.watch import UNSEEN, Watch
from streamsched.installation.mailbox import Mailbox
from streamsched.installation.settings import Settings, load_settings
from streamsched.installation.site import Progress, user_name
from streamsched.installation.writing import Tenure, open_to_work
from streamsched.log.port import LogError, TopicPartition
from streamsched.queries.eta import FollowedEta
from streamsched.queries.status import TaskStatus, status_of
from streamsched.runtime.service import serve
from streamsched.scheduler.node import Scheduler
from streamsched.view.follow import Follower
from streamsched.view.view import View
from streamsched.worker import telemetry
from streamsched.worker.devices import Devices
from streamsched.worker.node import Worker, WorkerTiming
from streamsched.worker.pool import ExecutorPool

IDLE_WAIT_S: Final = 0.01
"""How long a turn waits for the log and the executors."""
NO_TASK_WAIT_S: Final = 0.05
LOOK_EVERY_S: Final = 0.1
"""Between two looks at the task and the mailbox."""
TRIM_EVERY_S: Final = 60.0
BEATS_KEPT_MS: Final = 600_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A scheduler and a worker that take turns as one node."""

    scheduler: Scheduler
    worker: Worker
    stop: Callable[[], None]

    @property
    def stopped(self) -> bool:
        return self.worker.stopped

    def step(self, timeout: float) -> bool:
        # The embedded log answers at once when it has nothing, so the turn waits here.
        happened = self.scheduler.step(0.0) | self.worker.step(timeout)
        if not happened:
            time.sleep(timeout / 10 if self.scheduler.view.active else NO_TASK_WAIT_S)
        return happened


class Run:
    """A scheduler and a worker over one log, in one thread. Close it."""

    def __init__(
        self,
        settings: Settings,
        *,
        slots: int,
        command: str = "run",
        allow: Sequence[str] = (),
        drain: float = WorkerTiming().drain,
        reuse: int = 0,
        devices: Devices | None = None,
        on_progress: Progress = lambda done, total: None,
        watch: Watch = UNSEEN,
    ) -> None:
        """Open the log and fold its journal.

        Args:
            settings: where the log is.
            slots: how many children run at once.
            command: the name of the nodes, also in messages to other processes of this folder.
            allow: patterns of modules and programs that may run; by default all that templates in this log name.
            reuse: children after which an executor is replaced; 0: never.
            devices: those of the slots.
            drain: seconds that running children have to stop.
            on_progress: called with the numbers of folded records and of all.
            watch: what the outside sees of its nodes.

        Raise LogUnreachable if another process has the embedded log, or no broker answers.
        """
        self._slots = slots
        self._reuse = reuse
        self._devices = devices
        self._command = command
        self._allow = allow
        self._drain = drain
        self._watch = watch
        self._stops = 0
        self._lent = False
        self._next_look = 0.0
        self._trim_at = 0.0
        with ExitStack() as stack:
            if not settings.brokers:
                tenure = Tenure(settings, command)
                stack.callback(tenure.close)
            self._site = open_to_work(settings)
            stack.callback(self._site.close)
            self._site.discover()
            self._view: View = self._site.view("scheduler")
            self._fold(on_progress)
            self._opened = stack.pop_all()

    def close(self) -> None:
        """Close the view and the log."""
        if not self._lent:
            self._view.close()
        self._opened.close()

    def submit(self, wanted: Wanted) -> Submitted:
        """Request the task, unless it exists, after all requests in the mailbox. Raise TaskConflict."""
        self._append_requests()
        self._fold()
        own = make_request(self._site.identity("run", user_name()), wanted, "run")
        there = self._view.task(own.task_id)
        if there is not None:
            return compare(there.request, own)
        (offset,) = self._site.log.append([record_of(self._site, own, own.task_id, own.traceparent)])
        first = own if wanted.task_id is None else first_requests(self._site, [(own, offset)])[own.task_id]
        self._fold()
        return compare(first, own)

    def status(self, task_id: str) -> TaskStatus:
        """Return the status of a task that was submitted here."""
        return status_of(self._task(task_id), self._site.clock.now())

    def _task(self, task_id: str) -> Task:
        task = self._view.task(task_id)
        assert task is not None, task_id  # noqa: S101 - submit folded its request
        return task

    def ended(self, task_id: str) -> bool:
        """Return whether a task has its terminal event, so that nothing is left to do about it."""
        return task_id not in self._view.active

    @property
    def output(self) -> Path:
        """The file of the handlers' output."""
        return self._site.settings.data_dir / "output.log"

    def stop(self) -> None:
        """Stop children at their next checkpoint; called again, at once. Safe to call from a signal handler."""
        self._stops += 1

    def until_done(self, task_id: str, on_status: Callable[[TaskStatus], None]) -> TaskStatus:
        """Work on all tasks until this one has ended or ``stop`` is called; calls ``on_status`` ten times a second."""
        status, eta = self.status(task_id), FollowedEta()

        def look() -> None:
            nonlocal status
            task, now = self._task(task_id), self._site.clock.now()
            status = status_of(task, now)
            on_status(replace(status, eta=eta(self._view, task, status.eta, now)))

        self._serve(lambda: self.ended(task_id), look, task_id)
        return status

    def until_stopped(self, on_ready: Callable[[], None]) -> None:
        """Work on all tasks and schedules until ``stop`` is called; calls ``on_ready`` at the beginning."""
        told = False

        def look() -> None:
            nonlocal told
            if not told:
                told = True
                on_ready()

        self._serve(lambda: False, look)

    def _serve(self, ended: Callable[[], bool], on_look: Callable[[], None], task_id: str = "") -> None:
        """Take turns until the end, then drain the worker."""
        with ExitStack() as stack:
            scheduler = wiring.scheduler(self._site, self._command, self._view)
            self._lent = True
            stack.callback(scheduler.stop)
            copy = place_of_copy(self._site)
            worker = self._worker(task_id, copy)
            stack.callback(worker.stop)
            self._watch.scheduler(scheduler, self._site.clock.now)
            self._watch.worker(worker)
            drains = 0

            def look() -> None:
                nonlocal drains
                asked = max(self._stops, int(drains > 0 or ended()))
                if asked and not drains:
                    on_look()
                if drains < asked:
                    worker.drain()
                    drains += 1
                self._look((lambda: None) if drains else on_look)
                self._watch.measure(self._site, scheduler)
                if worker.stopped:
                    on_look()

            with relaying(self._site.settings, copy) as services:  # not on the stack, which the pair closes
                serve(_Pair(scheduler, worker, stack.close), services, on_turn=look, timeout=IDLE_WAIT_S)

    def _look(self, on_look: Callable[[], None]) -> None:
        """Do what is due several times a second."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        self._append_requests()
        on_look()
        if now >= self._trim_at:
            self._trim_at = now + TRIM_EVERY_S
            self._trim_beats()

    def _append_requests(self) -> None:
        if not self._site.settings.brokers:
            Mailbox(self._site.settings.data_dir).empty(self._site.log)

    def _trim_beats(self) -> None:
        """Delete old beats: the embedded log does not compact."""
        if self._site.settings.brokers:
            return
        place = TopicPartition(self._site.topics.workers, 0)
        since = self._site.clock.now() - BEATS_KEPT_MS
        try:
            self._site.log.delete_before(self._site.log.position_at([place], since))
        except LogError as error:
            logger.warning("old beats were not deleted: %s", error)

    def _worker(self, task_id: str, copy: Path | None) -> Worker:
        """Build the worker. What it may not run fails if it is of its own task; else it waits for another worker."""
        allow = self._allow or self._named(task_id)
        outlet = lookup.outlet(self._site)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        output = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            telemetry.check()
            pool = ExecutorPool(
                self._slots, allow=allow, output_fd=output, output_path=self.output, reuse=self._reuse,
                plan_limit=self._site.settings.plan_limit, journal=partial(wiring.journal, self._site),
                devices=self._devices, outlet=outlet, copy_path=copy,
            )  # fmt: skip
        finally:
            os.close(output)
        modules = None if EVERYTHING in allow else allow
        return wiring.worker(
            self._site, pool, self._slots, self._command, WorkerTiming(drain=self._drain), modules=modules,
            own=frozenset({task_id}), outlet=outlet, place=self._place(task_id),
        )  # fmt: skip

    def _place(self, task_id: str) -> Place:
        """Return where the worker stands: for all that is in the embedded log; else also for its own task."""
        if not self._site.settings.brokers:
            return EVERYWHERE
        task = self._view.active.get(task_id)
        if task is None:
            return PLAIN
        template = task.template
        stages = [template.child] if template.reduce is None else [template.child, template.reduce]
        needs = dict.fromkeys(need for stage in stages for need in stage.needs)
        return Place(("", template.queue) if template.queue else (), tuple(needs))

    def _named(self, task_id: str) -> Sequence[str]:
        """Return what templates in this log name as code; on Kafka, where others write too, only those of now."""
        if not self._site.settings.brokers:
            return [EVERYTHING]
        handlers = {handler for task in self._view.active.values() for handler in task.template.handlers}
        for schedule in self._view.schedules.values():
            with suppress(TemplateError):
                handlers.update(Template.from_json(schedule.now.body.template).handlers)
        names = {requirement_of(handler).module for handler in handlers}
        task = self._view.active.get(task_id)
        own = set() if task is None else {requirement_of(handler).module for handler in task.template.handlers}
        known = sorted(
            (name for name in names if problem_of_pattern(name) is None), key=lambda name: (name not in own, name)
        )
        return known[:PATTERNS_LIMIT]

    def _fold(self, on_progress: Progress = lambda done, total: None) -> None:
        site = self._site
        follower = Follower(log=site.log, topics=site.topics, codec=site.codec, view=self._view)
        try:
            follower.catch_up(self._site.topics.journal(), on_progress)
        finally:
            follower.close()


def run(
    template: AnyTemplate,
    params: Mapping[str, object] | None = None,
    *,
    task_id: str | None = None,
    priority: int = 0,
    labels: Mapping[str, str] | None = None,
    slots: int = 1,
    brokers: str | None = None,
    data_dir: Path | str | None = None,
    on_status: Callable[[TaskStatus], None] = lambda status: None,
) -> TaskStatus:
    """Submit a task and work on it in this process until it has ended, as ``streamsched run`` does; returns its status.

    Raise InputError, with nothing written; TaskConflict if the id is taken by a different task; LogUnreachable if
    another process has the embedded log, or no broker answers.
    """
    wanted = want(template, params, task_id=task_id, priority=priority, labels=labels)
    return work_on(wanted, load_settings(brokers=brokers, data_dir=data_dir), slots=slots, on_status=on_status)[1]


def work_on(
    wanted: Wanted, settings: Settings, *, slots: int, on_status: Callable[[TaskStatus], None] = lambda status: None
) -> tuple[Submitted, TaskStatus]:
    """Submit a task and work on it in this process until it has ended, as ``run`` does."""
    working = Run(settings, slots=slots)
    try:
        submitted = working.submit(wanted)
        before = working.status(submitted.task_id)
        ended = working.ended(submitted.task_id)
        return submitted, before if ended else working.until_done(submitted.task_id, on_status)
    finally:
        working.close()
