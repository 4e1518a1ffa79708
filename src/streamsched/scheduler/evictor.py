"""Reads the beats of all nodes and evicts those that fell silent.

It runs beside the scheduler's loop, over a log of its own: no long fold delays what it reads, and an eviction that
waits for the broker does not delay the loop.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from streamsched.domain.events import NodeBeat
from streamsched.log.codec import Codec, Undecodable
from streamsched.log.coordination import Coordination
from streamsched.log.event_reader import EventReader
from streamsched.log.port import Log, LogError, Record, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime import metrics
from streamsched.runtime.beats import HANGING_AFTER_S, INTERVAL
from streamsched.runtime.clock import Clock
from streamsched.runtime.eviction import evict
from streamsched.runtime.records import Records
from streamsched.scheduler.failure_detector import FailureDetector

READ: Final = 1_000
"""Beats read in one step."""
_HUNG_MS: Final = 1000 * (HANGING_AFTER_S - 2 * INTERVAL)
"""Age of a loop in its last beat from which it was silent because it hung: a process that died has told less."""

logger = logging.getLogger(__name__)


class Evictor:
    """``step`` is one look. ``me`` is the node id of the scheduler whose beats are the measure."""

    def __init__(
        self, *, log: Log, coordination: Coordination, topics: Topics, codec: Codec, me: str, clock: Clock
    ) -> None:
        """Begin at the first beat that the log has. Raise CannotEvict where this log cannot evict."""
        coordination.check_eviction()
        self._log = log
        self._coordination = coordination
        self._topics = topics
        self._event_reader = EventReader(codec, topics)
        self._records = Records(codec, topics)
        self._clock = clock
        self._detector = FailureDetector(me)
        self._reader = log.reader()
        beats = TopicPartition(topics.workers, 0)
        self._reader.assign(log.start([beats]))

    def step(self, timeout: float) -> int:
        """Read beats, waiting up to ``timeout`` seconds for some; evict silent nodes and return how many."""
        for record in self._reader.poll(READ, min(timeout, self._detector.wait(self._clock.monotonic()))):
            self._note(record)
        silent = self._detector.suspects(self._clock.monotonic())
        evicted = sum(self._evict(beat) for beat in silent)
        if silent:
            self._detector.excuse(self._clock.monotonic())
        return evicted

    def close(self) -> None:
        """Release the reader."""
        self._reader.close()

    def _note(self, record: Record) -> None:
        node_id = (record.key or b"").decode(errors="replace")
        with suppress(Undecodable):  # the loop reads it too, and logs it
            self._detector.on_beat(node_id, self._event_reader.beat(record), self._clock.monotonic())

    def _evict(self, dead: NodeBeat) -> bool:
        """Evict a node; return whether it worked."""
        group = self._topics.worker_group if dead.role == "worker" else self._topics.scheduler_group
        try:
            evict(
                self._log, self._coordination, self._records, node=dead.node_id, group=group, member=dead.member_id,
                writer=dead.transactional_id,
            )  # fmt: skip
        except LogError as error:
            logger.warning("cannot evict silent %s %s (node %s): %s", dead.role, dead.name, dead.node_id, error)
            return False
        logger.warning("evicted %s %s (node %s), which fell silent", dead.role, dead.name, dead.node_id)
        hung = dead.loop_age >= _HUNG_MS
        metrics.EVICTIONS.add(1, "worker" if dead.role == "worker" else "scheduler", "hanging" if hung else "silent")
        return True
