"""Dead letters: the records that were set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import asdict

from streamsched.audit.replay import merged
from streamsched.domain.errors import InputError
from streamsched.domain.events import DeadLetter
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.port import LogError, Record, TopicPartition
from streamsched.log.topics import Topics
from streamsched.queries.documents import Document


@dataclass(frozen=True, slots=True)
class SetAside:
    """A dead letter and its number."""

    number: int
    letter: DeadLetter


class DeadLetterDocument(Document, frozen=True, kw_only=True):
    """A dead letter: where its record came from, and why it was set aside."""

    number: int
    at: int
    by: str
    topic: str
    partition: int
    offset: int
    key: str | None
    reason: str


class WholeDeadLetterDocument(DeadLetterDocument, frozen=True, kw_only=True):
    """A dead letter with its value in hexadecimal, and what the log still has of its record."""

    value: str | None
    bytes: int | None
    headers: tuple[tuple[str, str], ...] | None
    origin: dict[str, int | None] | None


def topic_named(topics: Topics, name: str) -> str:
    """Return the full name of a topic. Raise InputError if it is unknown."""
    names = [spec.name for spec in topics.specs()]
    for full in (name, f"{topics.prefix}.{name}"):
        if full in names:
            return full
    raise InputError(f"unknown topic {name!r}", f"choose one of {', '.join(names)}")


def dead_letters(site: Installation, *, topic: str | None = None, since: int | None = None) -> Iterator[SetAside]:
    """Yield the dead letters, the oldest first: of one topic of origin, written at ``since`` (milliseconds) or later.

    Records of the topic that are not dead letters are skipped.
    """
    place = TopicPartition(site.topics.dead_letters, 0)
    begin = site.log.start([place]) if since is None else site.log.position_at([place], since)
    event_reader = EventReader(site.codec, site.topics)
    for record in merged(site.log, site.log.end([place]), begin):
        try:
            letter = event_reader.dead_letter(record)
        except Undecodable:
            continue
        if topic in (None, letter.topic):
            yield SetAside(record.offset, letter)


def dead_letter(site: Installation, number: int) -> SetAside | None:
    """Return the dead letter of this number."""
    record = _record_at(site, TopicPartition(site.topics.dead_letters, 0), number)
    if record is None:
        return None
    try:
        return SetAside(number, EventReader(site.codec, site.topics).dead_letter(record))
    except Undecodable:
        return None


def origin_of(site: Installation, letter: DeadLetter) -> Record | None:
    """Return the record of a dead letter, if the log still has it."""
    if letter.topic not in {spec.name for spec in site.topics.specs()}:
        return None
    return _record_at(site, TopicPartition(letter.topic, letter.partition), letter.offset)


def _record_at(site: Installation, place: TopicPartition, offset: int) -> Record | None:
    try:
        if not site.log.start([place])[place] <= offset < site.log.end([place])[place]:
            return None
        found = next(merged(site.log, {place: offset + 1}, {place: offset}), None)
    except LogError:  # no such partition, or deleted meanwhile
        return None
    return found if found is not None and found.offset == offset else None


def whole_dead_letter(site: Installation, number: int) -> WholeDeadLetterDocument | None:
    """Return the document of the dead letter of this number, and of its record if the log still has it."""
    found = dead_letter(site, number)
    return None if found is None else whole_dead_letter_document(found, origin_of(site, found.letter))


def dead_letter_document(entry: SetAside) -> DeadLetterDocument:
    """Return the document of a dead letter in a list."""
    letter = entry.letter
    return DeadLetterDocument(
        number=entry.number, at=letter.at, by=letter.by, topic=letter.topic, partition=letter.partition,
        offset=letter.offset, key=None if letter.key is None else _text(letter.key), reason=letter.reason,
    )  # fmt: skip


def whole_dead_letter_document(entry: SetAside, origin: Record | None) -> WholeDeadLetterDocument:
    """Return the document of a dead letter and its record."""
    value, there, headers = entry.letter.value, None, None
    if origin is not None:
        there = {"timestamp": origin.timestamp, "bytes": None if origin.value is None else len(origin.value)}
        headers = tuple((name, _text(data)) for name, data in origin.headers)
    text, length = (None, None) if value is None else (value.hex(), len(value))
    head = asdict(dead_letter_document(entry))
    return WholeDeadLetterDocument(**head, value=text, bytes=length, headers=headers, origin=there)


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")
