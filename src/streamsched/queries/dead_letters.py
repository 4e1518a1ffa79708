"""The records that were set aside, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from streamsched.audit.replay import merged
from streamsched.domain.events import DeadLetter
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.intake import Intake
from streamsched.log.port import LogError, Record, TopicPartition
from streamsched.queries.documents import Document


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that was set aside: its dead letter, under the number that names it."""

    number: int
    letter: DeadLetter


class LetterDocument(Document, frozen=True, kw_only=True):
    """A dead letter: the place that its record came from, and why it was set aside."""

    number: int
    at: int
    by: str
    topic: str
    partition: int
    offset: int
    key: str | None
    reason: str


class Origin(Document, frozen=True):
    """What the log still has of the record itself."""

    timestamp: int
    bytes: int | None


class WholeLetterDocument(LetterDocument, frozen=True, kw_only=True):
    """A dead letter with the record's value, in hexadecimal form, and its headers, if the log still has them."""

    value: str | None
    bytes: int | None
    headers: tuple[tuple[str, str], ...] | None
    origin: Origin | None


def dead_letters(site: Installation, *, topic: str | None = None, since: int | None = None) -> Iterator[SetAside]:
    """Walk the dead letters, the oldest first: of one topic of origin, written at ``since`` (milliseconds) or later.

    What is no dead letter itself is passed over.
    """
    place = TopicPartition(site.topics.dead_letters, 0)
    begin = site.log.start([place]) if since is None else site.log.position_at([place], since)
    intake = Intake(site.codec, site.topics)
    for record in merged(site.log, site.log.end([place]), begin):
        try:
            letter = intake.dead_letter(record)
        except Undecodable:
            continue
        if topic in (None, letter.topic):
            yield SetAside(record.offset, letter)


def dead_letter(site: Installation, number: int) -> SetAside | None:
    """Find the dead letter of this number."""
    record = _record_at(site, TopicPartition(site.topics.dead_letters, 0), number)
    if record is None:
        return None
    try:
        return SetAside(number, Intake(site.codec, site.topics).dead_letter(record))
    except Undecodable:
        return None


def origin_of(site: Installation, letter: DeadLetter) -> Record | None:
    """Find the record that a dead letter is about, if the log still has it."""
    if letter.topic not in {spec.name for spec in site.topics.specs()}:
        return None
    return _record_at(site, TopicPartition(letter.topic, letter.partition), letter.offset)


def _record_at(site: Installation, place: TopicPartition, offset: int) -> Record | None:
    try:
        if not site.log.start([place])[place] <= offset < site.log.end([place])[place]:
            return None
        found = next(merged(site.log, {place: offset + 1}, {place: offset}), None)
    except LogError:  # no such partition, or deleted this very moment
        return None
    return found if found is not None and found.offset == offset else None


def letter_document(entry: SetAside) -> LetterDocument:
    """Make the document of a dead letter in a list."""
    return LetterDocument(**_summary(entry))


def whole_letter_document(entry: SetAside, origin: Record | None) -> WholeLetterDocument:
    """Make the document of a dead letter and the record that it is about."""
    value = entry.letter.value
    return WholeLetterDocument(
        **_summary(entry),
        value=None if value is None else value.hex(),
        bytes=None if value is None else len(value),
        headers=None if origin is None else tuple((name, _text(data)) for name, data in origin.headers),
        origin=None
        if origin is None
        else Origin(origin.timestamp, None if origin.value is None else len(origin.value)),
    )


def _summary(entry: SetAside) -> dict[str, Any]:
    letter = entry.letter
    told = {name: getattr(letter, name) for name in LetterDocument.__struct_fields__ if name != "number"}
    return {**told, "number": entry.number, "key": None if letter.key is None else _text(letter.key)}


def _length(value: bytes | None) -> int | None:
    return None if value is None else len(value)


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")
