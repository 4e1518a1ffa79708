"""Replaying the journal: one task or all, merged by time, in order within each partition, up to any position."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from heapq import heappop, heappush, heapreplace
from typing import Final

from streamsched.domain.events import Event
from streamsched.log.codec import Codec, Undecodable, UnknownSchema
from streamsched.log.intake import Intake
from streamsched.log.port import Log, Record, TopicPartition
from streamsched.log.topics import Topics
from streamsched.view.view import View

BATCH: Final = 2_000
FLUSH_EVERY: Final = 20_000
"""Events between writes of a view in the making."""

Positions = Mapping[TopicPartition, int]


def ends_of(
    log: Log, places: Collection[TopicPartition], *, position: int | None = None, time: int | None = None
) -> Positions:
    """Tell where a reading of these partitions ends: as they are now, before an offset of each, or after a time.

    ``time`` in milliseconds: a partition ends before its first record that is later.
    """
    ends = log.end(places)
    if time is not None:
        later = log.position_at(places, time + 1)
        return {place: min(later[place], end) for place, end in ends.items()}
    return {place: end if position is None else min(position, end) for place, end in ends.items()}


def history(
    log: Log, topics: Topics, codec: Codec, ends: Positions, task_id: str | None = None
) -> Iterator[tuple[Record, Event | Undecodable]]:
    """Walk the journal up to these ends; a record that is no event comes with the reason.

    The partitions that ``ends`` names are read; ``task_id`` leaves out what is under another key.
    """
    return _events(merged(log, ends), Intake(codec, topics), task_id)


def _events(
    records: Iterator[Record], intake: Intake, task_id: str | None
) -> Iterator[tuple[Record, Event | Undecodable]]:
    key = None if task_id is None else task_id.encode()
    for record in records:
        if key is not None and record.key != key:
            continue
        try:
            yield record, intake.journal(record)
        except Undecodable as error:
            yield record, error


def rebuild(view: View, log: Log, topics: Topics, codec: Codec, ends: Positions, task_id: str | None = None) -> int:
    """Fold the history up to these ends into an empty view; returns the number of events.

    The view is, row for row, the one that had folded these partitions up to there.

    Raises:
        UnknownSchema: a newer version wrote to this log.

    """
    events = 0
    # In no order between partitions: a view is the fold of each of them.
    for record, event in _events(_as_they_come(log, ends), Intake(codec, topics), task_id):
        if isinstance(event, Event):
            view.apply(event, record.partition)
            events += 1
        elif isinstance(event, UnknownSchema):
            raise event
        view.moved(record.partition, record.offset + 1)
        if events % FLUSH_EVERY == 0:
            view.flush()
    for place, end in ends.items():
        view.moved(place.partition, end)
    view.flush()
    return events


def _as_they_come(log: Log, ends: Positions) -> Iterator[Record]:
    """Walk partitions, each in its order."""
    limits = {(place.topic, place.partition): end for place, end in ends.items()}  # plain pairs are found faster
    with closing(log.reader()) as reader:
        reader.assign(log.start(list(ends)))
        while any(reader.position(place) < end for place, end in ends.items()):
            for record in reader.poll(BATCH, 0.2):
                if record.offset < limits[record.topic, record.partition]:
                    yield record


def merged(log: Log, ends: Positions, begin: Positions | None = None) -> Iterator[Record]:
    """Merge partitions by timestamp with a bounded memory: only those are read of which nothing is held."""
    places: Sequence[TopicPartition] = list(ends)
    positions = dict(log.start(places))
    positions |= {place: max(positions[place], position) for place, position in (begin or {}).items()}
    held: dict[TopicPartition, deque[Record]] = {place: deque() for place in places}
    heads: list[tuple[int, TopicPartition]] = []
    """Heap of the times of the first records held."""
    reader = log.reader()
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
                for place in hungry:
                    if held[place]:
                        heappush(heads, (held[place][0].timestamp, place))
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
