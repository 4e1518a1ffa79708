"""Write what executors had printed, but not written, when they died."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import Final

from streamsched.worker.sink import Sink, copy_into

MOST_WAITING: Final = 64  # texts of up to 64 KiB: what is beyond is dropped, for nothing reads it
CLOSE_S: Final = 1.0


class Remains:
    """Writes to a copy of ``fd``, in a thread of its own: a slow reader must not hold up the pool."""

    def __init__(self, fd: int | None, path: str | None, copy_path: str | None = None) -> None:
        self._fd = None if fd is None else os.dup(fd)
        self._path = path
        self._copy_path = copy_path
        self._texts: SimpleQueue[bytes] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def write(self, text: bytes) -> None:
        """Take what one executor left."""
        if not text or self._fd is None or self._texts.qsize() >= MOST_WAITING:
            return
        self._texts.put(text)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, args=(self._fd,), name="remains", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait a moment for what is not written yet."""
        if self._thread is not None:
            self._texts.put(b"")
            self._thread.join(CLOSE_S)
            if self._thread.is_alive():
                return  # it holds the descriptor, and the process is about to end
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _work(self, fd: int) -> None:
        sink = Sink(fd, self._path, copy=copy_into(self._copy_path))
        while text := self._texts.get():
            sink.write(text)
