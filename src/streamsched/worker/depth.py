"""How many jobs an executor should hold: as many as take 20 ms, by the mean of those that ended."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from streamsched.worker.jobs import Job

AHEAD_NS: Final = 20_000_000  # work that an executor should hold
LONG_NS: Final = 10_000_000  # nothing waits behind a job of this length
DEPTH: Final = 256
CAREFUL_NS: Final = 10_000_000_000  # after a fault that could be any of several jobs', each is sent alone for so long
_WEIGHT: Final = 0.9  # of the old mean, for each job


def share_out(jobs: Sequence[Job], loads: list[tuple[int, int]]) -> dict[int, list[Job]]:
    """Give each job to the executor with the least load; ``loads`` are pairs of load and place."""
    heapq.heapify(loads)
    shares: dict[int, list[Job]] = {}
    for job in jobs:
        load, place = loads[0]
        heapq.heapreplace(loads, (load + 1, place))
        shares.setdefault(place, []).append(job)
    return shares


class Depth:
    """The number for all executors of a pool."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._careful_until = 0

    def at(self, now: int) -> int:
        """Return the number of jobs, from 1 to ``DEPTH``."""
        mean = self._mean
        if mean is None or mean > LONG_NS or self.is_careful(now):
            return 1
        return max(1, min(DEPTH, int(AHEAD_NS / max(mean, 1.0))))

    def learn(self, count: int, busy: int) -> None:
        """Learn that so many jobs took so many nanoseconds altogether."""
        if count:
            old = _WEIGHT**count if self._mean is not None else 0.0
            self._mean = old * (self._mean or 0.0) + (1 - old) * busy / count

    def be_careful(self, now: int) -> None:
        """Have each job sent alone for a while."""
        self._careful_until = now + CAREFUL_NS

    def is_careful(self, now: int) -> bool:
        """Return whether each job is sent alone."""
        return now < self._careful_until
