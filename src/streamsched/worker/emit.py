"""What a handler emits, in its executor: records wait here until they are sent, and are counted until they are durable.

An executor imports it with the first record that a handler emits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from threading import Condition, Lock
from typing import Any, Final, Protocol

from streamsched.domain import values
from streamsched.domain.ids import murmur2
from streamsched.worker.errors import EmitBufferFull, EmitRefused, StopChild
from streamsched.worker.jobs import MOST_BYTES, MOST_RECORDS, PLAN, Emitted, EmittedHeaders, JobEmitted, TopicTold

FRAME_BYTES: Final = 256 * 1024
"""Bytes of the records that are sent together; one that is larger is sent alone."""
KEPT_S: Final = 300.0
"""Seconds for which the answer about a topic holds."""
MOST_HEADERS: Final = 1_000
NAME_CHARACTERS: Final = 1_024


class Attempt(Protocol):
    """The context of the handler."""

    task_id: str
    child_index: int
    stage: str

    @property
    def last_checkpoint(self) -> Any:
        """The state of the latest checkpoint."""

    @property
    def should_stop(self) -> bool:
        """Whether a stop was asked for."""

    @property
    def covered(self) -> tuple[int, int]:
        """The number of the latest checkpoint, and how many records it covers."""

    def finish(self) -> None:
        """Take a checkpoint of what is finished."""


class Room(Protocol):
    """Knows topics, and waits for checkpoints."""

    def topic(self, name: str) -> TopicTold:
        """Say what a topic is, or why it is refused."""

    def wait(self, number: int) -> None:
        """Return when the checkpoint of this number is durable, or a stop was asked for."""


class Directory:
    """The topics that one executor has asked its pool about."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, TopicTold]] = {}
        self._answer = Condition()

    def find(self, name: str, ask: Callable[[str], None], wait: Callable[[], bool]) -> TopicTold:
        """Return what a topic is; raise ``StopChild`` where that is waited for no longer.

        ``ask`` sends a question; ``wait`` is called while there is no answer, and says whether to go on waiting.
        """
        known = self._told.get(name)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        self._told.pop(name, None)
        ask(name)
        with self._answer:
            while name not in self._told:
                if not wait():
                    raise StopChild
                self._answer.wait(0.1)
        told = self._told[name][1]
        if told.problem:
            del self._told[name]
        return told

    def told(self, told: TopicTold) -> None:
        """Take in an answer."""
        with self._answer:
            self._told[told.topic] = (time.monotonic() + KEPT_S, told)
            self._answer.notify_all()


def record_of(
    told: TopicTold, value: Any, key: str | bytes | None, headers: EmittedHeaders, partition: int | None, child: str
) -> Emitted:
    """Make a record; ``child`` chooses the partition of one without a key. Raise ``EmitRefused``."""
    if told.problem:
        raise EmitRefused(told.problem)
    body = value if value is None else _bytes(value, "value")
    name = key if key is None else _bytes(key, "key", text_only=True)
    if partition is None:
        partition = (murmur2(child.encode() if name is None else name) & 0x7FFFFFFF) % told.partitions
    elif type(partition) is not int or not 0 <= partition < told.partitions:
        raise EmitRefused(f"topic {told.topic!r} has the partitions 0 to {told.partitions - 1}, not {partition!r:.100}")
    record = Emitted(told.topic, partition, name, body, _headers(headers))
    if record.size > told.limit:
        raise EmitRefused(
            f"a record of {record.size:,} bytes is above the limit of topic {told.topic!r}, {told.limit:,} bytes: "
            "keep large data elsewhere and emit a reference to it"
        )
    return record


def _bytes(value: Any, what: str, *, text_only: bool = False) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    try:
        if isinstance(value, str):
            return value.encode()
        if not text_only:
            return values.write(value, what, MOST_BYTES)
    except (values.Refused, values.TooLarge, UnicodeEncodeError) as error:
        raise EmitRefused(f"the {what} cannot be emitted: {error}") from None
    raise EmitRefused(f"the {what} is a {type(value).__name__}: emit bytes or text")


