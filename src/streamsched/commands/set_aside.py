"""Set aside a record of an unknown schema, by a person's decision that it is rubbish."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision, which may have been made ``before``."""

    decision: RecordSetAside
    before: bool = False


def set_aside(session: Session, partition: int, offset: int, reason: str, *, work_log: bool) -> Decided:
    """Write that the record at this offset of the journal or the work log is rubbish; durable on return.

    Raise InputError, with nothing written, for an unknown record or one whose schema is known. Raise LogError.
    """
    site, topics = session.site, session.site.topics
    places = topics.work_log() if work_log else topics.journal()
    if not 0 <= partition < len(places):
        reason = f"topic {places[0].topic} has no partition {partition}"
        raise InputError(reason, f"it has 0 to {len(places) - 1}")
    place = places[partition]
    source = f"{place.topic}-{place.partition} offset {offset}"
    decision = session.me.sign(RecordSetAside, partition=place.partition, offset=offset, reason=reason)
    if not reason.strip():
        raise InputError("a reason is missing", "say with --reason why it is rubbish", source=source)
    try:
        value = site.codec.encode(decision)
    except UnicodeEncodeError as error:
        raise not_text(error) from None
    if problem := validate(decision):
        raise InputError(problem, "correct it", source=source)
    try:
        _check(site, place, offset, source)
        known = _decision(site, place, offset)
    except PositionLost:  # it was settled and deleted meanwhile
        raise _none(source) from None
    if known is not None:
        return Decided(known, before=True)
    write(site, Append(*place, None, value, headers_of(decision)))
    return Decided(decision)


def _none(source: str) -> InputError:
    return InputError("there is no record", "take its place from the message that names it", source=source)


def _check(site: Installation, place: TopicPartition, offset: int, source: str) -> None:
    """Raise InputError for a record that this version reads, or whose schema is not the problem."""
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


def _decision(site: Installation, place: TopicPartition, offset: int) -> RecordSetAside | None:
    """Return the decision about this record, if there is one already."""
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
