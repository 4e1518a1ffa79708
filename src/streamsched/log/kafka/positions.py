"""The positions of groups.

They are read by a consumer that never joins. The administrative client has a call for it, which ends the process when
another broker coordinates the group by now (librdkafka 2.16: the answer goes to a group that such a client does not
have), and which may ask one that is gone for ever (librdkafka#5511).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from streamsched.log.kafka import errors
from streamsched.log.kafka.admin import Admin, sending
from streamsched.log.kafka.config import REQUEST_LIMIT_S, ClientSettings, make
from streamsched.log.port import Committed, LogError, LogUnreachable, TopicPartition

_LEAST_S: Final = 0.05
_NOWHERE: Final = Place("nowhere", 0)
"""A partition that no transaction holds back."""
_LOOK_S: Final = 1.0
"""Seconds to find out whether it is a transaction that holds a stable read back."""


class Positions:
    """Reads positions, and writes the first ones."""

    def __init__(self, settings: ClientSettings, admin: Admin) -> None:
        self._settings = settings
        self._admin = admin
        self._readers: dict[tuple[str, bool], Any] = {}

    def committed(
        self, group: str, partitions: Collection[TopicPartition], *, stable: bool, timeout: float = 10.0
    ) -> dict[TopicPartition, Committed | None]:
        """Read the group's positions; ask for stable ones until no transaction holds them back.

        Raises ``LogUnreachable`` without an answer in time, or where a transaction stays open.
        """
        doing = f"read the positions of group {group}"
        deadline = time.monotonic() + timeout
        while True:
            answer = self._ask(group, partitions, max(_LEAST_S, deadline - time.monotonic()), stable=stable)
            if not isinstance(answer, KafkaError):
                return answer
            if not (errors.unanswered(answer) or _unstable(answer)):
                raise errors.translate(answer, doing, self._settings.brokers)
            if time.monotonic() >= deadline:
                break
            time.sleep(0.01)
        if stable and not isinstance(self._ask(group, partitions, _LOOK_S, stable=False), KafkaError):
            raise LogUnreachable(f"cannot {doing} in {timeout:g} s: a transaction is open; see 'topics check'")
        raise errors.translate(answer, doing, self._settings.brokers, self._settings.trouble)

    def commit_initial(self, group: str, partitions: Collection[TopicPartition], metadata: str) -> None:
        """Commit position 0 with this metadata for a new group. Raises ``LogError`` if the group has members."""
        doing = f"commit the first positions of group {group}"
        if self.members(group):
            raise LogError(f"cannot {doing}: it has members; stop them first")
        now = self.committed(group, partitions, stable=True, timeout=REQUEST_LIMIT_S)
        places = [Place(*partition, 0, metadata=metadata) for partition, at in now.items() if at is None]
        if not places:
            return
        wanted = [ConsumerGroupTopicPartitions(group, places)]
        answer = self._admin.ask(doing, sending("alter_consumer_group_offsets", wanted))[0]
        for place in answer.topic_partitions:
            if place.error is not None:
                raise errors.translate(place.error, doing, self._settings.brokers)

    def members(self, group: str) -> int:
        """Count the members of a group; an unknown group has 0."""
        asked = sending("describe_consumer_groups", [group])
        return len(self._admin.ask(f"look up the members of group {group}", asked)[0].members)

    def close(self) -> None:
        """Close the consumers."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _ask(
        self, group: str, partitions: Collection[TopicPartition], limit: float, *, stable: bool
    ) -> dict[TopicPartition, Committed | None] | KafkaError:
        try:
            reader = self._reader(group, stable=stable)
            found = reader.committed([Place(*place) for place in partitions], limit)
        except KafkaException as failure:
            error: KafkaError = errors.cause(failure)
            return error
        for place in found:
            if place.error is not None:
                failed: KafkaError = place.error
                return failed
        return {
            TopicPartition(place.topic, place.partition): (
                Committed(place.offset, place.metadata or "") if place.offset >= 0 else None
            )
            for place in found
        }

    def _reader(self, group: str, *, stable: bool) -> Any:
        if (group, stable) not in self._readers:
            made = {kind: make(Consumer, self._settings.positions(group, stable=kind)) for kind in (False, True)}
            for kind, reader in made.items():
                self._readers[group, kind] = reader
                with suppress(KafkaException):  # it looks for the coordinator: no reading's own time is for that
                    reader.committed([_NOWHERE], REQUEST_LIMIT_S)
        return self._readers[group, stable]


def _unstable(error: KafkaError) -> bool:
    return bool(error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT)
