"""Calls into the client that may never return, made where they can be left behind.

``send_offsets_to_transaction`` ignores its time-out while the group's coordinator cannot be reached
(librdkafka#5456), and may miss that another broker has taken over (librdkafka#5511): it then waits until the lost one
is back, or for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, Final

SLICE_S: Final = 0.1
"""Seconds between two looks at what else there is while a call is on its way."""

_Work = tuple[Callable[[], Any], "Future[Any]"]


class CallWithTimeout:
    """Runs one call after another in a thread of its own."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Work | None] | None = None

    def call(self, work: Callable[[], Any], seconds: float, look: Callable[[], object]) -> Any:
        """Return what ``work`` returns, or raise what it raises; ``look`` is called every now and then meanwhile.

        Raises:
            TimeoutError: it did not return in time; it is left to itself, and what comes of it is dropped, as it is
                when ``look`` raises anything.
        """
        if self._queue is None:
            self._queue = SimpleQueue()
            threading.Thread(target=_serve, args=(self._queue,), name="streamsched-call", daemon=True).start()
        outcome: Future[Any] = Future()
        self._queue.put((work, outcome))
        deadline = time.monotonic() + seconds
        while not wait([outcome], min(SLICE_S, deadline - time.monotonic())).done:
            if time.monotonic() > deadline:
                self.close()
                raise TimeoutError
            look()
        return outcome.result()

    def close(self) -> None:
        """End the thread, as soon as the call that it may be in returns."""
        if self._queue is not None:
            self._queue.put(None)
            self._queue = None


def _serve(queue: SimpleQueue[_Work | None]) -> None:
    while (item := queue.get()) is not None:
        work, outcome = item
        try:
            outcome.set_result(work())
        except BaseException as failure:
            outcome.set_exception(failure)
        del item, work, outcome  # else they would keep the producer alive until the next call
