"""Records without a transaction, durable when acknowledged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Producer
from msgspec.structs import replace

from streamsched.log.kafka import errors
from streamsched.log.kafka.config import REQUEST_LIMIT_S, ClientSettings, make
from streamsched.log.kafka.produce import Refused, check_sizes, produce
from streamsched.log.port import Append, LogTime, LogUnreachable, TopicMismatch


class Appender:
    """A producer that waits for all replicas; made anew after a failure: nothing of a failed call may come later."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._producer: Any = None
        self._awaited = False
        """Whether a record was posted that nothing was heard of yet."""
        self._stamp: tuple[int, float, float] | None = None
        """When the broker wrote the last record that was posted, and when it was sent and heard of (monotonic)."""
        self._kept: str | None = None
        """The topic of the last record, where it keeps its writers' times."""

    def append(self, appends: Sequence[Append]) -> list[int]:
        """Write the records and return their offsets.

        Raises ``RecordTooLarge`` (nothing was written), ``TopicMismatch`` for an unknown topic or partition, and
        ``LogUnreachable`` (any of them may have been written).
        """
        check_sizes(appends)
        producer = self._ready()
        offsets: dict[int, int] = {}
        refused: list[Refused] = []
        try:
            produce(producer, [replace(each, track=True) for each in appends], offsets, refused)
            producer.flush(REQUEST_LIMIT_S + 2)  # each record gives up by itself before that
        except KafkaException as failure:
            refused.append((0, errors.cause(failure)))
        except BufferError as failure:
            self.close()
            raise LogUnreachable(f"cannot append: {failure}") from None
        if len(offsets) == len(appends):
            return [offsets[index] for index in range(len(appends))]
        self.close()
        doing = f"append to topic {appends[0].topic}"
        if refused:
            raise errors.translate(refused[0][1], doing, self._settings.brokers, self._settings.trouble)
        raise LogUnreachable(f"cannot {doing}: no answer in time from {self._settings.brokers}; check the brokers")

    def post(self, append: Append) -> None:
        """Queue the record without waiting for its delivery. Raises ``RecordTooLarge``."""
        check_sizes([append])
        producer = self._ready()
        with suppress(BufferError, KafkaException):
            producer.produce(
                append.topic, append.value, append.key, append.partition, headers=list(append.headers),
                on_delivery=partial(self._posted, time.monotonic()),
            )  # fmt: skip
            self._awaited = True
            producer.poll(0)

    def time(self) -> LogTime | None:
        """Return the broker's time: it wrote the last record after we sent it, and before we heard of that.

        Raises ``TopicMismatch`` where the topic keeps its writers' times.
        """
        if self._awaited and self._producer is not None:
            self._producer.poll(0)
        if self._kept is not None:
            raise TopicMismatch(
                f"topic {self._kept} has message.timestamp.type=CreateTime, not LogAppendTime: 'streamsched topics "
                "check' names the remedy"
            )
        if self._stamp is None:
            return None
        at, sent, heard = self._stamp
        now = time.monotonic()
        return LogTime(at + int((now - heard) * 1000), at + int((now - sent) * 1000) + 1)

    def _posted(self, sent: float, error: KafkaError | None, message: Any) -> None:
        """Take note of when the broker says that it wrote a record."""
        self._awaited = False
        if error is None:
            kind, at = message.timestamp()
            own = kind == TIMESTAMP_LOG_APPEND_TIME
            self._kept = None if own else message.topic()
            self._stamp = (at, sent, time.monotonic()) if own else None

    def flush(self, seconds: float) -> None:
        """Wait up to ``seconds`` for posted records to be delivered."""
        if self._producer is not None:
            self._producer.flush(seconds)

    def _ready(self) -> Any:
        if self._producer is None:
            self._producer = make(Producer, self._settings.appender())
        return self._producer

    def close(self) -> None:
        """Drop the producer and what it still has queued."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None
