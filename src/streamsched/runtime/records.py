"""From events to the records that carry them: topic, partition, key and headers."""

from __future__ import annotations

from functools import lru_cache

from streamsched.domain.events import Event
from streamsched.log.codec import Codec, headers_of
from streamsched.log.port import Append
from streamsched.log.topics import Topics


class Records:
    """Makes the records of one installation."""

    def __init__(self, codec: Codec, topics: Topics) -> None:
        self._codec = codec
        self._topics = topics
        self._home = lru_cache(maxsize=4096)(topics.journal_of)
        self._children = topics.children

    def journal(self, event: Event, task_id: str, traceparent: str | None = None) -> Append:
        """Make the journal's record of an event of this task."""
        topic, partition = self._home(task_id)
        return Append(topic, partition, task_id.encode(), self._codec.encode(event), headers_of(event, traceparent))

    def work(
        self, event: Event, task_id: str, partition: int, traceparent: str | None = None, *, track: bool = False
    ) -> Append:
        """Make a work-log record; ``track`` asks for its offset."""
        return Append(
            self._children,
            partition,
            task_id.encode(),
            self._codec.encode(event),
            headers_of(event, traceparent),
            track,
        )

    def beat(self, event: Event | None, node_id: str) -> Append:
        """Make the record of a beat; None takes the node off the list."""
        value = None if event is None else self._codec.encode(event)
        return Append(self._topics.workers, 0, node_id.encode(), value, () if event is None else headers_of(event))

    def dead_letter(self, event: Event, key: bytes | None) -> Append:
        """Make the record of a dead letter, under its origin's key."""
        return Append(self._topics.dead_letters, 0, key, self._codec.encode(event), headers_of(event))
