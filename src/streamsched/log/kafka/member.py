"""A member of a consumer group: carries assignments, reads nothing."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from streamsched.log.kafka import errors
from streamsched.log.kafka.config import ClientSettings, make
from streamsched.log.kafka.watchdog import Watchdog
from streamsched.log.port import Listener

_PAUSE_S: Final = 0.01
_LEAVE_LIMIT_S: Final = 10.0


class GroupMember:
    """A consumer whose partitions are paused as soon as they are assigned.

    They are assigned at an explicit offset, so that no committed offset is asked for. What the listener
    raises comes out of ``poll`` and ``leave``.
    """

    def __init__(
        self, settings: ClientSettings, group: str, topic: str, listener: Listener, watchdog: Watchdog
    ) -> None:
        self._settings = settings
        self._group = group
        self._topic = topic
        self._listener = listener
        self._watchdog = watchdog
        self._subscribed = False
        self._joined = False
        self._closed = False
        self._consumer = make(Consumer, settings.member(group))

    @property
    def member_id(self) -> str:
        """Return the group's name for this member, also while it joins; empty when it has left."""
        return "" if self._closed else self._consumer.memberid() or ""

    @property
    def joined(self) -> bool:
        """Return whether it is in the group as far as the listener knows: the client joins by itself."""
        return self._joined and not self._closed and bool(self._consumer.memberid())

    def group_metadata(self) -> Any:
        """Return what a transaction shows to the group; it ages with every rebalance."""
        return self._consumer.consumer_group_metadata()

    def poll(self, timeout: float = 0.0) -> None:
        """Serve the group, calling the listener. Raises ``TopicMismatch``; ``LogError`` for a refused member."""
        if not self._subscribed:  # not before: once it is, the client joins without being polled
            self._subscribed = True
            self._consumer.subscribe(
                [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._gone
            )
        message = self._consumer.poll(timeout)
        error = message.error() if message is not None else None
        if error is not None and not errors.passing(error):
            doing = f"be a member of group {self._group} on topic {self._topic}"
            raise errors.translate(error, doing, self._settings.brokers)

    def leave(self) -> None:
        """Revoke all partitions (the listener is called) and leave the group at once."""
        if self._closed:
            return
        try:
            # All callbacks are served before the close: one that meets the end of the client's group thread waits
            # for ever, as when an older hand-over is still queued.
            self._consumer.unsubscribe()
            deadline = time.monotonic() + _LEAVE_LIMIT_S
            self._consumer.poll(_PAUSE_S)
            while self._consumer.assignment() and time.monotonic() < deadline:
                self._consumer.poll(_PAUSE_S)
        finally:
            try:
                with self._watchdog.over("close of a group's member"):
                    self._consumer.close()
            finally:
                self._closed = True

    def _assigned(self, consumer: Consumer, given: Collection[TopicPartition]) -> None:
        places = [TopicPartition(self._topic, place.partition, 0) for place in given]
        consumer.incremental_assign(places)
        consumer.pause(places)
        self._joined = True
        self._listener.on_assigned([place.partition for place in places])

    def _revoked(self, consumer: Consumer, taken: Collection[TopicPartition]) -> None:
        try:
            self._listener.on_revoked([place.partition for place in taken])
        finally:
            consumer.incremental_unassign(list(taken))

    def _gone(self, consumer: Consumer, lost: Collection[TopicPartition]) -> None:
        self._joined = False
        try:
            self._listener.on_lost([place.partition for place in lost])
        finally:
            consumer.incremental_unassign(list(lost))
