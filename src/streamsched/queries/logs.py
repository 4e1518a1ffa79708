"""What the handlers of a task have printed, from wherever its log keeps it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Final

from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.installation.site import Installation
from streamsched.log.port import NotAllowed, TopicMismatch
from streamsched.queries.documents import Document, millis_of
from streamsched.queries.failed_output import failed_output
from streamsched.queries.output import Printed, parts_of
from streamsched.queries.relayed import Relayed
from streamsched.queries.status import TaskStatus, status_of
from streamsched.queries.tasks import Tasks
from streamsched.queries.why import child_named

PART: Final = 100
LATE_S: Final = 3.0
"""How long after the end of a task its last lines may come, where workers relay them once a second."""

logger = logging.getLogger(__name__)


class LogLine(Document, frozen=True):
    """A line that a handler has printed; ``child`` is its number, ``split`` or ``reduce``.

    ``tail``: only the end of what this attempt printed is kept, for it failed.
    """

    time: str
    child: str
    attempt: int
    text: str
    tail: bool = False


class Logs:
    """The lines of a task, or of one child of it, in passes: what is there, then what has come. Close it."""

    def __init__(self, site: Installation, task: Task, child: str | None, *, follow: bool) -> None:
        self._site, self._task, self._child, self._follow = site, task, child, follow
        self._source: Printed | Relayed | None = None
        self._told = False
        self._until = float("inf")
        self.over = False
        """Whether the last pass was made."""
        try:
            if site.settings.brokers:
                self._source = Relayed(site, task.task_id, child, task.request.at)
            else:
                self._source = Printed(site.settings.data_dir / "output.log", task.task_id, child)
        except (TopicMismatch, NotAllowed) as error:
            logger.warning("only the ends of what failed attempts printed can be shown: %s", error)

    def read(self, status: TaskStatus) -> Iterator[LogLine]:
        """Make a pass, given the status of the task now; the last one some time after its end, or without ``follow``.

        Where nothing at all was kept of it on Kafka, the last pass yields the ends of failed attempts.
        """
        if status.done and self._until == float("inf"):
            self._until = time.monotonic() + self._late_s(status)
        is_last = self._source is None or time.monotonic() >= self._until or not (status.done or self._follow)
        for line in () if self._source is None else self._source.read():
            self._told = True
            yield LogLine(*parts_of(line))
        if is_last and self._site.settings.brokers and not self._told:
            for line in failed_output(self._site, self._task, self._child):
                yield LogLine(*parts_of(line), tail=True)
        self.over = is_last

    def close(self) -> None:
        """Close what it reads from."""
        if self._source is not None:
            self._source.close()

    def _late_s(self, status: TaskStatus) -> float:
        """Return for how long lines of a task that has ended may still come: workers relay them once a second."""
        if not self._site.settings.brokers:
            return 0.0
        gone = (self._site.clock.now() - millis_of(status.finished_at or status.submitted_at)) / 1000
        return min(LATE_S, max(0.0, LATE_S - gone))


def check_child(task: Task, child: str | None) -> None:
    """Raise InputError for a child that a planned task does not have."""
    if child is not None and task.children:
        child_named(task, child)


def log_parts(session: Session, task_id: str, child: str | None, *, follow: bool) -> Iterator[list[LogLine]]:
    """Yield lines, some at a time; an empty part where it is time to wait a moment. Raise NoSuchTask, InputError."""
    tasks = Tasks(session)
    task = tasks.find(task_id)
    check_child(task, child)
    with closing(Logs(session.site, task, child, follow=follow)) as found:
        while not found.over:
            lines = found.read(status_of(tasks.find(task_id)))
            while part := list(islice(lines, PART)):
                yield part
            if not found.over:
                yield []
