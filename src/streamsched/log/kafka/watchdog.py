"""The end of a process that hangs inside the client.

``send_offsets_to_transaction`` ignores its time-out while the group's coordinator is down (librdkafka#5456).
A node that hangs there neither polls nor beats: ending it lets others take over.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import Final, Self

EXIT_CODE: Final = 70


class Watchdog:
    """Ends the process with exit code 70 when a guarded call takes more than ``limit`` seconds.

    Use it as a context around the call. One thread serves all calls, started with the first.
    """

    def __init__(self, limit: float, call: str) -> None:
        self._limit = limit
        self._call = call
        self._deadline = math.inf
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._limit
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="streamsched-watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline = math.inf

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._limit / 4)):
            if time.monotonic() > self._deadline:
                line = f"streamsched: {self._call} did not return in {self._limit:g} s: ending this process\n"
                os.write(2, line.encode())
                os._exit(EXIT_CODE)
