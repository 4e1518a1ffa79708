"""Which children that emit go into a transaction of their own, and when.

Their topics are the user's: one of them may be slow, or lack replicas, for long. So what emits nothing is written
first, by itself, and a topic that is sick holds up children that emit, and no others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from streamsched.domain.events import Event
from streamsched.log.port import AppendRefused
from streamsched.runtime.backoff import Backoff
from streamsched.worker.jobs import PLAN
from streamsched.worker.outlet import Outlet
from streamsched.worker.pending import Child

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
"""Seconds to the next try where such a transaction was not written: doubling."""
LOOK_S: Final = 0.1
"""Between two looks whether it is known what became of a topic."""
RECORDS: Final = 50_000
BYTES: Final = 16 * 1024 * 1024
PARTITIONS: Final = 64
"""What one transaction takes of users' records: those of one child at least."""

logger = logging.getLogger(__name__)


class Emission:
    """The outcomes of children that emit, and when they are written. Times are seconds of the monotonic clock."""

    def __init__(self, outlet: Outlet) -> None:
        self.endings: dict[Child, Event | None] = {}
        self._outlet = outlet
        self._doubtful: set[str] = set()
        """Topics that are looked up once more: the last transaction that wrote to them failed."""
        self._single = 0
        """How many transactions are of one child alone: one of so many is to blame."""
        self._waits = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._until = 0.0
        self._sick = False

    def holds(self, now: Callable[[], float]) -> bool:
        """Return whether the last try failed and the next one is not due.

        Until then a hand-over and a drain do not wait for it: it goes on from the durable state, here or elsewhere.
        """
        return self._sick and now() < self._until

    def drop(self, partitions: Collection[int]) -> None:
        """Forget what belongs to partitions that are owned no more."""
        self.endings = {c: outcome for c, outcome in self.endings.items() if c.partition not in partitions}

    def failed(self, batch: Collection[Child], now: float, reason: str) -> None:
        """Note that the transaction of these children was not written."""
        self._doubt(batch)
        wait, self._until = self._waits.wait("", now)
        logger.warning("what handlers emitted is not written, will try again in %g s: %s", wait, reason)

    def written(self) -> None:
        """Note that one was."""
        if self._sick:
            self._waits.forget("")
            self._sick = False

    def refused(self, batch: Sequence[Child], by: Child | None) -> Child | None:
        """Return which child is to blame for a refusal: the one named, or the only one; else find out, one by one."""
        self._doubt(batch)
        if by is None and len(batch) > 1:
            self._single = len(batch)
            return None
        return by or batch[0]

    def _doubt(self, batch: Iterable[Child]) -> None:
        self._sick = True
        self._doubtful |= {record.topic for child in batch for record in child.unsaved.records if record.topic != PLAN}

    def refusals(self, told: Iterable[Child], now: float) -> list[tuple[Child, AppendRefused]]:
        """List which of these children, and of those that have ended, emit to topics that are refused by now."""
        if not self._doubtful:
            return []
        answers = {topic: self._outlet.ask(topic, anew=True) for topic in self._doubtful}
        self._doubtful = {topic for topic, answer in answers.items() if answer is None}
        if self._doubtful:
            self._until = now + LOOK_S  # nothing is tried before that is known
        why = {topic: answer.problem for topic, answer in answers.items() if answer is not None and answer.problem}
        return [
            (child, AppendRefused(why[topic], -1, missing=True))
            for child in ([*told, *self.endings] if why else ())
            if (topic := next((record.topic for record in child.unsaved.records if record.topic in why), None))
        ]

    def batch(self, children: Iterable[Child]) -> Iterator[Child]:
        """Yield the first of these children, as many as fit into one transaction."""
        if self._doubtful:
            return
        if self._single:
            self._single -= 1
            yield from islice(children, 1)
            return
        records = size = 0
        places: set[tuple[str, int]] = set()
        for child in children:
            covered = child.unsaved.records[: child.unsaved.covered]
            records += len(covered)
            size += child.unsaved.size
            places |= {(record.topic, record.partition) for record in covered}
            if records > len(covered) and (records > RECORDS or size > BYTES or len(places) > PARTITIONS):
                return
            yield child
