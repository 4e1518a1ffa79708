"""Replaying the journal: one task or all, merged by time, in order within each partition, up to any position."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from heapq import heappop, heappush, heapreplace
from typing import Final

from streamsched.domain.events import Event
from streamsched.log.codec import Codec, Undecodable
from streamsched.log.event_reader import EventReader
from streamsched.log.journal import JournalReader, in_words
from streamsched.log.port import Log, Record, TopicPartition
from streamsched.log.scan import StallDetector
from streamsched.log.topics import Topics
from streamsched.view.view import View

BATCH: Final = 2_000
FLUSH_EVERY: Final = 20_000
"""Events between writes of a view in the making."""

Positions = Mapping[TopicPartition, int]
logger = logging.getLogger(__name__)


def ends_of(
    log: Log, places: Collection[TopicPartition], *, position: int | None = None, time: int | None = None
) -> Positions:
    """Return the ends of these partitions: as they are now, before an offset, or after a time (milliseconds)."""
    ends = log.end(places)
    if time is not None:
        later = log.position_at(places, time + 1)
        return {place: min(later[place], end) for place, end in ends.items()}
    return {place: end if position is None else min(position, end) for place, end in ends.items()}


def history(
    log: Log,
    topics: Topics,
    codec: Codec,
    ends: Positions,
    task_id: str | None = None,
    begin: Positions | None = None,
) -> Iterator[tuple[Record, Event | Undecodable]]:
    """Yield the journal, all or of one task, up to these ends; a record that is not an event comes with the reason."""
    event_reader, key = EventReader(codec, topics), None if task_id is None else task_id.encode()
    for record in merged(log, ends, begin):
        if key is not None and record.key != key:
            continue
        try:
            yield record, event_reader.journal(record)
        except Undecodable as error:
            yield record, error


def folded(
    log: Log, reader: JournalReader, starts: Positions, ends: Positions
) -> Iterator[tuple[Record, Event | Undecodable]]:
    """Yield the journal between these positions, each partition in its order; one that stands still ends there."""
    limits = {place.partition: end for place, end in ends.items()}
    reader.assign(starts)
    stall = StallDetector(log, ends, reader.reached)
    while reader.left(ends):
        for record, event in reader.poll(BATCH, 0.2):
            if record.offset < limits[record.partition] and event is not None:
                yield record, event
        stall.check()
    if told := in_words(halt for halt in reader.halts.values() if halt.offset < limits[halt.place.partition]):
        logger.warning("%s; later records there are left out", told)


def rebuild(view: View, log: Log, topics: Topics, codec: Codec, ends: Positions, task_id: str | None = None) -> int:
    """Fold the history up to these ends into an empty view; return the number of events."""
    events = 0
    key = None if task_id is None else task_id.encode()
    with closing(JournalReader(log, topics, codec)) as reader:
        for record, event in folded(log, reader, log.start(list(ends)), ends):
            if isinstance(event, Event) and key in (None, record.key):
                view.apply(event, record.partition)
                events += 1
            view.moved(record.partition, record.offset + 1)
            if events % FLUSH_EVERY == 0:
                view.flush()
        for place, end in ends.items():
            view.moved(place.partition, min(end, reader.position(place)))
    view.flush()
    return events


def merged(log: Log, ends: Positions, begin: Positions | None = None) -> Iterator[Record]:
    """Merge partitions by timestamp with a bounded memory: only those are read of which nothing is held."""
    places: Sequence[TopicPartition] = list(ends)
    positions = dict(log.start(places))
    positions |= {place: max(positions[place], position) for place, position in (begin or {}).items()}
    held: dict[TopicPartition, deque[Record]] = {place: deque() for place in places}
    heads: list[tuple[int, TopicPartition]] = []
    """Heap of the times of the first records held."""
    reader = log.reader()
    stall = StallDetector(log, ends, positions.__getitem__)
    try:
        while True:
            wanting = [place for place in places if not held[place] and positions[place] < ends[place]]
            if wanting:
                reader.assign({place: positions[place] for place in wanting})
                for record in reader.poll(BATCH, 0.2):
                    place = TopicPartition(record.topic, record.partition)
                    if record.offset < ends[place]:
                        held[place].append(record)
                positions |= {place: reader.position(place) for place in wanting}
                for place in wanting:
                    if held[place]:
                        heappush(heads, (held[place][0].timestamp, place))
                stall.check()
                continue
            if not heads:
                return
            while heads:
                place = heads[0][1]
                records = held[place]
                yield records.popleft()
                if not records:
                    heappop(heads)
                    break  # more of it may come first
                heapreplace(heads, (records[0].timestamp, place))
    finally:
        reader.close()
