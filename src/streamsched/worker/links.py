"""The pool's links to all its executors: orders go out and news comes in, and no executor is waited for."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator

from streamsched.worker import wire
from streamsched.worker.process import ExecutorProcess


class Links:
    """Sends, and says who can be read. ``journal`` is asked where it is, for the first job that reads it."""

    def __init__(self, journal: Callable[[], wire.Journal] | None) -> None:
        self._selector = selectors.DefaultSelector()
        self._journal = journal
        self._known: wire.Journal | None = None

    def add(self, executor: ExecutorProcess) -> None:
        """Listen to an executor that was just started."""
        self._selector.register(executor, selectors.EVENT_READ)

    def deafen(self, executor: ExecutorProcess) -> None:
        """Listen to an executor no more."""
        if not executor.deaf:
            executor.deaf = True
            self._selector.unregister(executor)

    def send(self, executor: ExecutorProcess, order: wire.Order) -> None:
        """Send an order, as far as that goes without waiting; the rest follows."""
        if not executor.dying:
            executor.send(order)
            self._listen(executor)

    def ask_back(self, executor: ExecutorProcess, order: wire.Order) -> None:
        """Send an order after which jobs may come back."""
        executor.asked_back = True
        self.send(executor, order)

    def tell(self, executor: ExecutorProcess) -> None:
        """Tell an executor where the journal is."""
        if self._known is None and self._journal is not None:
            self._known = self._journal()
        if self._known is not None:
            self.send(executor, self._known)
        executor.told = True

    def readable(self, timeout: float) -> Iterator[ExecutorProcess]:
        """Wait up to ``timeout`` seconds, send what waits, and yield the executors that are to be read then."""
        for key, events in self._selector.select(timeout):
            executor = key.fileobj
            assert isinstance(executor, ExecutorProcess)  # noqa: S101 - nothing else is registered
            if executor.dying:
                self.deafen(executor)  # it is read once more when it is gone
                continue
            if events & selectors.EVENT_WRITE:
                executor.push()
            if events & selectors.EVENT_READ:
                yield executor
            if executor.closed_at:
                executor.dying = True
                self.deafen(executor)
            else:
                self._listen(executor)

    def close(self) -> None:
        """Release the selector."""
        self._selector.close()

    def _listen(self, executor: ExecutorProcess) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if executor.backlog else 0)
        if self._selector.get_key(executor).events != events:
            self._selector.modify(executor, events)
