"""What a handler emits, in its executor: records wait here until they are sent, and are counted until they are durable.

An executor imports it with the first record that a handler emits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from streamsched.worker.errors import EmitBufferFull, EmitRefused, StopChild
from streamsched.worker.jobs import MOST_BYTES, MOST_RECORDS, PLAN, Emitted, JobEmitted

if TYPE_CHECKING:
    from streamsched.worker.context import ChildContext, EmittedHeaders, Transport

FRAME_BYTES: Final = 256 * 1024
"""Bytes of the records that are sent together; one that is larger is sent alone."""


class Outbox:
    """The records of one attempt. The handler puts them in, the executor's link thread takes them out."""

    def __init__(self, context: ChildContext, transport: Transport) -> None:
        state = context.last_checkpoint
        found = state.get("n", 0) if isinstance(state, dict) else 0
        self._context = context
        self._transport = transport
        self._entries = found if context.stage == "split" else -1
        """Entries of the plan so far; -1: it is no split child."""
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
        else:
            raise EmitRefused(
                f"this worker lets no handler write to topic {topic!r}: see [emit] topics of its settings"
            )
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
        self._context.finish()
        number, covered = self._context.covered
        if covered <= self._freed:
            raise EmitBufferFull(
                f"{self.count - self._freed:,} records of {self._bytes:,} bytes wait, and no checkpoint covers any of "
                "them: checkpoint more often"
            )
        self._transport.wait(number)
        if self._context.should_stop:
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
