"""Reading the journal: the events of each partition in their order, up to where a partition stands still.

A record of an unknown schema stops its partition: what is behind it is read only to find out whether a user decided
(``RecordSetAside``) that it is rubbish. Then the partition is read on from that record, which is passed over. So every
fold is the same, whenever it reads: the decision counts from the place of the record on, not from its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streamsched.domain.events import Event, RecordSetAside
from streamsched.log.codec import Codec, Undecodable, UnknownSchema
from streamsched.log.event_reader import EventReader, set_aside
from streamsched.log.port import Log, Record, TopicPartition
from streamsched.log.topics import Topics


class Halt(NamedTuple):
    """Where a partition stands still, and why."""

    place: TopicPartition
    offset: int
    error: UnknownSchema

    def __str__(self) -> str:
        return f"partition {self.place.partition} of the journal stands still: {self.error}"


def in_words(halts: Iterable[Halt]) -> str:
    """Return a message on the partitions that stand still, the first one in full; empty without any."""
    ordered = sorted(halts, key=lambda halt: halt.place.partition)
    if not ordered:
        return ""
    first, *others = ordered
    more = ", ".join(f"{halt.place.partition} (offset {halt.offset})" for halt in others)
    return f"{first}; so do partitions {more}" if others else str(first)


class JournalReader:
    """Reads partitions of the journal, and of other topics beside it.

    Positions are those of a fold: the position of a halted partition is the record that halted it.
    """

    def __init__(self, log: Log, topics: Topics, codec: Codec) -> None:
        self._log = log
        self._reader = log.reader()
        self._event_reader = EventReader(codec, topics)
        self._journal = topics.events
        self._places: tuple[TopicPartition, ...] = ()
        self._decisions: dict[tuple[int, int], RecordSetAside] = {}
        """By partition and offset of the record that is set aside."""
        self._searched: dict[TopicPartition, int] = {}
        """Ends up to which a decision is looked for, as they were when a partition was found to stand still."""
        self.halts: dict[int, Halt] = {}
        """The partitions that stand still."""

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions and no others, as ``Reader.assign``."""
        found = {place: self._reader.position(place) for place in positions if self._stands(place, positions[place])}
        self.halts = {place.partition: self.halts[place.partition] for place in found}
        self._places = tuple(positions)
        self._reader.assign({**positions, **found})

    def poll(self, limit: int, timeout: float) -> list[tuple[Record, Event | Undecodable | None]]:
        """Return the next records, each with its event, why it is not one, or None for those of other topics."""
        found: list[tuple[Record, Event | Undecodable | None]] = []
        journal, read, records = self._journal, self._event_reader.journal, self._reader.poll(limit, timeout)
        if not self.halts:
            try:  # all of them are events but for once in a blue moon: a call less for each
                return [(record, read(record) if record.topic == journal else None) for record in records]
            except Undecodable:
                pass  # read again, one by one
        for record in records:
            if record.topic != journal:
                found.append((record, None))
            elif self.halts and record.partition in self.halts:
                self._search(record)
            else:
                try:
                    found.append((record, read(record)))
                except UnknownSchema as error:
                    self._unknown(record, error, found)
                except Undecodable as error:
                    found.append((record, error))
        if self.halts:
            self._go_on()
        return found

    def position(self, place: TopicPartition) -> int:
        """Return the next offset to fold."""
        halt = self.halts.get(place.partition) if place.topic == self._journal else None
        return self._reader.position(place) if halt is None else halt.offset

    def reached(self, place: TopicPartition) -> int:
        """Return the next offset to read: beyond ``position`` where a decision is looked for."""
        return self._reader.position(place)

    def left(self, ends: Mapping[TopicPartition, int]) -> int:
        """Count the offsets that are left to read up to these ends.

        Where a partition stands still before its end, a decision is looked for up to the end of the log.
        """
        return sum(max(0, self._target(place, end) - self._reader.position(place)) for place, end in ends.items())

    def _target(self, place: TopicPartition, end: int) -> int:
        halt = self.halts.get(place.partition)
        if halt is None or halt.offset >= end:
            return end
        if halt.place not in self._searched:
            self._searched |= self._log.end([halt.place])
        return max(end, self._searched[halt.place])

    def close(self) -> None:
        """Release what the reader holds."""
        self._reader.close()

    def _stands(self, place: TopicPartition, position: int) -> bool:
        halt = self.halts.get(place.partition)
        return halt is not None and halt.place == place and halt.offset == position

    def _unknown(
        self, record: Record, error: UnknownSchema, found: list[tuple[Record, Event | Undecodable | None]]
    ) -> None:
        """Pass the record over if that was decided; else stop its partition."""
        decision = self._decisions.get((record.partition, record.offset))
        if decision is None:
            place = TopicPartition(record.topic, record.partition)
            self.halts[record.partition] = Halt(place, record.offset, error)
            self._searched.pop(place, None)
        else:
            found.append((record, set_aside(record, decision)))

    def _search(self, record: Record) -> None:
        """Take note of a decision; nothing else counts behind the record at which the partition stands still."""
        try:
            event = self._event_reader.journal(record)
        except Undecodable:
            return
        if isinstance(event, RecordSetAside):
            self._decisions.setdefault((event.partition, event.offset), event)

    def _go_on(self) -> None:
        """Read those partitions on whose record was set aside, from that record."""
        lifted = {
            halt.place: halt.offset
            for halt in self.halts.values()
            if (halt.place.partition, halt.offset) in self._decisions
        }
        for place in lifted:
            del self.halts[place.partition]
        if lifted:
            self._reader.assign({place: lifted.get(place, self._reader.position(place)) for place in self._places})
