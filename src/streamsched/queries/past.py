"""What has happened to a task, from the journal in one pass: who did what, counts of events, endings over time.

Only the few events that people and schedulers write of a whole task are decoded; of the others the headers are read.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, ClassVar, Final, Self

from msgspec.structs import replace

from streamsched.audit.document import document
from streamsched.audit.event_lines import event_of
from streamsched.domain import events as e
from streamsched.domain.task import Task
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable, header
from streamsched.log.event_reader import EventReader
from streamsched.log.port import Record
from streamsched.log.scan import records
from streamsched.queries.documents import Document
from streamsched.queries.past_task import begin_of

STEPS: Final = {
    each.__name__
    for each in (
        e.TaskRequested, e.TaskRefused, e.TaskPlanned, e.TaskPaused, e.TaskLimitsChanged, e.TaskCancelRequested,
        e.TaskRedriven, e.TimerFired, e.TaskSucceeded, e.TaskFailed, e.TaskCancelled,
    )
}  # fmt: skip
_OF_SCHEDULES: Final = {each.__name__ for each in e.OF_SCHEDULE}
"""A schedule may have the same id."""
ENDINGS: Final = {"ChildCompleted": 0, "ChildFailed": 1, "ChildCancelled": 2}
FIRST, LAST = 20, 180
"""Steps that are kept from the beginning, and from the end."""
SPANS: Final = 200
"""Spans of time at most."""
READ_S: Final = 60.0
"""How long the journal is read."""
_LOOK: Final = 250
"""Records between two looks at the clock."""


class Step:
    """An event of a whole task, without its template, and where it stands."""

    schema: ClassVar = {"type": "object"}

    def __init__(self, offset: int, event: e.Event) -> None:
        self.offset = offset
        self.event = event

    def shown(self) -> dict[str, Any]:
        """Return it as histories have it, without its topic and partition."""
        return {"event": type(self.event).__name__, "offset": self.offset, **document(self.event)}

    @classmethod
    def read(cls, shown: dict[str, Any]) -> Self:
        """Read what ``shown`` wrote. Raise ValueError."""
        try:
            return cls(int(shown["offset"]), event_of(shown))
        except (LookupError, TypeError) as error:
            raise ValueError(f"not an event ({error!r})") from None


class Span(Document, frozen=True):
    """Attempts that ended in a span of time, by their outcomes; ``begin`` is milliseconds since the epoch."""

    begin: int
    completed: int
    failed: int
    cancelled: int


class Past(Document, frozen=True, kw_only=True):
    """What has happened to a task."""

    steps: tuple[Step, ...]
    left_out: int
    """Steps in the middle that are not among them."""
    counts: dict[str, int]
    """Records by the kind of their event."""
    spans: tuple[Span, ...]
    width_ms: int
    """How long each span is."""
    partition: int
    position: int
    """The next offset that was not read."""
    complete: bool
    """Whether all was read up to the end: not where that took longer than READ_S."""


class Timeline:
    """Counts by time, in at most SPANS spans: they become twice as wide where more would be needed."""

    def __init__(self) -> None:
        self.width_ms = 1_000
        self._spans: dict[int, list[int]] = {}

    def add(self, at: int, kind: int) -> None:
        """Count one; ``at`` is in milliseconds."""
        span = self._spans.get(at // self.width_ms)
        if span is None:
            span = self._spans.setdefault(at // self.width_ms, [0, 0, 0])
            while max(self._spans) - min(self._spans) >= SPANS:
                self._widen()
                span = self._spans.setdefault(at // self.width_ms, [0, 0, 0])
        span[kind] += 1

    def spans(self) -> tuple[Span, ...]:
        """Return the spans from the first to the last, empty ones too."""
        if not self._spans:
            return ()
        numbers = range(min(self._spans), max(self._spans) + 1)
        return tuple(Span(number * self.width_ms, *self._spans.get(number, (0, 0, 0))) for number in numbers)

    def _widen(self) -> None:
        self.width_ms *= 2
        joined: dict[int, list[int]] = {}
        for number, counts in self._spans.items():
            kept = joined.setdefault(number // 2, [0, 0, 0])
            kept[:] = [one + more for one, more in zip(kept, counts, strict=True)]
        self._spans = joined


class PastReader:
    """Reads what has happened to a task, before an offset if one is given. Events that are not ``shown`` are no steps.

    Up to where the journal was folded no open transaction holds it up.
    """

    def __init__(
        self, task: Task, shown: Callable[[e.Event], bool] = lambda event: True, end: int | None = None
    ) -> None:
        self._task = task
        self._end = end
        self._shown = shown
        self._first: list[Step] = []
        self._last: deque[Step] = deque(maxlen=LAST)
        self._steps = 0
        self._counts: Counter[str] = Counter()
        self._timeline = Timeline()
        self._partition = self._position = 0
        self._complete = False

    def read(self, site: Installation) -> Generator[None, None, None]:
        """Read up to the end, that of the journal as it is now if none was given; stop now and then. Raise LogError."""
        home, key = site.topics.journal_of(self._task.task_id), self._task.task_id.encode()
        ends = site.log.end([home]) if self._end is None else {home: self._end}
        begin = begin_of(site, self._task.request)
        reader = EventReader(site.codec, site.topics)
        self._partition, self._position = home.partition, begin
        with closing(records(site.log, {home: begin}, ends)) as found:
            for number, record in enumerate(found, 1):  # not by offsets: markers of transactions take some
                if number % _LOOK == 0:
                    self._position = record.offset
                    yield
                if record.key == key:
                    self._take(reader, record)
        self._position, self._complete = ends[home], True

    def past(self) -> Past:
        """Return what was found so far."""
        return Past(
            steps=(*self._first, *self._last),
            left_out=self._steps - len(self._first) - len(self._last),
            counts=dict(self._counts.most_common()),
            spans=self._timeline.spans(),
            width_ms=self._timeline.width_ms,
            partition=self._partition,
            position=self._position,
            complete=self._complete,
        )

    def _take(self, reader: EventReader, record: Record) -> None:
        kind = header(record.headers, "event_type") or "?"
        if kind in _OF_SCHEDULES:
            return
        self._counts[kind] += 1
        if kind in ENDINGS:
            self._timeline.add(record.timestamp, ENDINGS[kind])
        elif kind in STEPS and (event := _decoded(reader, record)) is not None and self._shown(event):
            self._steps += 1
            (self._first if self._steps <= FIRST else self._last).append(Step(record.offset, event))


def past_of(site: Installation, task: Task) -> Past:
    """Read what has happened to a task, for READ_S at most. Raise LogError."""
    reader, deadline = PastReader(task), time.monotonic() + READ_S
    with closing(reader.read(site)) as steps:
        for _ in steps:
            if time.monotonic() > deadline:
                break
    return reader.past()


def _decoded(reader: EventReader, record: Record) -> e.Event | None:
    try:
        event = reader.journal(record)
    except Undecodable:
        return None
    return replace(event, template="") if isinstance(event, e.TaskRequested) else event
