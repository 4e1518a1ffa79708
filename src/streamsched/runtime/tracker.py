"""Which records of a work-log partition are settled: the pending set, as offsets.

::

    committed position = low mark                          highest settled         read
            │                                                     │                 │
    ────────U──s──s──U──s──U──s──s──s──────────────U──s──────────s──U──U──U──U──U───┊──── ? ──── s (ahead)
            └────────────── ranges in the commit's metadata ──────┘

Offsets below ``read`` that are not in ``unsettled`` are settled: outcomes, markers of transactions, gaps. Offsets
from ``read`` on are unknown, but for records of our own, appended beyond the reader: a continuation may be settled
before it was ever read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import Final, Generic, TypeVar

from streamsched.runtime.commit_metadata import RANGES_LIMIT_BYTES, decode_ranges, encode_ranges

T = TypeVar("T")


class OffsetState(Enum):
    """What the reader met at an offset."""

    NEW = auto()
    OWN = auto()
    SETTLED = auto()


NEW: Final = OffsetState.NEW
"""By a name of its own: a member costs 0.1 us each time it is asked of its enum."""


@dataclass(frozen=True, slots=True)
class CommitPoint:
    """What a commit says of a partition: its position and the settled ranges above it."""

    position: int
    settled_ranges: str = "-"

    @property
    def fits(self) -> bool:
        """Whether the broker takes it."""
        return len(self.settled_ranges) <= RANGES_LIMIT_BYTES

    @property
    def crowded(self) -> bool:
        """Whether it is time to renew the oldest records, so that it still fits later."""
        return len(self.settled_ranges) > RANGES_LIMIT_BYTES // 2


class Tracker(Generic[T]):
    """The unsettled offsets of one partition, each with the item that its record represents."""

    __slots__ = ("_ahead", "_inherited", "_settled_ahead", "_unsettled", "read")

    def __init__(self, position: int, settled_ranges: str = "-") -> None:
        self.read = position
        """The next offset to be read."""
        self._unsettled: dict[int, T] = {}
        self._ahead: dict[int, T] = {}
        self._settled_ahead: set[int] = set()
        self._inherited: list[tuple[int, int]] = []
        offset = position
        for turn, length in enumerate(decode_ranges(settled_ranges)):
            if turn % 2:
                self._inherited.append((offset, offset + length))
            offset += length

    def __len__(self) -> int:
        return len(self._unsettled) + len(self._ahead)

    @property
    def low(self) -> int:
        """The low mark: the lowest unsettled offset, or what is read next."""
        return next(iter(self._unsettled), self.read)

    def classify(self, offset: int) -> OffsetState:
        """Note that the reader reached this offset, and return the state of the offset.

        A NEW record counts as settled unless ``add`` is called for it.
        """
        self.read = offset + 1
        while self._inherited and self._inherited[0][1] <= offset:
            del self._inherited[0]
        if self._ahead and offset in self._ahead:
            self._unsettled[offset] = self._ahead.pop(offset)
            return OffsetState.OWN
        if self._settled_ahead and offset in self._settled_ahead:
            self._settled_ahead.discard(offset)
            return OffsetState.SETTLED
        if self._inherited and self._inherited[0][0] <= offset:
            return OffsetState.SETTLED
        return NEW

    def advance(self, position: int) -> None:
        """Note that there is nothing but markers and gaps up to this position."""
        self.read = max(self.read, position)

    def add(self, offset: int, item: T) -> None:
        """Hold a record that was just met as unsettled."""
        self._unsettled[offset] = item

    def appended(self, offset: int, item: T) -> None:
        """Hold a record of our own, which the reader has yet to meet."""
        self._ahead[offset] = item

    def settle(self, offset: int) -> T:
        """Settle a record and return what it stood for."""
        if offset in self._unsettled:
            settled = self._unsettled.pop(offset)
            if not self._unsettled:
                self._unsettled.clear()  # else it keeps the room that it had at its fullest
            return settled
        item = self._ahead.pop(offset)
        self._settled_ahead.add(offset)
        return item

    def restore(self, items: Mapping[int, T]) -> None:
        """Take settlements back whose transaction was aborted."""
        for offset, item in items.items():
            if offset in self._settled_ahead:
                self._settled_ahead.discard(offset)
                self._ahead[offset] = item
            else:
                self._unsettled[offset] = item
        self._unsettled = dict(sorted(self._unsettled.items()))

    def oldest(self, count: int) -> list[T]:
        """List what the lowest unsettled offsets stand for."""
        return list(islice(self._unsettled.values(), count))

    def items(self) -> Iterator[T]:
        """Yield what all unsettled records stand for."""
        yield from self._unsettled.values()
        yield from self._ahead.values()

    def commit_point(self) -> CommitPoint:
        """Return the position and settled ranges to commit now."""
        low = cursor = self.low
        lengths: list[int] = []
        for first, end in self._settled_spans():
            if lengths and first == cursor:
                lengths[-1] += end - first
            else:
                lengths += (first - cursor, end - first)
            cursor = end
        return CommitPoint(low, encode_ranges(lengths))

    def _settled_spans(self) -> Iterator[tuple[int, int]]:
        """Yield the settled offsets above the low mark, as spans with their ends left out."""
        if self._unsettled:
            expected = self.low
            for offset in self._unsettled:
                if offset != expected:
                    yield expected, offset
                expected = offset + 1
            if expected < self.read:
                yield expected, self.read
        ahead = [(offset, offset + 1) for offset in self._settled_ahead]
        inherited = [(max(first, self.read), end) for first, end in self._inherited if end > self.read]
        yield from sorted(ahead + inherited)
