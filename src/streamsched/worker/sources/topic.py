"""The records of a topic: where a split child cuts its partitions, and what a child reads of a span.

Only offsets say where a span ends: aborted records and the markers of transactions take some too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from streamsched.domain.options import InputFile
from streamsched.domain.splitters.topic import EARLIEST, FORMAT, LATEST
from streamsched.log.adapter import LogAdapter
from streamsched.log.port import Headers, Log, PositionLost, Record, TopicMismatch, TopicPartition, TopicSpec
from streamsched.log.scan import StallDetector
from streamsched.worker.context import InputRecords
from streamsched.worker.errors import NonRetryable
from streamsched.worker.sources.errors import (
    CompactedTopic,
    InputChanged,
    InputEmpty,
    InputMissing,
    SourceGone,
)

BATCH: Final = 2_000
"""Records taken from the reader at once."""
POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """A record of a topic, as it was committed. ``time`` is the record's own, in UTC."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int
    offset: int
    time: datetime


# --- the split child ---

Bounds = dict[str, Any]
"""What is found once, as JSON: ``id`` of the topic, and ``partitions``, each ``[number, from, to]``."""


def freeze(log: LogAdapter, wanted: Mapping[str, Any]) -> Bounds:
    """Find out what the task is to read: from then on the children are certain. Raise InputMissing, CompactedTopic."""
    name: str = wanted["name"]
    try:
        places = [TopicPartition(name, number) for number in range(log.partitions(name))]
        topic_id = log.topic_id(name)
    except TopicMismatch as error:
        raise InputMissing(f"topic {name} cannot be read: {error}") from None
    if log.check_topics([TopicSpec(name, len(places), {"cleanup.policy": "delete"})]):
        raise CompactedTopic(f"topic {name} is compacted: its offsets do not tell what it has lost")
    stable, first = log.stable_end(places), log.start(places)
    begin = first if wanted["begin"] == EARLIEST else log.position_at(places, wanted["begin"])
    end = stable if wanted["end"] == LATEST else log.position_at(places, wanted["end"])
    spans = [
        (place.partition, max(first[place], min(begin[place], stable[place])), min(end[place], stable[place]))
        for place in places
    ]
    found = [[number, start, stop] for number, start, stop in spans if start < stop]
    if not (found or wanted["empty"]):
        raise InputEmpty(f"topic {name} has no record between {wanted['begin']} and {wanted['end']}")
    return {"id": topic_id, "partitions": found}


def spans(name: str, size: int, bounds: Bounds, done: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the entries of frozen bounds, behind the first ``done`` of them."""
    for number, start, stop in bounds["partitions"]:
        count = -(-(stop - start) // size)
        skipped = min(done, count)
        done -= skipped
        for first in range(start + skipped * size, stop, size):
            end = min(first + size, stop)
            at = {
                "path": f"{name}/{number}", "size": stop, "tag": bounds["id"], "start": first, "end": end,
                "format": FORMAT, "verify": False,
            }  # fmt: skip
            yield {"inputs": [at], "weight": end - first}


# --- a child ---


class SpanRecords(InputRecords):
    """The records of a span, from ``offset`` on; ``alive`` is called with each poll, and each record is a safe point.

    Raise InputMissing, InputChanged where it is another topic, SourceGone where records were deleted, LogError.
    """

    def __init__(self, log: Log, span: InputFile, offset: int | None, alive: Callable[[], None]) -> None:
        if offset is not None and not span.start <= offset <= span.end:
            raise NonRetryable(
                f"the last checkpoint has the offset {offset:,}, which this child of {span.path} has not"
            )
        topic, _, number = span.path.rpartition("/")
        self._log = log
        self._span = span
        self._place = TopicPartition(topic, int(number))
        self._alive = alive
        self._reader = log.reader()
        self._batch: Iterator[Record] = iter(())
        self.offset = span.start
        try:
            self.seek(span.start if offset is None else offset)
        except BaseException:
            self._reader.close()
            raise

    def seek(self, done: int) -> None:
        """Go on at this offset; before the span, at its start: ``resume`` begins at 0."""
        done = max(done, self._span.start)
        self._check(done)
        self.offset = done
        self._batch = iter(())
        self._reader.assign({self._place: done})
        self._stall = StallDetector(self._log, {self._place: self._span.end}, self._reader.position)

    def place(self, done: int) -> int:
        """Return the offset behind the last record."""
        return self.offset

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()

    def __next__(self) -> TopicRecord:
        end = self._span.end
        record = next(self._batch, None)
        while record is None and self._reader.position(self._place) < end:
            record = self._poll()
        if record is None or record.offset >= end:
            self.offset = end
            raise StopIteration
        self.offset = record.offset + 1
        return TopicRecord(
            record.key, record.value, record.headers, record.partition, record.offset, _time(record.timestamp)
        )

    def _poll(self) -> Record | None:
        self._alive()
        try:
            self._batch = iter(self._reader.poll(BATCH, POLL_S))
        except PositionLost:
            self._check(self._reader.position(self._place))
            raise
        self._stall.check()
        return next(self._batch, None)

    def _check(self, begin: int) -> None:
        place, span = self._place, self._span
        try:
            known = self._log.topic_id(place.topic)
        except TopicMismatch as error:
            raise InputMissing(f"topic {place.topic} cannot be read: {error}") from None
        where = f"topic {place.topic}, partition {place.partition}"
        if known != span.tag:
            raise InputChanged(f"topic {place.topic} is not the one that was split: it was made anew since")
        first, end = self._log.start([place])[place], self._log.end([place])[place]
        if first > begin and begin < span.end:
            raise SourceGone(f"{where}: offset {begin} is deleted, it begins at {first}")
        if end < span.end:
            raise InputChanged(f"{where} ends at {end}, and reached {span.end} when the task was split")


def _time(millis: int) -> datetime:
    """Return a record's time; its writer may have set any."""
    try:
        return datetime.fromtimestamp(millis / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime(9999 if millis > 0 else 1, 1, 1, tzinfo=UTC)
