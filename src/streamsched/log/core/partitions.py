"""One partition: its offsets, the transactions open in it, and the most recent records in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from typing import Final

from streamsched.log.core.chunks import Chunk, chunk_time, decode_chunk
from streamsched.log.core.store import BOUNDS, Store, bounds_key, chunk_key, chunk_offset
from streamsched.log.port import PositionLost

_LAST: Final = 2**64 - 1


def _base(chunk: Chunk) -> int:
    return chunk.base


class Partition:
    """The offsets of one partition and the way to its records.

    ``end`` is the high watermark, ``stable`` the last stable offset: what lies beyond it waits for an open
    transaction.
    """

    __slots__ = (
        "_floor", "_store", "_tail", "end", "index", "name", "number", "open", "stable", "start"
    )  # fmt: skip

    def __init__(self, store: Store, name: str, number: int, index: int) -> None:
        self._store = store
        self.name = name
        self.number = number
        self.index = index
        self.open: dict[object, int] = {}
        self._tail: list[Chunk] = []
        self.start = self.end = self.stable = self._floor = 0
        self.load()

    def __str__(self) -> str:
        return f"{self.name}-{self.index}"

    def load(self) -> None:
        """Take the bounds from the store: at the opening, or after another process wrote."""
        bounds = self._store.get(bounds_key(self.number, self.index))
        if bounds is not None:
            self.start, self.end = BOUNDS.unpack(bounds)
            self.stable = self._floor = self.end

    def bounds(self) -> tuple[bytes, bytes]:
        """Make the pair that keeps the bounds."""
        return bounds_key(self.number, self.index), BOUNDS.pack(self.start, self.end)

    def reserve(self, count: int) -> int:
        """Reserve the next offsets; returns the first."""
        base = self.end
        self.end = base + count
        return base

    def settle(self) -> None:
        """Find the last stable offset again, after a transaction began or ended here."""
        self.stable = min(self.open.values(), default=self.end)

    def remember(self, chunk: Chunk) -> bool:
        """Keep a committed chunk in memory; False where older ones beside it are in the store only."""
        if chunk.base < self._floor:
            return False
        tail = self._tail
        if tail and tail[-1].base > chunk.base:
            tail.insert(bisect_right(tail, chunk.base, key=_base), chunk)
        else:
            tail.append(chunk)
        return True

    def forget(self) -> int:
        """Drop the oldest chunk from memory; returns its size."""
        chunk = self._tail.pop(0)
        self._floor = chunk.next
        return chunk.size

    def check(self, position: int) -> None:
        """Raise ``PositionLost`` where nothing can be read from this position."""
        if position < self.start:
            raise PositionLost(
                f"position {position} of {self} is gone: the log begins at {self.start}; "
                "rebuild from the start, or repair the group's commit"
            )
        if position > self.end:
            raise PositionLost(
                f"position {position} of {self} does not exist: the log ends at {self.end}; "
                "this is another log than the position was taken from, or it lost its end"
            )

    def chunks(self, position: int) -> Iterator[Chunk]:
        """Yield the committed chunks that hold records at or after the position, in order."""
        if position >= self._floor:
            tail = self._tail
            at = bisect_right(tail, position, key=_base)
            if at and tail[at - 1].next > position:
                at -= 1
            while at < len(tail):
                yield tail[at]
                at += 1
            return
        begin = chunk_key(self.number, self.index, position)
        before = self._store.floor(chunk_key(self.number, self.index, 0), begin)
        if before is not None:
            chunk = decode_chunk(chunk_offset(before[0]), before[1])
            if chunk.next > position:
                yield chunk
                begin = chunk_key(self.number, self.index, chunk.next)
        for key, value in self._store.scan(begin, chunk_key(self.number, self.index, _LAST)):
            yield decode_chunk(chunk_offset(key), value)

    def position_at(self, time: int) -> int:
        """Find the first record not older than ``time``, by bisection: exact if the clock never jumped."""
        low, high = self.start, self.end
        first = chunk_key(self.number, self.index, 0)
        while low < high:
            middle = (low + high) // 2
            found = self._store.floor(first, chunk_key(self.number, self.index, middle))
            if found is not None and chunk_time(found[1]) >= time:
                high = min(middle, max(chunk_offset(found[0]), low))
            else:
                low = middle + 1
        return next((max(chunk.base, self.start) for chunk in self.chunks(low)), self.end)

    def drop_before(self, position: int) -> tuple[bytes, bytes]:
        """Move the start; returns the range of keys to delete: chunks that lie wholly below it."""
        first = chunk_key(self.number, self.index, 0)
        bound = chunk_key(self.number, self.index, position)
        before = self._store.floor(first, bound)
        if before is not None and decode_chunk(chunk_offset(before[0]), before[1]).next > position:
            bound = before[0]
        self.start = position
        return first, bound


class Tail:
    """Bounds, over all partitions, the bytes of records that are kept in memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._order: deque[Partition] = deque()

    def remember(self, partition: Partition, chunk: Chunk) -> None:
        """Keep a chunk that was just committed, and drop the oldest ones beyond the limit."""
        if not partition.remember(chunk):
            return
        self._order.append(partition)
        self._size += chunk.size
        while self._size > self._limit:
            self._size -= self._order.popleft().forget()
