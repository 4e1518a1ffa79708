"""Handing records to a producer."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping, MutableSequence, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from streamsched.log.kafka import errors
from streamsched.log.kafka.config import REQUEST_LIMIT_S
from streamsched.log.port import Append, AppendRefused, RecordTooLarge
from streamsched.log.topics import RECORD_LIMIT

Refused = tuple[int, KafkaError]
"""Which of the appends was not written, and why."""
_BATCH_OVERHEAD: Final = 128
_LIGHT: Final = RECORD_LIMIT // 2
"""Bytes below which only headers could make a record too large: the client itself refuses that."""
_HEADER_OVERHEAD: Final = 12


def check_sizes(appends: Sequence[Append]) -> None:
    """Raise ``RecordTooLarge`` where a record exceeds what a topic takes; ``AppendRefused`` where it is tracked."""
    for index, append in enumerate(appends):
        size = len(append.value or b"") + len(append.key or b"") + _BATCH_OVERHEAD
        if size < _LIGHT:
            continue
        for name, value in append.headers:
            size += len(name) * 4 + len(value) + _HEADER_OVERHEAD  # a character takes at most 4 bytes
        if size > RECORD_LIMIT:
            said = f"a record of {size} bytes for topic {append.topic} exceeds {RECORD_LIMIT} bytes"
            raise AppendRefused(said, index) if append.track else RecordTooLarge(said)


def produce(
    producer: Producer,
    appends: Sequence[Append],
    offsets: MutableMapping[int, int],
    refused: MutableSequence[Refused],
) -> None:
    """Queue the records; delivery reports bring offsets or errors of tracked ones. Raises BufferError when full."""
    for index, append in enumerate(appends):
        headers: Any = list(append.headers) or None
        callback = _delivery_callback(index, offsets, refused) if append.track else None
        deadline = 0.0
        while True:
            try:
                producer.produce(
                    append.topic,
                    append.value,
                    append.key,
                    append.partition,  # never left to a partitioner: librdkafka's is not Java's
                    callback,
                    headers=headers,
                )
                break
            except BufferError:
                deadline = deadline or time.monotonic() + REQUEST_LIMIT_S
                if time.monotonic() > deadline:
                    raise
                producer.poll(0.05)
            except KafkaException as failure:
                if append.track:
                    refused.append((index, errors.cause(failure)))
                raise


def _delivery_callback(
    index: int, offsets: MutableMapping[int, int], refused: MutableSequence[Refused]
) -> Callable[[Any, Any], None]:
    def delivered(error: Any, message: Any) -> None:
        if error is None:
            offsets[index] = message.offset()
        else:
            refused.append((index, error))

    return delivered
