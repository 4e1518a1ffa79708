"""The end of a process that hangs inside the client.

``close`` of a consumer can lose the answer that it waits for. A node that hangs neither polls nor beats: ending it
lets others take over.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

EXIT_CODE: Final = 70


class Watchdog:
    """Ends the process with exit code 70 when a guarded call takes more than ``limit`` seconds; one thread for all."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._guarded = (math.inf, "")
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, call: str) -> Iterator[None]:
        """Guard a call while the context lasts; another inside it takes its place for as long."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="streamsched-watchdog", daemon=True)
            self._thread.start()
        before, self._guarded = self._guarded, (time.monotonic() + self._limit, call)
        try:
            yield
        finally:
            self._guarded = before

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._limit / 4)):
            deadline, call = self._guarded
            if time.monotonic() > deadline:
                line = f"streamsched: {call} did not return in {self._limit:g} s: ending this process\n"
                os.write(2, line.encode())
                os._exit(EXIT_CODE)
