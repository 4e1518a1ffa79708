"""What a pool and its executors say to each other: orders go out, news comes in, and nobody waits for anybody."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from streamsched.worker import trust, wire
from streamsched.worker.depth import Depth
from streamsched.worker.jobs import News
from streamsched.worker.outlet import Outlet
from streamsched.worker.process import ExecutorProcess


class Exchange:
    """Watches the links of all executors of a pool. ``clock``, ``journal`` and ``outlet``: as of the pool."""

    def __init__(
        self, depth: Depth, clock: Callable[[], int], journal: Callable[[], wire.Journal] | None, outlet: Outlet
    ) -> None:
        self._depth = depth
        self._clock = clock
        self._journal = journal
        self._known: wire.Journal | None = None
        self._outlet = outlet
        self._selector = selectors.DefaultSelector()

    def add(self, executor: ExecutorProcess) -> None:
        """Hear a new executor."""
        self._selector.register(executor, selectors.EVENT_READ)

    def turn(self, timeout: float) -> list[News]:
        """Wait up to ``timeout`` seconds for executors that can be read or written; return their news."""
        news: list[News] = []
        for key, events in self._selector.select(timeout):
            executor = key.fileobj
            assert isinstance(executor, ExecutorProcess)  # noqa: S101 - nothing else is registered
            if executor.dying:
                self.deafen(executor)  # it is read once more when it is gone
                continue
            if events & selectors.EVENT_WRITE:
                executor.push()
            if events & selectors.EVENT_READ:
                news += trust.believe(executor, executor.receive(self._clock()))
                self._depth.learn(*trust.measure(executor))
            if executor.closed_at:
                executor.dying = True
                self.deafen(executor)
            else:
                self._listen(executor)
        return news

    def send(self, executor: ExecutorProcess, order: wire.Order) -> None:
        """Send an order, unless the executor is dying."""
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

    def answer(self, executor: ExecutorProcess) -> None:
        """Tell an executor of the topics that it asks about, as far as that is known."""
        told = {topic: self._outlet.ask(topic) for topic in executor.asked}
        executor.asked = [topic for topic, order in told.items() if order is None]
        for order in told.values():
            if order is not None:
                self.send(executor, order)

    def deafen(self, executor: ExecutorProcess) -> None:
        """Watch the link of an executor no longer."""
        if not executor.deaf:
            executor.deaf = True
            self._selector.unregister(executor)

    def close(self) -> None:
        """Watch no link any more."""
        self._selector.close()

    def _listen(self, executor: ExecutorProcess) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if executor.backlog else 0)
        if self._selector.get_key(executor).events != events:
            self._selector.modify(executor, events)
