"""The folded state of one task: a few counters, four bytes for each child, details only where there are any."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from msgspec import Struct

from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.events import Release, Span, TaskRequested
from streamsched.domain.phases import TERMINAL, TRANSITIONS, VERDICTS, ChildState, Phase
from streamsched.domain.refusal import TemplateError
from streamsched.domain.routing import ANYWHERE, Requirement, requirement_of
from streamsched.domain.template import ChildSpec, complete_params, read_params, read_template, resolve_params

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


class Task:
    """One task as its events made it. Changed only by ``evolve``; asked by ``owed``, the view and the scheduler.

    The table has a cell of 32 bits for each child that was ever dispatched: state (4), ordinal of the last dispatch
    (12), partition (16). The children behind it are the *tail* and have no cell, so that a plan costs nothing before it
    is worked on: those below ``first_undispatched`` were cancelled, all others wait.

    *Stages* are ranges of the table, one after the other: the ``work`` children, then the reduce child if there is one.
    A child with a cell that waits is *held*: it was dispatched before a redrive, and its stage is not open yet.
    """

    __slots__ = (
        "bound", "busy_ms", "cancelled", "cells", "changed", "children", "cursor", "details", "digest", "due", "failed",
        "fault", "finished_at", "first_undispatched", "live", "live_chunks", "load", "measured", "phase", "plan",
        "reason", "redrive", "refusal", "reopened", "request", "started_at", "stopping", "succeeded", "table",
        "template", "touched", "void", "work",
    )  # fmt: skip

    def __init__(self, request: TaskRequested, load: Load) -> None:
        self.request = request
        self.template, self.fault = read_template(request.template)
        self.load = load
        self.phase = Phase.REQUESTED
        self.redrive = 0
        """The number of redrives."""
        self.reopened = False
        """Whether anything was dispatched in this redrive, so that its schedule knows of it."""
        self.reason = ""
        self.refusal = ""
        """Which worker could not run a child, and why, unless a child has run since."""
        self.plan = self.digest = ""
        self.cursor: str | None = None
        self.children = 0
        self.work = 0
        """The number of work children, those that the splitter gives: the first ones of the table."""
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
        self.started_at: int | None = None
        self.finished_at: int | None = None
        """When its ending became certain: when every planned child had ended, without a plan at its terminal event."""
        self.busy_ms = 0
        self.measured = 0
        """Outcomes that went into ``busy_ms``."""
        self.void = 0
        """Outcomes and facts that came too late to have an effect."""
        self.changed: set[int] = set()
        """Chunks of the table that the view has to store."""
        self.touched: set[int] = set()
        """Children whose detail the view has to store."""

    @property
    def task_id(self) -> str:
        """The id, which is also the idempotency key."""
        return self.request.task_id

    @property
    def ended(self) -> int:
        """Children that have their ending."""
        return self.succeeded + self.failed + self.cancelled

    @property
    def idle(self) -> int:
        """Children that are neither live nor ended."""
        return self.children - self.live - self.ended

    @property
    def terminal(self) -> bool:
        """Whether it has its terminal event."""
        return self.phase in TERMINAL

    @property
    def verdict(self) -> Phase:
        """The phase in which it ends, as soon as that is certain (before its terminal event); until then its phase."""
        return self.phase if self.finished_at is None else VERDICTS.get(self.phase, self.phase)

    @property
    def left_undone(self) -> bool:
        """Whether it has ended with something left to do: it did not succeed, or children failed that it tolerated."""
        return self.phase in (Phase.FAILED, Phase.CANCELLED) or (
            self.phase is Phase.SUCCEEDED and self.succeeded < self.children
        )

    def spec_of(self, child: int) -> ChildSpec:
        """Return what the template says of the stage of a child."""
        template = self.template
        return template.child if child < self.work or template.reduce is None else template.reduce

    def requirement_of(self, child: int) -> Requirement:
        """Return what a worker must have to run a child; where the template cannot be read, nothing."""
        if self.fault:
            return ANYWHERE
        spec = self.spec_of(child)
        return requirement_of(spec.handler, spec.setup)

    @property
    def requirement(self) -> Requirement:
        """What a worker must have to run the children of the open stage; of the first one before there is a plan."""
        return self.requirement_of(self.work if self.bound > self.work else self.work - 1)

    def params(self, *, match: bool = False) -> dict[str, object]:
        """Return the value of each variable, with ``match`` checked by its pattern. Raise TemplateError."""
        if self.fault:
            raise TemplateError(self.fault, "cancel it")
        resolve = resolve_params if match else complete_params
        return resolve(self.template, read_params(self.request.params))

    def enter(self, phase: Phase) -> None:
        """Go to another phase, which the table must allow."""
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"task {self.task_id}: no way from {self.phase} to {phase}")
        self.phase = phase

    # --- cells ------------------------------------------------------------------------------------------------------

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

    def do_again(self, child: int, *, restart: bool) -> None:
        """Have an ended child dispatched again, as its first attempt: a work child now, a reduce when that opens."""
        known = self.detail(child)
        state = None if restart else known.state
        self.details[child] = ChildDetail(sequence=known.sequence, state=state, failed_at_sequence=known.sequence)
        if child < self.work:
            self._queue(child)
        else:
            self._set_idle(child, ChildState.WAITING)

    def open_stage(self) -> None:
        """Open the stage behind the bound: its children may be dispatched, the held ones at once."""
        held = self._held()
        self.bound = self.children
        for child in held:
            self._queue(child)

    def _queue(self, child: int) -> None:
        self._set_idle(child, ChildState.DUE)
        self.wait_until(child, 0)

    def _held(self) -> list[int]:
        return [child for child in range(self.work, self.cells) if self.table[child] & _STATE == _WAITING]

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

    def idle_spans(self) -> Iterator[Span]:
        """Yield the children that are neither live nor ended, as few spans as there are."""
        for child in sorted(child for due, child in self.due if self._waits(due, child)):
            yield Span(child, child)
        for child in self._held():
            yield Span(child, child)
        if self.first_undispatched < self.children:
            yield Span(self.first_undispatched, self.children - 1)

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
