"""What Kafka's coordinators have written about transactions, read back from their own topic.

A record says of one transactional id which state it is in now and, unless that is over, which partitions belong to
the transaction. Its layout is fixed (KIP-98, KIP-915): later versions may only add tagged fields behind.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import closing
from enum import IntEnum
from typing import Final, NamedTuple

from streamsched.log.kafka.admin import Admin
from streamsched.log.kafka.config import ClientSettings
from streamsched.log.kafka.coordination import TRANSACTIONS
from streamsched.log.kafka.reader import KafkaReader
from streamsched.log.port import LogError, TopicPartition

_READ: Final = 10_000
_FIXED: Final = struct.Struct(">hqhib")
_FLEXIBLE: Final = 1
"""Version from which on lengths are varints and fields may be tagged."""


class State(IntEnum):
    """Where a transaction stands, as the coordinator writes it."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    FENCING = 7


class Step(NamedTuple):
    """One record: ``partitions`` are those that take part, none once the transaction is over."""

    transactional_id: str
    producer_id: int
    state: State
    partitions: frozenset[TopicPartition]


def steps_of(
    producers: Collection[int], since: int, *, admin: Admin, settings: ClientSettings
) -> dict[int, list[Step]]:
    """Return the records about these producer ids since ``since`` (milliseconds), in order; raises ``LogError``."""
    places = [TopicPartition(TRANSACTIONS, number) for number in range(len(admin.topic(TRANSACTIONS).partitions))]
    ends = admin.end(places)
    starts = {place: at for place, at in admin.position_at(places, since).items() if at < ends[place]}
    found: dict[int, list[Step]] = {producer: [] for producer in producers}
    with closing(KafkaReader(settings)) as reader:
        reader.assign(starts)
        while any(reader.position(place) < ends[place] for place in starts):
            for record in reader.poll(_READ, 1.0):
                step = decode(record.key or b"", record.value)
                if step is not None and step.producer_id in found:
                    found[step.producer_id].append(step)
    return found


def decode(key: bytes, value: bytes | None) -> Step | None:
    """Decode one record; None for a tombstone or another kind of key. Raises ``LogError`` for an unknown version."""
    if value is None or key[:2] != b"\0\0":
        return None
    transactional_id = key[4 : 4 + int.from_bytes(key[2:4])].decode()
    version, producer_id, _epoch, _timeout, state = _FIXED.unpack_from(value)
    if version not in (0, _FLEXIBLE):
        raise LogError(f"{TRANSACTIONS} is of version {version}, which this version of streamsched cannot read")
    fields = _Fields(value, _FIXED.size, flexible=version == _FLEXIBLE)
    return Step(transactional_id, producer_id, State(state), frozenset(fields.partitions()))


class _Fields:
    """Walks the part of variable length."""

    def __init__(self, value: bytes, at: int, *, flexible: bool) -> None:
        self._value = value
        self._at = at
        self._flexible = flexible

    def partitions(self) -> Iterator[TopicPartition]:
        for _ in range(self._length(4)):
            size = self._length(2)
            topic = self._take(size).decode()
            for number in struct.iter_unpack(">i", self._take(4 * self._length(4))):
                yield TopicPartition(topic, *number)
            for _ in range(self._varint() if self._flexible else 0):
                self._varint()
                self._take(self._varint())

    def _length(self, width: int) -> int:
        """Read a length; one that is null counts as 0."""
        if self._flexible:
            return max(0, self._varint() - 1)
        return max(0, int.from_bytes(self._take(width), signed=True))

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def _take(self, size: int) -> bytes:
        self._at += size
        return self._value[self._at - size : self._at]
