"""The page of memory that an executor shares with its pool: what runs, since when, and what is not told yet.

It costs no message and outlives its process: when an executor is killed, its pool finds here which job was
running, the results that were waiting to be sent and what was printed last, so that only the running job pays.

The executor writes, the pool reads, and believes nothing that cannot be: the code of users can reach this memory.
It can make it neither smaller nor larger (``create``). Every field is eight bytes that are stored at once. The key
is cleared before the other fields change and set after them; a reader that finds the same key before and after has
read one job's fields. Times are of the monotonic clock in nanoseconds, which all processes of a machine share,
unless named otherwise.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Final, NamedTuple

from streamsched.worker.output import MEMORY_BYTES

STARTING: Final = -2
IDLE: Final = -1
LEAVING: Final = -3
"""It runs nothing any more, and ends by itself."""
LANES: Final = -4
"""Async children run, each in a lane of its own."""
CLOSING: Final = -5
"""As ``LANES``; nothing begins any more, and what has not begun is returned."""
MOST_LANES: Final = 1_000
SPILL: Final = 1024 * 1024  # room for the largest ending: a result and a state of 256 KiB each
_SPILL_AT: Final = 4096
_TEXT_AT: Final = _SPILL_AT + SPILL
_LANES_AT: Final = _TEXT_AT + MEMORY_BYTES
_LANE_WORDS: Final = 6  # a key plus one, 0 where the lane is free, then the fields of ``Current`` behind its key
_SIZE: Final = _LANES_AT + 8 * _LANE_WORDS * MOST_LANES
_KEY, _STARTED, _STARTED_AT, _BEAT, _DONE, _TOTAL, _FINISHED, _BUSY, _PENDING, _PID, _BLOCKER, _PREPARED = range(12)
PREPARING: Final = -1
"""A setup runs, before the first child of its executor that names it."""
_PENDING_FIELD: Final = 24  # bits of each offset in the word of what is pending; the rest is the count
_MASK: Final = (1 << _PENDING_FIELD) - 1
_COUNT_BITS: Final = 15
MOST_PENDING: Final = (1 << _COUNT_BITS) - 1


def create() -> int:
    """Open an anonymous file of the page's size: its descriptor is what both sides map.

    On Linux its size is sealed: who reads memory beyond the end of its file is killed (SIGBUS), and that is the worker.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("streamsched-executor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _SIZE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return fd
    import tempfile  # macOS; late: every executor waits for what is imported here

    fd, path = tempfile.mkstemp(prefix="streamsched-")
    os.unlink(path)  # noqa: PTH108 - pathlib is not worth its import here
    os.ftruncate(fd, _SIZE)
    return fd


class Current(NamedTuple):
    """The job that runs now. ``started_at`` is milliseconds since the Unix epoch.

    ``prepared``: when the setup of its executor had ended, ``PREPARING`` before; 0: there was none.
    """

    key: int
    started: int
    started_at: int
    beat: int
    done: float
    total: float
    prepared: int = 0


class Page:
    """One executor's page; ``fd`` may be closed afterwards. ``fd`` -1: memory that is not shared."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _SIZE)
        self._bytes = memoryview(self._map)
        self._ints = self._bytes[:_SPILL_AT].cast("q")
        self._floats = self._bytes[:_SPILL_AT].cast("d")
        self.text = self._bytes[_TEXT_AT:_LANES_AT]
        """What was printed and is not written yet: see ``output``."""
        self._lanes = self._bytes[_LANES_AT:].cast("q")
        self._lane_floats = self._bytes[_LANES_AT:].cast("d")

    def close(self) -> None:
        """Give the memory back."""
        self._ints.release()
        self._floats.release()
        self.text.release()
        self._lanes.release()
        self._lane_floats.release()
        self._bytes.release()
        self._map.close()

    # --- for the executor ---

    def ready(self, state: int = IDLE) -> None:
        """Publish whether jobs may come: not yet, now, or not any more."""
        self._ints[_KEY] = state

    def born(self, pid: int) -> None:
        """Publish the id of the process that runs the handlers."""
        self._ints[_PID] = pid

    def begin(self, key: int, now: int, at: int) -> None:
        """Publish that this job runs from now on; ``at`` is the same moment in milliseconds of the epoch."""
        ints = self._ints
        ints[_STARTED] = ints[_BEAT] = now
        ints[_STARTED_AT] = at
        self._floats[_DONE] = self._floats[_TOTAL] = 0.0
        ints[_KEY] = key

    def end(self, took: int) -> None:
        """Publish that the running job is over; its ending has been pushed before."""
        ints = self._ints
        ints[_KEY] = IDLE
        ints[_FINISHED] += 1
        ints[_BUSY] += took

    def beat(self, now: int) -> None:
        """Record a sign of life of the running job."""
        self._ints[_BEAT] = now

    def progress(self, done: float, total: float) -> None:
        """Record how far the running job is."""
        self._floats[_DONE] = done
        self._floats[_TOTAL] = total

    def begin_lane(self, lane: int, key: int, now: int, at: int) -> None:
        """Publish that this job runs in a lane; the rest as ``begin``."""
        first, ints = lane * _LANE_WORDS, self._lanes
        ints[first + 1] = ints[first + 3] = now
        ints[first + 2] = at
        self.progress_lane(lane, 0.0, 0.0)
        ints[first] = key + 1

    def end_lane(self, lane: int, took: int) -> None:
        """Publish that the job of a lane is over; its ending has been pushed before."""
        self._lanes[lane * _LANE_WORDS] = 0
        self._ints[_FINISHED] += 1
        self._ints[_BUSY] += took

    def beat_lane(self, lane: int, now: int) -> None:
        """Record a sign of life of the job of a lane."""
        self._lanes[lane * _LANE_WORDS + 3] = now

    def progress_lane(self, lane: int, done: float, total: float) -> None:
        """Record how far the job of a lane is."""
        self._lane_floats[lane * _LANE_WORDS + 4] = done
        self._lane_floats[lane * _LANE_WORDS + 5] = total

    def block(self, key: int) -> None:
        """Publish which job holds up all others, as its coroutine does not await; -1: none."""
        self._ints[_BLOCKER] = key + 1

    def prepare(self, now: int) -> None:
        """Publish that a setup begins (``PREPARING``), or has ended."""
        self._ints[_PREPARED] = now

    def push(self, item: bytes) -> bool:
        """Keep one encoded item until it is sent; refuse if there is no room."""
        word = self._ints[_PENDING]
        end, size = (word >> _COUNT_BITS) & _MASK, len(item)
        if end == word >> (_PENDING_FIELD + _COUNT_BITS):  # nothing waits: from the begin again
            word = end = 0
        if end + size > SPILL or word & MOST_PENDING == MOST_PENDING:
            return False
        self._bytes[_SPILL_AT + end : _SPILL_AT + end + size] = item
        # One word, so that a kill at any moment leaves either the old or the new truth.
        self._ints[_PENDING] = word + (size << _COUNT_BITS) + 1
        return True

    def pending(self) -> tuple[bytes, int]:
        """Return the items that wait, and their number; none where the page says what cannot be."""
        start, end, count = self._pending()
        if not 0 <= start <= end <= SPILL:
            return b"", 0
        return bytes(self._bytes[_SPILL_AT + start : _SPILL_AT + end]), count

    def waiting(self) -> int:
        """Return the number of items that wait."""
        return self._ints[_PENDING] & MOST_PENDING

    def sent(self, size: int, count: int) -> None:
        """Forget so many bytes and items from the front."""
        start, end, waiting = self._pending()
        self._mark(start + size, end, waiting - count)

    # --- for the pool ---

    def state(self) -> int:
        """Return the key of the running job, ``IDLE``, ``STARTING``, ``LEAVING``, ``LANES`` or ``CLOSING``."""
        return self._ints[_KEY]

    def pid(self) -> int:
        """Return the process that runs the handlers; 0 before it does."""
        return self._ints[_PID]

    def current(self) -> Current | None:
        """Return what runs, unless nothing does or it changed while this looked."""
        ints, floats = self._ints, self._floats
        key = ints[_KEY]
        if key < 0:
            return None
        times = ints[_STARTED], ints[_STARTED_AT], ints[_BEAT]
        found = Current(key, *times, floats[_DONE], floats[_TOTAL], ints[_PREPARED])
        return found if ints[_KEY] == key else None

    def lanes(self, count: int) -> list[Current]:
        """Return what runs in the first ``count`` lanes, but for what changed while this looked."""
        ints, floats, found, prepared = self._lanes, self._lane_floats, [], self._ints[_PREPARED]
        for first in range(0, min(count, MOST_LANES) * _LANE_WORDS, _LANE_WORDS):
            key = ints[first]
            if key > 0:
                started, at, beat = ints[first + 1 : first + 4]
                done, total = floats[first + 4 : first + 6]
                if ints[first] == key:
                    found.append(Current(key - 1, started, at, beat, done, total, prepared))
        return found

    def blocker(self) -> int:
        """Return the key of the job that holds up all others; -1: none does."""
        return self._ints[_BLOCKER] - 1

    def finished(self) -> tuple[int, int]:
        """Return how many jobs ended here, and how long they ran altogether."""
        return self._ints[_FINISHED], self._ints[_BUSY]

    def _pending(self) -> tuple[int, int, int]:
        word = self._ints[_PENDING]
        return word >> (_PENDING_FIELD + _COUNT_BITS), (word >> _COUNT_BITS) & _MASK, word & MOST_PENDING

    def _mark(self, start: int, end: int, count: int) -> None:
        # One word, so that a kill at any moment leaves either the old or the new truth.
        self._ints[_PENDING] = (((start << _PENDING_FIELD) | end) << _COUNT_BITS) | count
