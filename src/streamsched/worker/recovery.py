"""Recovery: a child whose owner went without a release mark may be what took it down.

Before such a child starts, its recovery is counted in the log; an advanced checkpoint resets the count. With the third
it runs alone on its worker, so that only this child can cause the next death: then it is failed
(``worker_lost``). That it begins alone is counted too, and taken back at a hand-over: another child may take the worker
down while it waits for its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from streamsched.worker.pending import Child

MAX_RECOVERIES: Final = 3
"""Recoveries with which a child runs alone."""
BEGAN_ALONE: Final = MAX_RECOVERIES + 1
"""What is counted of one that begins alone; if its worker dies then, it is failed."""


def handed_over(child: Child) -> int:
    """Return the count with which the next owner gets a child that has not begun here, or not moved on."""
    if child.inherited:  # a death while it waited for its turn is not its own
        return child.recoveries if child.recoveries == MAX_RECOVERIES else child.recoveries + 1
    return MAX_RECOVERIES if child.recoveries == BEGAN_ALONE else child.recoveries


class Recovery:
    """The children of a worker that must not simply start."""

    def __init__(self, *, count: Callable[[Child, int], None], fail: Callable[[Child], None]) -> None:
        self._count = count
        self._fail = fail
        self._uncounted: deque[Child] = deque()
        self._alone: deque[Child] = deque()
        self._running: Child | None = None

    def hold_back(self, child: Child) -> bool:
        """Take a child in, if it is one of these; otherwise it may start at any time."""
        if child.inherited or child.recoveries > BEGAN_ALONE:  # a hand-over counted the death that it had alone
            self._uncounted.append(child)
        elif child.recoveries >= MAX_RECOVERIES:
            self._alone.append(child)
        else:
            return False
        return True

    def advance(self, room: int) -> None:
        """Have up to ``room`` children counted, as many as could start; from the third on they wait for their turn."""
        while self._uncounted and room > 0:
            child = self._uncounted.popleft()
            if child.gone:
                continue
            if child.recoveries >= BEGAN_ALONE:
                self._fail(child)
            elif child.recoveries >= MAX_RECOVERIES - 1:
                self._alone.append(child)
            else:
                self._count(child, child.recoveries + 1)
            room -= 1

    def counted(self, child: Child) -> bool:
        """Note that a count is in the log; returns whether the child may start beside others."""
        return child.recoveries < MAX_RECOVERIES

    @property
    def claims_worker(self) -> bool:
        """Whether nothing else may start: a child runs alone, or waits until it can."""
        if self._running is not None and self._running.key is not None and not self._running.gone:
            return True
        while self._alone and self._alone[0].gone:
            self._alone.popleft()
        return bool(self._alone)

    def next_alone(self) -> Child | None:
        """Return the child to run alone now, on an idle worker; None until its count is in the log."""
        if self._alone[0].recoveries < BEGAN_ALONE:
            self._count(self._alone[0], BEGAN_ALONE)
            return None
        self._running = self._alone.popleft()
        return self._running

    def drain(self) -> Iterator[Child]:
        """Take all that have not begun."""
        for queue in (self._uncounted, self._alone):
            yield from (child for child in queue if not child.gone)
            queue.clear()
