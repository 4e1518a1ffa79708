"""The children of a task as bytes, one for each work child: what a page paints of a million of them.

======  =======================================================================================
bits    meaning
======  =======================================================================================
0 - 2   state: 0 waiting, 1 queued, 2 running, 3 succeeded, 4 failed, 5 cancelled
3       it was told to stop (by a pause, a cancel or a failure), and has not ended yet
4 - 5   dispatches: 0 none or one, 1 two, 2 three, 3 four or more
6 - 7   0, kept for later
======  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from sys import byteorder
from typing import Final

from streamsched.domain.phases import LIVE, ChildState, Told
from streamsched.domain.task import Task
from streamsched.queries.status import running_of

STATES: Final = ("waiting", "queued", "running", "succeeded", "failed", "cancelled")
"""The states by their numbers."""
STATE: Final = 0b111
STOPPING: Final = 0b1000
OFTEN: Final = 0b11_0000
"""Four dispatches or more."""
_RUNNING: Final = STATES.index("running")
_CODES: Final = {
    **{state: STATES.index("queued") | (STOPPING if level is not Told.NOTHING else 0) for state, level in LIVE.items()},
    ChildState.WAITING: STATES.index("waiting"),
    ChildState.DUE: STATES.index("waiting"),
    ChildState.SUCCEEDED: STATES.index("succeeded"),
    ChildState.FAILED: STATES.index("failed"),
    ChildState.CANCELLED: STATES.index("cancelled"),
}
_BYTES: Final = bytes(_CODES.get(low & 0xF, 0) | min(max((low >> 4) - 1, 0), 3) << 4 for low in range(256))
"""By the lowest byte of a cell: its state, and the lowest four bits of its ordinal."""
_LOW, _NEXT = (0, 1) if byteorder == "little" else (3, 2)
"""Where a cell has its lowest byte, and the one with the rest of its ordinal."""
Run = tuple[int, int, int]
"""First child, number of children, their byte."""


def grid_of(task: Task, named: Collection[int] = (), first: int = 0, end: int | None = None) -> bytes:
    """Return the bytes of the work children in [first, end). ``named``: those that a worker has told of lately."""
    begin = min(first, task.work) + task.split
    stop = max(begin, (task.work if end is None else min(end, task.work)) + task.split)
    cells = memoryview(task.table[begin : min(stop, task.cells)]).cast("B")
    found = bytearray(cells[_LOW::4].tobytes().translate(_BYTES))
    rest = cells[_NEXT::4].tobytes()
    if rest.count(0) != len(rest):
        for at, upper in enumerate(rest):
            if upper:
                found[at] |= OFTEN
    for child in running_of(task, named):
        if begin <= child < stop:
            found[child - begin] = found[child - begin] & ~STATE | _RUNNING
    for state, children in task.tail():
        found += bytes([_CODES[state]]) * len(range(max(begin, children.start), min(children.stop, stop)))
    return bytes(found[: stop - begin])


def runs_of(spans: Iterable[tuple[int, int]], grid: bytes) -> Iterator[Run]:
    """Join neighbours with equal bytes, of spans (first, end) in order that do not overlap; others are left out."""
    first, count, byte = 0, 0, -1
    for start, end in spans:
        for child in range(start, min(end, len(grid))):
            if grid[child] == byte and child == first + count:
                count += 1
                continue
            if count:
                yield first, count, byte
            first, count, byte = child, 1, grid[child]
    if count:
        yield first, count, byte
