"""A task as it was: its records are folded up to a position of the journal, a piece at a time."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from streamsched.domain.events import OfTask, PartitionReset, TaskRequested
from streamsched.domain.task import Task
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable, header
from streamsched.log.event_reader import EventReader
from streamsched.log.port import Record
from streamsched.log.scan import records
from streamsched.view.view import View, open_view

MARGIN_MS: Final = 3_600_000
"""By how much the clock of who submitted may have been ahead of the log's."""
FLUSH_EVERY: Final = 20_000
"""Events between writes of the view."""
LOOK: Final = 256
"""Records between two looks at the clock."""


def begin_of(site: Installation, request: TaskRequested) -> int:
    """Return an offset of the journal before which there is nothing of a task. Raise LogError."""
    home = site.topics.journal_of(request.task_id)
    submitted = site.log.position_at([home], request.at - MARGIN_MS)[home]
    return max(site.log.start([home])[home], submitted)


class PastTask:
    """One task as it was at ``position``. It is folded further, never back."""

    def __init__(self, site: Installation, task: Task) -> None:
        self.task_id = task.task_id
        self._home, self._key = site.topics.journal_of(task.task_id), task.task_id.encode()
        self._folder = TemporaryDirectory(prefix="streamsched-past-")
        self._view = open_view(Path(self._folder.name) / "view", site.journal_id, site.codec)
        self._events = EventReader(site.codec, site.topics)
        self._unwritten = 0
        self.begin = self.position = begin_of(site, task.request)
        self.time = 0
        """When its latest event was written, in milliseconds."""

    @property
    def view(self) -> View:
        """What it is folded into."""
        return self._view

    @property
    def task(self) -> Task | None:
        """The task; None before it was requested."""
        return self._view.task(self.task_id)

    def go_on(self, site: Installation, end: int, seconds: float, most: int = 0) -> bool:
        """Fold up to ``end``, or to the first event of the task where that comes later and before ``most``.

        For so long at most; return whether that was reached. Raise LogError.
        """
        deadline, last = time.monotonic() + seconds, end if self.time else max(end, most)
        with closing(records(site.log, {self._home: self.position}, {self._home: last})) as found:
            for number, record in enumerate(found, 1):
                if self.time and record.offset >= end:
                    return True
                if record.key == self._key or header(record.headers, "event_type") == PartitionReset.__name__:
                    self._fold(record)
                self.position = record.offset + 1
                if number % LOOK == 0 and time.monotonic() > deadline:
                    return False
        self.position = max(self.position, last)
        return True

    def close(self) -> None:
        """Remove its folder."""
        self._view.close()
        self._folder.cleanup()

    def _fold(self, record: Record) -> None:
        try:
            event = self._events.journal(record)
        except Undecodable:  # every fold passes it over: positions behind a record that stops them are not asked for
            return
        if not isinstance(event, OfTask | PartitionReset):  # a schedule may have the same id
            return
        if self._view.apply(event, record.partition) is not None or self.time:
            self.time = record.timestamp
        self._unwritten += 1
        if self._unwritten >= FLUSH_EVERY or self._view.full:
            self._view.flush()
            self._unwritten = 0
