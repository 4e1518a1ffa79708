"""Letting go of what runs: all of it when the worker is drained, some of it when partitions are revoked.

``runtime/lifecycle.py`` has the drawing. What runs is asked to stop at its next checkpoint, and what does not in time
is killed and goes on elsewhere from what it last told. A drained worker *returns* its children, each as soon as it has
stopped: they are dispatched anew, and none waits for the slowest, nor for the group to move the partitions. Children
of a revoked partition stay in it, for the next owner: the scheduler need not know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, MutableMapping
from typing import Final

from streamsched.domain.events import Why
from streamsched.log.port import LogError
from streamsched.runtime.clock import Clock
from streamsched.runtime.lifecycle import Life, become
from streamsched.worker import jobs
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.pace import Pace
from streamsched.worker.pending import Child
from streamsched.worker.settlement import Settlement

log = logging.getLogger(__name__)

LAST_TENTH: Final = 0.9
"""Part of the time to yield after which a child is killed: what it told is still written."""


class Draining:
    """The life of a worker, and how its children leave it.

    ``running`` are the children that the pool holds, by the keys of their jobs; ``work`` goes on with everything else
    for so many seconds, ``read_on`` reads what there is.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        pace: Pace,
        pool: jobs.Pool,
        running: MutableMapping[int, Child],
        outcomes: Outcomes,
        settlement: Settlement,
        work: Callable[[float], bool],
        read_on: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._pace = pace
        self._pool = pool
        self._running = running
        self._outcomes = outcomes
        self._settlement = settlement
        self._work = work
        self._read_on = read_on
        self._deadline = float("inf")
        self._asked = 0
        self._obeyed = 0
        self.life = Life.RUNNING

    def ask(self) -> None:
        """Ask for the end: the first time for a graceful one, then for one now. ``obey`` does it."""
        self._asked += 1

    def obey(self) -> bool:
        """Do what was asked since the last time; tells whether there was anything."""
        asked = self._asked
        for _ in range(self._obeyed, asked):
            self._begin()
        news, self._obeyed = asked != self._obeyed, asked
        return news

    def wind_down(self, unbegun: Iterable[Child]) -> None:
        """Go on with the drain; ``unbegun`` are the children that wait to start."""
        for child in unbegun:
            self.give_back(child)
        if self.life is Life.DRAINING:
            self._ask_to_yield(list(self._running.values()), self._pace.drain)
            self.life = become(self.life, Life.YIELDING)
        elif self.life is Life.YIELDING:
            over = self._clock.monotonic() >= self._deadline
            if over:
                self._pool.kill(list(self._running))
                for child in self._running.values():
                    child.key = None
                    self.give_back(child)
                self._running.clear()
            if over or not (self._running or self._settlement):
                self.life = become(self.life, Life.STOPPED)

    def give_back(self, child: Child, why: Why | None = None) -> None:
        """Return a child that does not run here (any more), with the last state that it told."""
        reason = "its worker drains" if why is None else "its worker cannot run it"
        self._settlement.ended(child, self._outcomes.returned(child, reason, why))

    def yielded(self, child: Child) -> None:
        """Make the last state of a child that stopped its continuation: the next owner of its partition goes on."""
        self._settlement.note(child, self._outcomes.yielded(child, "revoke"))
        if child.unsaved.state is not None:
            self._settlement.checkpoint(child)
        child.gone = True

    def hand_over(self, partitions: Collection[int]) -> None:
        """Let running children of these partitions yield, write what there is, and release."""
        gone = set(partitions)
        self._ask_to_yield([c for c in self._running.values() if c.partition in gone], self._pace.hand_over)
        deadline = self._clock.monotonic() + self._pace.hand_over
        try:
            while any(child.partition in gone for child in self._running.values()):
                if self._clock.monotonic() >= deadline:
                    break
                self._work(self._pace.poll)
            while self._settlement and (self._settlement.commit() or self._make_room()):
                pass
            self._settlement.release(partitions)
        except LogError as error:
            log.warning("partitions %s were not released in order: %s", sorted(partitions), error)

    def _make_room(self) -> bool:
        """Read on, where a place is too long for what has to be written; tells whether there was anything to read."""
        return self._settlement.crowded and self._read_on() > 0

    def _begin(self) -> None:
        if self.life is Life.RUNNING:
            log.info("draining: returning what has not begun, asking what runs to stop at its next checkpoint")
            self.life = become(self.life, Life.DRAINING)
            self._deadline = self._clock.monotonic() + self._pace.drain
        elif self.life is not Life.STOPPED:
            log.info("stopping now")
            self._deadline = self._clock.monotonic()

    def _ask_to_yield(self, children: Collection[Child], seconds: float) -> None:
        """Ask running children to stop at a safe point; one that does not in time goes on from what it told."""
        for child in children:
            if child.key is not None:
                child.yields = True
                self._pool.stop(child.key, LAST_TENTH * seconds)
