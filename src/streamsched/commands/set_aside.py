"""Set aside a record of an unknown schema, by a person's decision that it is rubbish."""

from __future__ import annotations

from typing import Final, NamedTuple

from streamsched.domain.errors import InputError, not_text
from streamsched.domain.events import RecordSetAside
from streamsched.domain.validation import validate
from streamsched.installation.session import Session
from streamsched.installation.site import Installation
from streamsched.installation.writing import write
from streamsched.log.codec import Undecodable, UnknownSchema, headers_of
from streamsched.log.event_reader import EventReader
from streamsched.log.port import Append, PositionLost, TopicPartition
from streamsched.log.scan import records
from streamsched.queries.dead_letters import topic_named
from streamsched.queries.documents import Document

NAMES: Final = ("journal", "work-log")
"""What the two topics are called whose records can be set aside."""


class Decided(Document, frozen=True, kw_only=True):
    """The decision that a record is rubbish, by whom and at what time (milliseconds); made ``before``, or now."""

    topic: str
    partition: int
    offset: int
    reason: str
    at: int
    by: str
    before: bool


def set_aside(session: Session, partition: int, offset: int, reason: str, *, topic: str = NAMES[0]) -> Decided:
    """Write that the record at this offset of the journal or the work log is rubbish; durable on return.

    Raise InputError, with nothing written, for an unknown record or one whose schema is known. Raise LogError.
    """
    place = place_of(session.site, partition, offset, topic)
    check_reason(place, reason)
    return decision(session.site, place) or decide(session, place, reason)


class RecordPlace(NamedTuple):
    """Where a record lies, in words too."""

    place: TopicPartition
    offset: int

    @property
    def source(self) -> str:
        """Name it."""
        return f"{self.place.topic}-{self.place.partition} offset {self.offset}"


def place_of(site: Installation, partition: int, offset: int, topic: str) -> RecordPlace:
    """Return where a record of the journal or the work log lies. Raise InputError."""
    topics = site.topics
    names = dict(zip(NAMES, (topics.events, topics.children), strict=True))
    name = names.get(topic) or topic_named(topics, topic)
    if name not in names.values():
        raise InputError(f"no record of {name} stops a partition", f"choose {' or '.join(NAMES)}", source="--topic")
    places = topics.journal() if name == topics.events else topics.work_log()
    if not 0 <= partition < len(places):
        raise InputError(f"topic {name} has no partition {partition}", f"it has 0 to {len(places) - 1}")
    return RecordPlace(places[partition], offset)


def check_reason(record: RecordPlace, reason: str) -> None:
    """Raise InputError where there is no reason."""
    if not reason.strip():
        raise InputError("a reason is missing", "say with --reason why it is rubbish", source=record.source)


def decision(site: Installation, record: RecordPlace) -> Decided | None:
    """Return the decision about a record, if there is one already: all behind it is read for that.

    Raise InputError for a record that this version reads, or whose schema is not the problem; LogError.
    """
    try:
        _check(site, record)
        known = _decision(site, record)
    except PositionLost:  # it was settled and deleted meanwhile
        raise _none(record.source) from None
    return None if known is None else _decided(record, known, before=True)


def decide(session: Session, record: RecordPlace, reason: str) -> Decided:
    """Write the decision about a record that was looked at; durable on return. Raise InputError, LogError."""
    place = record.place
    event = session.me.sign(RecordSetAside, partition=place.partition, offset=record.offset, reason=reason)
    try:
        value = session.site.codec.encode(event)
    except UnicodeEncodeError as error:
        raise not_text(error) from None
    if problem := validate(event):
        raise InputError(problem, "correct it", source=record.source)
    write(session.site, Append(*place, None, value, headers_of(event)))
    return _decided(record, event, before=False)


def _decided(record: RecordPlace, event: RecordSetAside, *, before: bool) -> Decided:
    return Decided(
        topic=record.place.topic, partition=event.partition, offset=event.offset, reason=event.reason, at=event.at,
        by=event.by, before=before,
    )  # fmt: skip


def _none(source: str) -> InputError:
    return InputError("there is no record", "take its place from the message that names it", source=source)


def _check(site: Installation, record: RecordPlace) -> None:
    """Raise InputError for a record that this version reads, or whose schema is not the problem."""
    (place, offset), source = record, record.source
    starts, ends = site.log.start([place]), site.log.end([place])
    inside = starts[place] <= offset < ends[place]
    found = list(records(site.log, {place: offset}, {place: offset + 1})) if inside else []
    if not found:
        raise _none(source)
    event_reader = EventReader(site.codec, site.topics)
    read = event_reader.journal if place.topic == site.topics.events else event_reader.work
    try:
        event = read(found[0])
    except UnknownSchema:
        return
    except Undecodable as error:
        reason = f"it is not an event, and is set aside by itself ({error})"
        raise InputError(reason, "'streamsched dead-letters' shows it", source=source) from None
    reason = f"it is a {type(event).__name__}, which this version reads"
    raise InputError(reason, "only a record of an unknown schema can be set aside", source=source)


def _decision(site: Installation, at: RecordPlace) -> RecordSetAside | None:
    """Return the decision about this record, if there is one already."""
    place, offset = at
    event_reader = EventReader(site.codec, site.topics)
    read = event_reader.journal if place.topic == site.topics.events else event_reader.work
    for record in records(site.log, {place: offset + 1}, site.log.end([place])):
        try:
            event = read(record)
        except Undecodable:
            continue
        if isinstance(event, RecordSetAside) and event.offset == offset:
            return event
    return None
