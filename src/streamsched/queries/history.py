"""What the topics beside the journal tell: the nodes that are there, and the records that were set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streamsched.audit.replay import merged
from streamsched.domain.events import DeadLetter, NodeBeat
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable
from streamsched.log.intake import Intake
from streamsched.log.port import LogError, Record, TopicPartition

FORGOTTEN: Final = 300_000
"""Milliseconds after which a node that died without a word is listed no more."""


def nodes(site: Installation, now: int) -> list[tuple[NodeBeat, int]]:
    """List the latest beat of each node that has not left, with its age in milliseconds.

    The age is that of the record: what a node says itself of the time is as wrong as its clock.
    """
    beats: dict[bytes, tuple[NodeBeat, int]] = {}
    intake = Intake(site.codec, site.topics)
    for record in merged(site.log, site.log.end([TopicPartition(site.topics.workers, 0)])):
        try:
            beat = intake.beat(record)
        except Undecodable:
            continue
        key = record.key or b""
        beats.pop(key, None)
        if beat is not None:
            beats[key] = (beat, now - record.timestamp)
    present = [(beat, age) for beat, age in beats.values() if age < FORGOTTEN]
    return sorted(present, key=lambda found: (found[0].role, found[0].name))


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that was set aside: its dead letter, under the number that names it."""

    number: int
    letter: DeadLetter


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
