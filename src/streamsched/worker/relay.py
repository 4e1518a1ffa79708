"""What executors print, on its way into the log: the copy that they write is followed, within a budget.

All of it is best effort: what is beyond the budget, or cannot be written in time, is passed over, and a line says so.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from streamsched.worker.sink import generations

RECORD_BYTES: Final = 64 * 1024
SAVED_S: Final = 10
"""Seconds of the budget that may be saved up for what is printed at once."""
SAVED_BYTES: Final = 2 * 1024 * 1024
"""What is saved up at most, unless the budget of a second is more: so much is read at once, and held in memory."""
LINE: Final = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([^\x00-\x20\x7f]{1,512})\[(\d{1,10}|split|reduce)\]#(\d{1,10}) "
)
"""What a line of a child begins with: its time, task, child and attempt."""


class Followed:
    """A file that others append to and rotate: what comes from now on, and the newest of it where that is too much."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._files = generations(self._path)
        for file in self._files:
            file.seek(0, os.SEEK_END)

    def read(self, most: int) -> tuple[bytes, int]:
        """Return whole lines, of ``most`` bytes at most; and the number of bytes before them that were passed over."""
        before, current = len(self._files), self._current()
        left = [max(0, os.fstat(file.fileno()).st_size - file.tell()) for file in self._files]
        passed = over = max(0, sum(left) - most)
        parts: list[bytes] = []
        for file, size in zip(self._files, left, strict=True):
            step = min(size, over)
            over -= step
            file.seek(step, os.SEEK_CUR)
            parts.append(file.read(size - step))
        data = b"".join(parts)
        if passed:  # perhaps the second half of a line
            data, passed = data[data.find(b"\n") + 1 :], passed + data.find(b"\n") + 1
        # An executor may write a last line to a file that another has just renamed: it is read once more.
        for file in self._files[: before - 1] if current else ():
            file.close()
            self._files.remove(file)
        return self._whole(data, len(parts[-1]) if parts else 0), passed

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _current(self) -> bool:
        """Open the files that have come since; return whether there is one."""
        last = os.fstat(self._files[-1].fileno()) if self._files else None
        with suppress(OSError):
            if last is not None and os.path.samestat(last, os.stat(self._path)):  # noqa: PTH116
                return True
        found = generations(self._path)
        seen = [last is not None and os.path.samestat(last, os.fstat(file.fileno())) for file in found]
        newer = found[seen.index(True) + 1 :] if True in seen else found
        for file in found[: len(found) - len(newer)]:
            file.close()
        self._files += newer
        return bool(newer)

    def _whole(self, data: bytes, last: int) -> bytes:
        """Leave a line whose end is not written yet in the file, of which these are the ``last`` bytes."""
        end = data.rfind(b"\n") + 1
        if 0 < len(data) - end <= min(last, RECORD_BYTES):  # a longer one is nothing that an executor writes
            self._files[-1].seek(end - len(data), os.SEEK_CUR)
        return data[:end]


class Relay:
    """Takes from a followed file what is to be written now, as records: the name of a task, and lines of it."""

    def __init__(self, path: Path, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at the end of the file; ``budget``: bytes a second."""
        self._followed = Followed(path)
        self._budget = budget
        self._most = max(budget, min(SAVED_S * budget, SAVED_BYTES))
        self._saved = float(self._most)
        self._clock = clock
        self._looked = clock()
        self._passed = self._told = 0
        """Bytes that were passed over: those of which no line says so yet, and those of the last records."""
        self.close = self._followed.close

    def take(self) -> Sequence[tuple[str, bytes]]:
        """Return what has come, within the budget."""
        now = self._clock()
        self._saved = min(self._most, self._saved + (now - self._looked) * self._budget)
        self._looked = now
        data, passed = self._followed.read(int(self._saved))
        self._saved -= len(data)
        self._passed += passed
        records = list(records_of(data, self._passed))
        if records:
            self._passed, self._told = 0, self._passed
        return records

    def lost(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Count what could not be written as passed over."""
        self._passed += self._told + sum(len(lines) for _, lines in records)


def records_of(data: bytes, passed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield records of whole lines, each of one task; where bytes were passed over, a line before each child's says so.

    Lines without a task are nobody's: a process writes them that a handler started.
    """
    tasks: dict[bytes, list[bytes]] = {}
    told: set[bytes] = set()
    for text in data.split(b"\n"):
        begin = LINE.match(text)
        if begin is None:
            continue
        lines = tasks.setdefault(begin[2], [])
        whose = begin[0][len(begin[1]) :]
        if passed and whose not in told:
            told.add(whose)
            lines.append(begin[0] + b"[up to %d bytes that this worker printed are left out here]\n" % passed)
        lines.append(text[: RECORD_BYTES - 1] + b"\n")
    for name, lines in tasks.items():
        yield from _cut(name.decode(errors="replace"), lines)


def _cut(name: str, lines: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) > RECORD_BYTES:
            yield name, b"".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line)
    yield name, b"".join(held)
