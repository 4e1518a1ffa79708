"""The table of a task's children: four bytes for each that was ever dispatched, details only where there are any."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import islice
from sys import byteorder
from typing import Final

from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.child_detail import ChildDetail
from streamsched.domain.events import Release, Span
from streamsched.domain.phases import ENDED, LIVE, ChildState, Told

CHUNK: Final = 2048
"""Children in one stored piece of the table."""

_STATE: Final = 0xF
_STATES_OF: Final = bytes(byte & _STATE for byte in range(256))
_LOW: Final = 0 if byteorder == "little" else 3
"""The byte of a cell that has its state."""
_WAITING: Final = int(ChildState.WAITING)
_RUNNING: Final = int(ChildState.RUNNING)
_DUE: Final = int(ChildState.DUE)
_CELL: Final = {level: int(state) for state, level in LIVE.items()}
"""The state of a live child, by what it was told."""
_UNKNOWN: Final = ChildDetail()


class Load(dict[int, int]):
    """Live children for each work-log partition, of a task or over all tasks of a view."""

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
        "again", "bound", "cancelled", "cells", "changed", "children", "details", "due", "failed",
        "first_undispatched", "live", "live_chunks", "load", "placed", "restart", "succeeded", "table", "told",
        "touched",
    )  # fmt: skip

    def __init__(self, load: Load) -> None:
        self.load = load
        self.placed = Load()
        """Its own live children for each work-log partition."""
        self.children = 0
        self.bound = 0
        """The children below this one may be dispatched now: those of the open stage, none before a plan."""
        self.table = array("I")
        self.cells = 0
        """Length of the table: the children from this index on were never dispatched."""
        self.first_undispatched = 0
        """The children from this index on wait for their first dispatch."""
        self.live = 0
        self.told = [0] * len(Told)
        """Live dispatches that were told so much or more, by level; at level 0 nothing is counted."""
        self.succeeded = 0
        self.failed = 0
        self.cancelled = 0
        self.due: list[tuple[int, int]] = []
        """Heap of (time, child) that wait for another dispatch."""
        self.again: dict[int, int] = {}
        """Children that a redrive has revived, by chunk. They are below the bound, have a cell, and wait."""
        self.restart = False
        """Whether revived children begin anew."""
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
        return (cell >> 4 & LAST_ORDINAL) == ordinal and cell & _STATE in LIVE

    def release(self, release: Release) -> bool:
        """Make idle children live; False, and nothing done, where one of them is not idle or not at this ordinal."""
        first, count = release.first, release.last - release.first + 1
        if not self._awaits(release):
            return False
        if first < self.cells:
            for child in range(first, release.last + 1):
                if self.is_revived(child):
                    self._count_again(child, -1)
                    self.bring_back(child, self.detail_of(child))
                    self.touched.add(child)
        cell = release.partition << 16 | release.ordinal << 4 | _RUNNING
        self.table[first : release.last + 1] = array("I", [cell]) * count
        if first == self.cells:
            self.cells = self.first_undispatched = release.last + 1
        self.live += count
        self.load[release.partition] += count
        self.placed[release.partition] += count
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
        idle = (_DUE, _WAITING) if release.last < self.bound else (_DUE,)
        return release.last < self.cells and all(
            cell & _STATE in idle and (cell >> 4 & LAST_ORDINAL) + 1 == release.ordinal for cell in cells
        )

    def is_revived(self, child: int) -> bool:
        """Return whether a child waits since a redrive, though it has a cell and its stage is open."""
        return child < self.cells and child < self.bound and self.table[child] & _STATE == _WAITING

    def revive(self, child: int) -> None:
        """Let an ended child be dispatched again; what is known of it is brought back then."""
        self._set_idle(child, ChildState.WAITING)
        self._count_again(child, 1)

    def bring_back(self, child: int, known: ChildDetail) -> None:
        """Have in memory what the next attempt of a revived child needs; again is the same as once."""
        self.details[child] = self.anew(known)

    def anew(self, known: ChildDetail) -> ChildDetail:
        """Return what stays of a detail in a redrive: the first attempt is next, from the last checkpoint."""
        state = None if self.restart else known.state
        sequence, group, final = known.sequence, known.group, known.final
        return ChildDetail(sequence=sequence, state=state, failed_at_sequence=sequence, group=group, final=final)

    def _count_again(self, child: int, count: int) -> None:
        chunk = child // CHUNK
        left = self.again.get(chunk, 0) + count
        if left:
            self.again[chunk] = left
        else:
            del self.again[chunk]

    def revived(self) -> Iterator[int]:
        """Yield the revived children, over the chunks that have any."""
        for chunk in list(self.again):
            yield from self._waiting(chunk)

    def _waiting(self, chunk: int) -> Iterator[int]:
        first = chunk * CHUNK
        low = memoryview(self.table[first : first + CHUNK]).cast("B")[_LOW :: self.table.itemsize].tobytes()
        states, at = low.translate(_STATES_OF), -1
        while (at := states.find(_WAITING, at + 1)) >= 0:
            if self.is_revived(first + at):
                yield first + at

    def settle(self, child: int, state: ChildState) -> None:
        """Take a live child out of the live set."""
        cell = self.table[child]
        self.table[child] = cell & ~_STATE | state
        self.live -= 1
        if cell & _STATE != _RUNNING:
            for level in range(1, LIVE[cell & _STATE] + 1):
                self.told[level] -= 1
        self.load[cell >> 16] -= 1
        self.placed[cell >> 16] -= 1
        chunk = child // CHUNK
        left = self.live_chunks[chunk] - 1
        if left:
            self.live_chunks[chunk] = left
        else:
            del self.live_chunks[chunk]
        self.changed.add(chunk)

    def told_of(self, child: int) -> Told:
        """Return what a live child was told."""
        return LIVE[self.table[child] & _STATE]

    def tell(self, child: int, level: Told) -> bool:
        """Note what a live child was told; False, and nothing done, where it was told so much before."""
        before = self.told_of(child)
        if level <= before:
            return False
        self.table[child] += _CELL[level] - _CELL[before]
        self.changed.add(child // CHUNK)
        for each in range(before + 1, level + 1):
            self.told[each] += 1
        return True

    def cancel_idle(self, span: Span) -> None:
        """Cancel the children of a span that are neither live nor ended."""
        last = min(span.last, self.children - 1)
        if span.first > self.first_undispatched:
            return  # it would leave children behind that are never looked at again
        for child in range(span.first, min(last + 1, self.cells)):
            if self.table[child] & _STATE in (_DUE, _WAITING):
                if self.is_revived(child):
                    self._count_again(child, -1)
                self._set_idle(child, ChildState.CANCELLED)
                self.cancelled += 1
        if last >= self.first_undispatched:
            self.cancelled += last + 1 - self.first_undispatched
            self.first_undispatched = last + 1

    def revive_tail(self) -> None:
        """Make the children wait again that were cancelled before their first dispatch."""
        self.cancelled -= self.first_undispatched - self.cells
        self.first_undispatched = self.cells

    def pad_tail(self, end: int) -> None:
        """Give cells to the cancelled children below ``end`` that have none, so that some of them can be revived."""
        missing = min(end, self.first_undispatched) - self.cells
        if missing > 0:
            self.table.extend(array("I", [int(ChildState.CANCELLED)]) * missing)
            self.changed.update(range(self.cells // CHUNK, (self.cells + missing - 1) // CHUNK + 1))
            self.cells += missing

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

    def has_begun(self, child: int) -> bool:
        """Return whether its worker has told that a live child runs; one that ran for half a second or less is not."""
        detail = self.detail_of(child)
        return detail.started_at is not None and detail.finished_at is None

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
            if self.table[child] & _STATE in ENDED:
                del self.details[child]
        self.changed.clear()
        self.touched.clear()

    # --- walks ------------------------------------------------------------------------------------------------------

    def begun_children(self) -> list[int]:
        """Return the live children that ``has_begun`` is true for, in any order; looks only at those with a detail."""
        return [
            child
            for child, detail in self.details.items()
            if detail.started_at is not None and detail.finished_at is None and self.state_of(child) in LIVE
        ]

    def live_children(self) -> Iterator[int]:
        """Yield the live children in order, over the chunks that have any."""
        for chunk in sorted(self.live_chunks):
            for child in range(chunk * CHUNK, min((chunk + 1) * CHUNK, self.cells)):
                if self.table[child] & _STATE in LIVE:
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
        """Return up to ``limit`` children whose next dispatch is due, earliest first, then revived ones."""
        found: list[tuple[int, int]] = []
        while self.due and self.due[0][0] <= now and len(found) < limit:
            due, child = heappop(self.due)
            if self._waits(due, child):
                found.append((due, child))
        for entry in found:
            heappush(self.due, entry)
        return [*(child for _, child in found), *islice(self.revived(), limit - len(found))]

    def next_due(self) -> int | None:
        """Return when the next waiting child is due; a revived one always is."""
        if self.again:
            return 0
        while self.due and not self._waits(*self.due[0]):
            heappop(self.due)
        return self.due[0][0] if self.due else None

    def _waits(self, due: int, child: int) -> bool:
        return self.table[child] & _STATE == _DUE and self.details[child].due == due
