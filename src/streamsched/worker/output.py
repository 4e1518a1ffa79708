"""Capture what handlers print and log, line by line, each with the child that it comes from."""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import threading
from collections.abc import Iterator
from typing import Final

CHUNK: Final = 4096  # what POSIX lets a pipe take at once, so that lines of several executors do not mix
FLUSH_AT: Final = 4096  # characters
LONGEST: Final = 65536  # characters without an end of line before they are written all the same


class Output:
    """Collects text and writes whole lines of it to ``fd``, prefixed ``<task id>[<child>] ``.

    Writing blocks when the reader is slow; that holds up this process and no other. A line that is longer
    than a chunk is cut into several, each with the prefix.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._parts: list[str] = []
        self._size = 0
        self._prefix = ""
        self._forked = False
        self._lock = threading.Lock()

    def forked(self) -> None:
        """Go on in a forked copy: what waits is the parent's to write, and each flush may be the last."""
        self._parts, self._size, self._lock, self._forked = [], 0, threading.Lock(), True

    def begin(self, task_id: str, child: int) -> None:
        """Say whose output comes now."""
        self._prefix = f"{task_id}[{child}] "

    def write(self, text: str) -> None:
        """Take text; any thread of the handler may."""
        self._parts.append(text)
        self._size += len(text)
        if self._size >= FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Write the lines that are whole."""
        if self._parts:
            with self._lock:
                self._flush(end=self._forked)

    def end(self) -> None:
        """Write everything; a last line without an end gets one."""
        if self._parts:
            with self._lock:
                self._flush(end=True)

    def flush_if_writable(self) -> None:
        """Write the lines that are whole, unless that would have to wait."""
        if self._parts and self._lock.acquire(blocking=False):
            try:
                poller = select.poll()
                poller.register(self._fd, select.POLLOUT)
                if poller.poll(0):
                    self._flush(end=False)
            finally:
                self._lock.release()

    def _flush(self, *, end: bool) -> None:
        # In place and by count: another thread may append in the midst of this, and nothing of it gets lost.
        parts = self._parts
        count = len(parts)
        text = "".join(parts[:count])
        whole = len(text) if end else text.rfind("\n") + 1
        if not whole and len(text) >= LONGEST:
            whole = len(text)
        parts[:count] = [text[whole:]] if whole < len(text) else []
        self._size = 0
        if not whole:
            return
        lines = text[:whole].removesuffix("\n").replace("\n", "\n" + self._prefix)
        lines = f"{self._prefix}{lines}\n"
        for chunk in chunks(lines.encode("utf-8", "backslashreplace"), self._prefix.encode()):
            _write(self._fd, chunk)


def chunks(data: bytes, prefix: bytes) -> Iterator[bytes]:
    """Cut lines into chunks of whole lines that a pipe takes at once."""
    at = 0
    while len(data) - at > CHUNK:
        cut = data.rfind(b"\n", at, at + CHUNK) + 1
        if cut:
            yield data[at:cut]
            at = cut
        else:
            cut = at + CHUNK - 1
            while data[cut] & 0xC0 == 0x80:  # not inside a character
                cut -= 1
            yield data[at:cut] + b"\n"
            data, at = prefix + data[cut:], 0
    yield data[at:]


def _write(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody else made it non-blocking: all who share it are affected
            select.select([], [fd], [])
        except OSError:
            return  # nobody reads any more; that is no fault of the handler


class Stream(io.TextIOBase):
    """Stands in for ``sys.stdout`` and ``sys.stderr``."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, output: Output, fd: int) -> None:
        self._output = output
        self._fd = fd
        self.write = output.write  # type: ignore[method-assign, assignment] # one call less for each print
        self.buffer = _Bytes(output)

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def flush(self) -> None:
        """Write the lines that are whole."""
        self._output.flush()

    def fileno(self) -> int:
        """Return what is behind it, for processes that the handler starts: their lines get no prefix."""
        return self._fd


class _Bytes(io.RawIOBase):
    def __init__(self, output: Output) -> None:
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raw = bytes(memoryview(data))  # type: ignore[arg-type]
        self._output.write(raw.decode("utf-8", "replace"))
        return len(raw)

    def flush(self) -> None:
        self._output.flush()


def install(fd: int) -> Output:
    """Capture ``sys.stdout``, ``sys.stderr`` and, from INFO on, all logging of this process."""
    output = Output(fd)
    sys.stdout = sys.stderr = Stream(output, fd)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    return output
