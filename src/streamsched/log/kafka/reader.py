"""Reads committed records from chosen partitions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Any

from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as Place

from streamsched.log.kafka import errors
from streamsched.log.kafka.config import ClientSettings, make
from streamsched.log.port import Headers, LogError, PositionLost, TopicPartition

_END = KafkaError._PARTITION_EOF  # noqa: SLF001  # its public name
_LOST = frozenset((KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE))  # noqa: SLF001


_headers_of = methodcaller("headers")


class KafkaRecord:
    """One record; what few ask for is taken from the client's message when it is asked for."""

    __slots__ = ("_headers", "_message", "key", "offset", "partition", "topic", "value")

    def __init__(self, message: Any) -> None:
        self._message = message
        self._headers: Headers | None = None
        self.topic: str = message.topic()
        self.partition: int = message.partition()
        self.offset: int = message.offset()
        self.key: bytes | None = message.key()
        self.value: bytes | None = message.value()

    @property
    def timestamp(self) -> int:
        """Return the time of the record, in milliseconds."""
        return int(self._message.timestamp()[1])

    @property
    def headers(self) -> Headers:
        """Return the headers; a missing value is an empty one. A record with a name that is not UTF-8 shows none."""
        if self._headers is None:
            self._headers = self._take_headers()
        return self._headers

    def _take_headers(self) -> Headers:
        # Where a name is not UTF-8 the client returns a broken list with an error pending, and reading it crashes the
        # process. ``methodcaller`` checks for such an error; a plain call does not once it is warm. The second answer
        # comes without the error.
        try:
            found: Sequence[tuple[str, bytes | None]] | None = _headers_of(self._message)
        except (SystemError, UnicodeDecodeError):
            return ()
        return [(name, value or b"") for name, value in found or ()]


class KafkaReader:
    """A consumer without a group, on the partitions that it was told.

    The consumer is made with the first partitions: one that was made earlier looks their topic up only when the client
    does so by itself, once a second. Positions are kept here: they follow the records handed out, and jump to
    the end of a partition, over the markers that no record shows, when the client says that it was reached.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._consumer: Consumer | None = None
        self._positions: dict[tuple[str, int], int] = {}
        self._lost: dict[tuple[str, int], LogError] = {}

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions and no others; those that keep their place keep what was prefetched."""
        moved: dict[tuple[str, int], int] = {
            place: position
            for place, position in positions.items()
            if self._positions.get(place) != position or place in self._lost
        }
        ended = [place for place in self._positions if place not in positions or place in moved]
        if self._consumer is None:
            if not moved:
                return
            self._consumer = make(Consumer, self._settings.reader())
        if ended:
            self._consumer.incremental_unassign([Place(*place) for place in ended])
        if moved:
            self._consumer.incremental_assign([Place(*place, position) for place, position in moved.items()])
        for place in ended:
            del self._positions[place]
        self._positions |= moved
        self._lost = {}

    def poll(self, limit: int, timeout: float) -> list[KafkaRecord]:
        """Return up to ``limit`` records as soon as there is one.

        Return none after ``timeout``, or earlier when a position moved over markers to the end of the partition.
        """
        if self._lost:
            raise next(iter(self._lost.values()))
        consumer = self._consumer
        if consumer is None:
            time.sleep(timeout)
            return []
        deadline = time.monotonic() + timeout
        while True:
            first = consumer.poll(max(0.0, deadline - time.monotonic()))
            if first is None:
                return []
            # With a time-out, consume() would wait until it has all that it may take.
            rest = consumer.consume(limit - 1, 0) if limit > 1 else ()
            records: list[KafkaRecord] = []
            moved = False
            for message in (first, *rest):
                if message.error() is None:
                    record = KafkaRecord(message)
                    records.append(record)
                    # equal to a TopicPartition, at a tenth of its cost
                    self._positions[record.topic, record.partition] = record.offset + 1
                else:
                    moved = self._heed(message) or moved
            if records or moved:
                return records
            if self._lost:
                raise next(iter(self._lost.values()))

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset to read: past markers and gaps once the end was reached."""
        return self._positions[partition]

    def close(self) -> None:
        """Close the consumer."""
        if self._consumer is not None:
            self._consumer.close()

    def _heed(self, message: Any) -> bool:
        """Handle a message that is not a record; returns whether a position has moved."""
        error = message.error()
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        place = (topic, partition)
        if error.code() == _END:
            moved: bool = self._positions[place] != offset
            self._positions[place] = offset
            return moved
        if errors.passing(error) or error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return False  # no group is used: that the client may not even look for one does no harm
        if error.code() in _LOST and place in self._positions:
            position = self._positions[place]
            self._lost[place] = PositionLost(
                f"cannot read topic {topic}, partition {partition} from offset {position}: "
                "the log does not have it (any more); to continue from what it has: streamsched topics repair"
            )
            return False
        doing = f"read topic {topic}, partition {partition}" if topic else "read"
        self._lost[place] = errors.translate(error, doing, self._settings.brokers)
        return False