def _headers(headers: EmittedHeaders) -> tuple[tuple[str, bytes], ...]:
    if headers is None:
        return ()
    try:
        pairs = [(name, value) for name, value in (headers.items() if isinstance(headers, Mapping) else headers)]
    except (TypeError, ValueError):
        raise EmitRefused("the headers are neither a mapping nor pairs of names and values") from None
    if len(pairs) > MOST_HEADERS or not all(
        isinstance(name, str) and len(name) <= NAME_CHARACTERS for name, _ in pairs
    ):
        raise EmitRefused(f"headers are at most {MOST_HEADERS:,}, with names of text of {NAME_CHARACTERS:,} characters")
    return tuple((name, _bytes(value, f"header {name[:100]}", text_only=True)) for name, value in pairs)


class Outbox:
    """The records of one attempt. The handler puts them in, the executor's link thread takes them out."""

    def __init__(self, attempt: Attempt, room: Room) -> None:
        self._attempt = attempt
        self._room = room
        self._entries = -1
        """Entries of the plan so far; -1: it is no split child."""
        if attempt.stage == "split":
            state = attempt.last_checkpoint
            self._entries = state.get("n", 0) if isinstance(state, dict) else 0
        self.count = 0
        self._freed = 0
        self._bytes = 0
        self._unsent: list[Emitted] = []
        self._sizes: deque[int] = deque()
        """The sizes of those that are not durable."""
        self._told: deque[tuple[int, int]] = deque()
        """Numbers of checkpoints that were sent, and how many records they cover."""
        self._closed = False
        self._lock = Lock()

    # --- the handler ---

    def emit(
        self, topic: str, value: Any, key: str | bytes | None, headers: EmittedHeaders, partition: int | None
    ) -> None:
        """Take a record; raise ``EmitRefused``, ``EmitBufferFull``, or ``StopChild`` while it waits for room."""
        if topic == PLAN and self._entries >= 0:
            record = Emitted(PLAN, self._entries, None, value)
            self._entries += 1
        elif isinstance(topic, str) and 0 < len(topic) < 250:
            attempt = self._attempt
            child = f"{attempt.task_id}/{attempt.stage}/{attempt.child_index}"
            record = record_of(self._room.topic(topic), value, key, headers, partition, child)
        else:
            raise EmitRefused(f"{topic!r:.300} is not the name of a topic")
        self._put(record)

    def _put(self, record: Emitted) -> None:
        size = record.size
        while self.count - self._freed >= MOST_RECORDS or self._bytes + size > MOST_BYTES:
            self._make_room()
        with self._lock:
            if self._closed:
                raise EmitRefused("the child has ended")
            self._unsent.append(record)
            self._sizes.append(size)
            self._bytes += size
            self.count += 1

    def _make_room(self) -> None:
        """Wait until the latest checkpoint is durable, with the records that it covers."""
        self._attempt.finish()
        number, covered = self._attempt.covered
        if covered <= self._freed:
            raise EmitBufferFull(
                f"{self.count - self._freed:,} records of {self._bytes:,} bytes wait, and no checkpoint covers any of "
                "them: checkpoint more often"
            )
        self._room.wait(number)
        if self._attempt.should_stop:
            raise StopChild

    # --- the executor ---

    def close(self) -> None:
        """Take no more: the handler has ended."""
        with self._lock:
            self._closed = True

    def take(self, key: int) -> Iterator[JobEmitted]:
        """Take out what was not sent yet, in parts that fit into a frame."""
        with self._lock:
            records, self._unsent = self._unsent, []
        first = size = 0
        for place, record in enumerate(records):
            if size and size + record.size > FRAME_BYTES:
                yield JobEmitted(key, tuple(records[first:place]))
                first, size = place, 0
            size += record.size
        if records:
            yield JobEmitted(key, tuple(records[first:]))

    def told(self, number: int, covered: int) -> None:
        """Note that a checkpoint was sent."""
        self._told.append((number, covered))

    def confirmed(self, number: int) -> None:
        """Free the room of the records that a durable checkpoint covers."""
        while self._told and self._told[0][0] <= number:
            covered = self._told.popleft()[1]
            with self._lock:
                while self._freed < covered:
                    self._bytes -= self._sizes.popleft()
                    self._freed += 1


class LocalOutbox(Outbox):
    """What a handler emits in the caller's process, where all is durable at once; ``take_one`` gets each record."""

    def __init__(self, attempt: Attempt, room: Room, take_one: Callable[[Emitted], None]) -> None:
        super().__init__(attempt, room)
        self._take_one = take_one

    def _put(self, record: Emitted) -> None:
        self._take_one(record)
        self.count += 1
