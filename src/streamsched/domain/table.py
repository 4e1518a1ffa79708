"""The table of a task's children: four bytes for each that was ever dispatched, details only where there are any."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from msgspec import Struct

from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.events import Release, Span
from streamsched.domain.phases import ChildState

CHUNK: Final = 2048
"""Children in one stored piece of the table."""

_STATE: Final = 0xF
_WAITING: Final = int(ChildState.WAITING)
_RUNNING: Final = int(ChildState.RUNNING)
_STOPPING: Final = int(ChildState.STOPPING)
_DUE: Final = int(ChildState.DUE)
_SUCCEEDED: Final = int(ChildState.SUCCEEDED)


class ChildDetail(Struct, array_like=True, gc=False):
    """What is known of a child beside its cell. Times in milliseconds since the epoch, payloads as JSON text."""

    attempt: int = 1
    sequence: int = 0
    state: str | None = None
    recoveries: int = 0
    failed_at_sequence: int = 0
    due: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    worker: str | None = None
    result: str | None = None
    reason: str | None = None
    error_type: str | None = None
    message: str | None = None
    traceback: str | None = None


_UNKNOWN: Final = ChildDetail()


class Load(dict[int, int]):
    """Live children for each work-log partition, over all tasks of a view."""

    __slots__ = ()

    def __missing__(self, partition: int) -> int:
        return 0


class Table:
    """The children of a task: where each is, what is known of it, and which wait for their next dispatch.

    It has a cell of 32 bits for each child that was ever dispatched: state (4), ordinal of the last dispatch (12),
    partition (16). The children behind it are the *tail* and have no cell, so that a plan costs nothing before it is
    worked on: those below ``first_undispatched`` were cancelled, all others wait.
    """

    __slots__ = (
        "bound", "cancelled", "cells", "changed", "children", "details", "due", "failed", "first_undispatched", "live",
        "live_chunks", "load", "stopping", "succeeded", "table", "touched",
    )  # fmt: skip

    def __init__(self, load: Load) -> None:
        self.load = load
        self.children = 0
        self.bound = 0
        """The children below this one may be dispatched now: those of the open stage, none before a plan."""
        self.table = array("I")
        self.cells = 0
        """Length of the table: the children from this index on were never dispatched."""
        self.first_undispatched = 0
        """The children from this index on wait for their first dispatch."""
        self.live = 0
        self.stopping = 0
        self.succeeded = 0
        self.failed = 0
        self.cancelled = 0
        self.due: list[tuple[int, int]] = []
        """Heap of (time, child) that wait for another dispatch."""
        self.details: dict[int, ChildDetail] = {}
        self.live_chunks: dict[int, int] = {}
        self.changed: set[int] = set()
        """Chunks of the table that the view has to store."""
        self.touched: set[int] = set()
        """Children whose detail the view has to store."""

    @property
    def ended(self) -> int:
        """Children that have their ending."""
        return self.succeeded + self.failed + self.cancelled

    @property
    def idle(self) -> int:
        """Children that are neither live nor ended."""
        return self.children - self.live - self.ended

    def state_of(self, child: int) -> ChildState:
        """Return where a child is."""
        if child < self.cells:
            return ChildState(self.table[child] & _STATE)
        return ChildState.CANCELLED if child < self.first_undispatched else ChildState.WAITING

    def ordinal_of(self, child: int) -> int:
        """Return the ordinal of a child's last dispatch; 0 before the first."""
        return self.table[child] >> 4 & LAST_ORDINAL if child < self.cells else 0

    def partition_of(self, child: int) -> int:
        """Return the work-log partition of a child's last dispatch; 0 before the first."""
        return self.table[child] >> 16 if child < self.cells else 0

    def is_current(self, child: int, ordinal: int) -> bool:
        """Return whether this is the live dispatch of the child, so that its outcome counts."""
        if not 0 <= child < self.cells:
            return False
        cell = self.table[child]
        return (cell >> 4 & LAST_ORDINAL) == ordinal and cell & _STATE in (_RUNNING, _STOPPING)

    def release(self, release: Release) -> bool:
        """Make idle children live; False, and nothing done, where one of them is not idle or not at this ordinal."""
        first, count = release.first, release.last - release.first + 1
        if not self._awaits(release):
            return False
        cell = release.partition << 16 | release.ordinal << 4 | _RUNNING
        self.table[first : release.last + 1] = array("I", [cell]) * count
        if first == self.cells:
            self.cells = self.first_undispatched = release.last + 1
        self.live += count
        self.load[release.partition] += count
        for chunk in range(first // CHUNK, release.last // CHUNK + 1):
            inside = min(release.last + 1, (chunk + 1) * CHUNK) - max(first, chunk * CHUNK)
            self.live_chunks[chunk] = self.live_chunks.get(chunk, 0) + inside
            self.changed.add(chunk)
        return True

    def _awaits(self, release: Release) -> bool:
        if not 0 <= release.first <= release.last < self.children:
            return False
        if release.first >= self.cells:  # nothing behind a cancelled child is dispatched for the first time
            return (
                release.first == self.cells == self.first_undispatched
                and release.ordinal == 1
                and release.last < self.bound
            )
        cells = self.table[release.first : release.last + 1]
        return release.last < self.cells and all(
            cell & _STATE == _DUE and (cell >> 4 & LAST_ORDINAL) + 1 == release.ordinal for cell in cells
        )

    def settle(self, child: int, state: ChildState) -> None:
        """Take a live child out of the live set."""
        cell = self.table[child]
        self.table[child] = cell & ~_STATE | state
        self.live -= 1
        if cell & _STATE == _STOPPING:
            self.stopping -= 1
        self.load[cell >> 16] -= 1
        chunk = child // CHUNK
        left = self.live_chunks[chunk] - 1
        if left:
            self.live_chunks[chunk] = left
        else:
            del self.live_chunks[chunk]
        self.changed.add(chunk)

    def mark_stopping(self, child: int) -> None:
        """Note that a live child has been told to stop."""
        if self.table[child] & _STATE == _RUNNING:
            self.table[child] += _STOPPING - _RUNNING
            self.stopping += 1
            self.changed.add(child // CHUNK)

    def cancel_idle(self, span: Span) -> None:
        """Cancel the children of a span that are neither live nor ended."""
        last = min(span.last, self.children - 1)
        if span.first > self.first_undispatched:
            return  # it would leave children behind that are never looked at again
        for child in range(span.first, min(last + 1, self.cells)):
            if self.table[child] & _STATE in (_DUE, _WAITING):
                self._set_idle(child, ChildState.CANCELLED)
                self.cancelled += 1
        if last >= self.first_undispatched:
            self.cancelled += last + 1 - self.first_undispatched
            self.first_undispatched = last + 1

    def revive_tail(self) -> None:
        """Make the children wait again that were cancelled before their first dispatch."""
        self.cancelled -= self.first_undispatched - self.cells
        self.first_undispatched = self.cells

    def _set_idle(self, child: int, state: ChildState) -> None:
        self.table[child] = self.table[child] & ~_STATE | state
        self.changed.add(child // CHUNK)

    def wait_until(self, child: int, due: int) -> None:
        """Queue a child for another dispatch, at ``due`` or later."""
        detail = self.detail(child)
        # Later than ever before: an entry of the heap that an earlier wait left behind never names this one.
        detail.due = max(due, detail.due + 1)
        heappush(self.due, (detail.due, child))

    def _queue(self, child: int) -> None:
        self._set_idle(child, ChildState.DUE)
        self.wait_until(child, 0)

    def detail_of(self, child: int) -> ChildDetail:
        """Return what is known of a child, for reading."""
        return self.details.get(child, _UNKNOWN)

    def detail(self, child: int) -> ChildDetail:
        """Find or make the detail of a child, for a change."""
        self.touched.add(child)
        found = self.details.get(child)
        if found is None:
            found = self.details[child] = ChildDetail()
        return found

    def stored(self) -> None:
        """Forget which rows had changed, and the details of ended children: a view has stored them."""
        for child in self.touched:
            if self.table[child] & _STATE >= _SUCCEEDED:
                del self.details[child]
        self.changed.clear()
        self.touched.clear()

    # --- walks ------------------------------------------------------------------------------------------------------

    def live_children(self) -> Iterator[int]:
        """Yield the live children in order, over the chunks that have any."""
        for chunk in sorted(self.live_chunks):
            for child in range(chunk * CHUNK, min((chunk + 1) * CHUNK, self.cells)):
                if self.table[child] & _STATE in (_RUNNING, _STOPPING):
                    yield child

    def tail(self) -> Iterator[tuple[ChildState, range]]:
        """Yield the children that were never dispatched, as ranges of one state."""
        yield ChildState.CANCELLED, range(self.cells, self.first_undispatched)
        yield ChildState.WAITING, range(self.first_undispatched, self.children)

    def first_taken(self, span: Span) -> int | None:
        """Return the first child of a span that is live or has ended; None where all of them are idle."""
        for child in range(max(0, span.first), min(span.last + 1, self.cells)):
            if self.table[child] & _STATE not in (_DUE, _WAITING):
                return child
        tail = max(span.first, self.cells)
        return tail if tail < self.first_undispatched and tail <= span.last else None

    def due_children(self, now: int, limit: int) -> list[int]:
        """Return up to ``limit`` children whose next dispatch is due, earliest first; the heap keeps them."""
        found: list[tuple[int, int]] = []
        while self.due and self.due[0][0] <= now and len(found) < limit:
            due, child = heappop(self.due)
            if self._waits(due, child):
                found.append((due, child))
        for entry in found:
            heappush(self.due, entry)
        return [child for _, child in found]

    def next_due(self) -> int | None:
        """Return when the next waiting child is due."""
        while self.due and not self._waits(*self.due[0]):
            heappop(self.due)
        return self.due[0][0] if self.due else None

    def _waits(self, due: int, child: int) -> bool:
        return self.table[child] & _STATE == _DUE and self.details[child].due == due
