"""``run``: scheduler and worker in one process, for one task, until it is done."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from streamsched.api.client import Progress, user_name
from streamsched.api.mailbox import Mailbox
from streamsched.api.request import Submitted, Wanted, compare, first_request, make_request, record_of
from streamsched.api.settings import Settings
from streamsched.api.status import TaskStatus, status_of
from streamsched.api.wiring import Installation
from streamsched.domain.refusal import TemplateError
from streamsched.domain.template import Template
from streamsched.scheduler.node import Scheduler
from streamsched.view.follow import Follower
from streamsched.view.view import View
from streamsched.worker.node import Worker
from streamsched.worker.pool import ExecutorPool

IDLE: Final = 0.01
"""Seconds that a turn waits when neither the log nor the executors have news."""
LOOK_EVERY: Final = 0.1
"""Seconds between two looks at the task and the mailbox."""

log = logging.getLogger(__name__)


class Run:
    """A scheduler and a worker over one log, in one thread. Close it."""

    def __init__(self, settings: Settings, *, slots: int, on_progress: Progress = lambda done, total: None) -> None:
        """Open the log and fold its journal.

        Raises:
            LogUnreachable: another process has the embedded log, or no broker answers.

        """
        self._slots = slots
        self._stopping = False
        self._lent = False
        self._site = Installation(settings, write=True)
        try:
            self._site.discover()
            self._view: View = self._site.view("scheduler")
            self._fold(on_progress)
        except BaseException:
            self._site.close()
            raise

    def close(self) -> None:
        """Let go of the view and the log."""
        if not self._lent:
            self._view.close()
        self._site.close()

    def submit(self, wanted: Wanted) -> Submitted:
        """Request the task, unless it is there already. What was left in the mailbox goes before.

        Raises:
            TaskConflict: the id is taken by a different task.

        """
        self._open_letters()
        self._fold()
        own = make_request(self._site.identity("run", user_name()), wanted, "run")
        there = self._view.task(own.task_id)
        if there is not None:
            return compare(there.request, own)
        (offset,) = self._site.log.append([record_of(self._site, own, own.task_id, own.traceparent)])
        first = own if wanted.task_id is None else first_request(self._site, own, offset)
        self._fold()
        return compare(first, own)

    def status(self, task_id: str) -> TaskStatus:
        """Tell how a task stands that was submitted here."""
        task = self._view.task(task_id)
        assert task is not None, task_id  # noqa: S101 - submit folded its request
        return status_of(task)

    @property
    def output(self) -> Path:
        """Where the handlers' output goes."""
        return self._site.settings.data_dir / "output.log"

    def stop(self) -> None:
        """End gracefully: what runs stops at its next checkpoint. Safe to call from a signal handler."""
        self._stopping = True

    def until_done(self, task_id: str, on_status: Callable[[TaskStatus], None]) -> TaskStatus:
        """Work until the task is done (or ``stop`` was called); ``on_status`` hears about ten times a second.

        Other tasks of this log that were not finished go on as well.
        """
        with ExitStack() as stack:
            scheduler = self._site.scheduler("run", self._view)
            self._lent = True
            stack.callback(scheduler.stop)
            worker = self._worker(task_id)
            stack.callback(worker.stop)
            self._work(scheduler, worker, task_id, on_status)
            worker.drain()
            while not worker.stopped:
                if not (scheduler.step(0.0) | worker.step(IDLE)):
                    time.sleep(IDLE)
            return self.status(task_id)

    def _work(
        self, scheduler: Scheduler, worker: Worker, task_id: str, on_status: Callable[[TaskStatus], None]
    ) -> None:
        next_look = 0.0
        while not self._stopping:
            # The embedded log answers at once where it has nothing: whoever waits, waits here.
            if not (scheduler.step(0.0) | worker.step(IDLE)):
                time.sleep(IDLE / 10)
            task = self._view.active.get(task_id)
            if task is None:
                break
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_EVERY
                self._open_letters()
                on_status(status_of(task))
        on_status(self.status(task_id))

    def _open_letters(self) -> None:
        for letter, record in Mailbox(self._site.settings.data_dir).letters():
            self._site.log.append([record])
            letter.unlink()

    def _worker(self, task_id: str) -> Worker:
        """Build a worker that may run what this task's template, the unfinished ones and the schedules name."""
        handlers = {task.template.child.handler for task in self._view.active.values()}
        for schedule in self._view.schedules.values():
            with suppress(TemplateError):
                handlers.add(Template.from_json(schedule.now.body.template).child.handler)
        modules = sorted({handler.partition(":")[0] for handler in handlers})
        self.output.parent.mkdir(parents=True, exist_ok=True)
        output = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            pool = ExecutorPool(self._slots, allow=modules, output_fd=output, output_path=self.output)
        finally:
            os.close(output)
        return self._site.worker(pool, self._slots, "run")

    def _fold(self, on_progress: Progress = lambda done, total: None) -> None:
        site = self._site
        follower = Follower(log=site.log, topics=site.topics, codec=site.codec, view=self._view)
        try:
            follower.catch_up(self._site.topics.journal(), on_progress)
        finally:
            follower.close()
