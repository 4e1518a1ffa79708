"""``run``: scheduler and worker in one process, for one task, until it is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from streamsched.api.client import Client
from streamsched.api.mailbox import Mailbox
from streamsched.api.status import TaskStatus, status_of
from streamsched.api.wiring import Installation
from streamsched.domain.task import Task
from streamsched.view.view import View
from streamsched.worker.pool import ExecutorPool

IDLE: Final = 0.01
"""Seconds that a turn waits for the executors when the log has no news."""
LOOK_EVERY: Final = 0.1
"""Seconds between two looks at the task and the mailbox."""


class Run:
    """A scheduler, a worker and a client over one log, in one thread."""

    def __init__(self, site: Installation, *, slots: int) -> None:
        self.site = site
        self.client = Client(settings=site.settings, installation=site)
        self._slots = slots
        self._stopping = False

    def stop(self) -> None:
        """End gracefully: what runs stops at its next checkpoint. Safe to call from a signal handler."""
        self._stopping = True

    def until_done(self, task_id: str, on_status: Callable[[TaskStatus], None]) -> TaskStatus:
        """Work until the task is done (or ``stop`` was called); ``on_status`` hears about ten times a second.

        Other tasks of this log that were not finished go on as well. What handlers print goes to
        ``output.log`` in the data folder.
        """
        scheduler = self.site.scheduler("run")
        view = scheduler.view
        output = os.open(self._output_path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        pool = ExecutorPool(self._slots, allow=self._modules(view, task_id), output_fd=output)
        os.close(output)
        worker = self.site.worker(pool, self._slots, "run")
        mailbox = Mailbox(self.site.settings.data_dir)
        next_look = 0.0
        task: Task | None = None
        try:
            while not (self._stopping or (task and task.terminal)):
                progress = scheduler.step(0.0)
                worker.step(0.0 if progress else IDLE)
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + LOOK_EVERY
                    for letter, record in mailbox.letters():
                        self.site.log.append([record])
                        letter.unlink()
                    if (task := view.task(task_id)) is not None:
                        on_status(status_of(task))
                elif task is not None:
                    task = view.task(task_id) or task
            worker.drain()
            while not worker.stopped:
                scheduler.step(0.0)
                worker.step(IDLE)
        finally:
            worker.stop()
            scheduler.stop()
        return self.client.status(task_id)

    def _modules(self, view: View, task_id: str) -> list[str]:
        """Allow what the templates of this task and of the unfinished ones name."""
        handlers = {task.template.child.handler for task in view.active.values()}
        handlers.add(self.client.handler_of(task_id))
        return sorted({handler.partition(":")[0] for handler in handlers})

    def _output_path(self) -> str:
        folder = self.site.settings.data_dir
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / "output.log")
