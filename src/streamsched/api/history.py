"""Replaying the journal: one task or all, merged by time, in order within each partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from streamsched.api.wiring import Installation
from streamsched.domain.events import Event, NodeBeat
from streamsched.log.codec import Undecodable
from streamsched.log.intake import Intake
from streamsched.log.port import Record, TopicPartition

BATCH: Final = 2_000
FORGOTTEN: Final = 300_000
"""Milliseconds after which a node that died without a word is listed no more."""


def history(
    site: Installation,
    task_id: str | None = None,
    *,
    until_position: int | None = None,
    until_time: int | None = None,
) -> Iterator[tuple[Record, Event | Undecodable]]:
    """Walk the journal as it is now; a record that is no event comes with the reason.

    ``until_position`` ends each partition before that offset, ``until_time`` after that time in milliseconds.
    """
    topics = site.topics
    places = topics.journal() if task_id is None else [topics.journal_of(task_id)]
    intake = Intake(site.codec, site.topics)
    for record in _merged(site, places, until_position):
        if until_time is not None and record.timestamp > until_time:
            continue
        if task_id is not None and record.key != task_id.encode():
            continue
        try:
            yield record, intake.journal(record)
        except Undecodable as error:
            yield record, error


def nodes(site: Installation, now: int) -> list[tuple[NodeBeat, int]]:
    """List the latest beat of each node that has not left, with its age in milliseconds."""
    beats: dict[bytes, NodeBeat] = {}
    intake = Intake(site.codec, site.topics)
    for record in _merged(site, [TopicPartition(site.topics.workers, 0)], None):
        try:
            beat = intake.beat(record)
        except Undecodable:
            continue
        key = record.key or b""
        beats.pop(key, None)
        if beat is not None:
            beats[key] = beat
    return [
        (beat, now - beat.at)
        for beat in sorted(beats.values(), key=lambda beat: (beat.role, beat.name))
        if now - beat.at < FORGOTTEN
    ]


def _merged(site: Installation, places: Sequence[TopicPartition], until: int | None) -> Iterator[Record]:
    """Merge partitions by timestamp with a bounded memory: only those are read of which nothing is held."""
    ends = {place: end if until is None else min(end, until) for place, end in site.log.end(places).items()}
    positions = dict(site.log.start(places))
    held: dict[TopicPartition, deque[Record]] = {place: deque() for place in places}
    reader = site.log.reader()
    try:
        while True:
            hungry = [place for place in places if not held[place] and positions[place] < ends[place]]
            if hungry:
                reader.assign({place: positions[place] for place in hungry})
                for record in reader.poll(BATCH, 0.2):
                    place = TopicPartition(record.topic, record.partition)
                    if record.offset < ends[place]:
                        held[place].append(record)
                positions |= {place: reader.position(place) for place in hungry}
                continue
            ready = [place for place in places if held[place]]
            if not ready:
                return
            place = min(ready, key=lambda place: held[place][0].timestamp)
            yield held[place].popleft()
    finally:
        reader.close()
