"""The worker's loop: read the work log, run children in the pool, settle them in one transaction after another.

One step: serve the group → read → hear the pool → feed it → commit → beat. The pending set of each partition is the
unsettled records of the log; everything here can be lost at any time and is read again by the next owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from streamsched.domain.routing import PLAIN, Place
from streamsched.log.adapter import LogAdapter
from streamsched.log.codec import Codec
from streamsched.log.port import LogError, TopicPartition, TransactionAborted, WriterFenced
from streamsched.log.topics import Topics
from streamsched.runtime import beginning, eviction, metrics
from streamsched.runtime.beats import HeartbeatSender, NodeStatus
from streamsched.runtime.claim import Claim
from streamsched.runtime.clock_check import LogClock
from streamsched.runtime.identity import Identity
from streamsched.runtime.lifecycle import WorkerState
from streamsched.runtime.ownership import CALM_AFTER_S, OUTAGE_S, Ownership
from streamsched.runtime.records import Records
from streamsched.worker import jobs
from streamsched.worker.children import Children
from streamsched.worker.fitness import Fitness
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.outlet import CLOSED, Outlet
from streamsched.worker.pending import OwnedPartition
from streamsched.worker.progress import merged
from streamsched.worker.reading import Reading
from streamsched.worker.settlement import Settlement
from streamsched.worker.timing import DEFAULT, WorkerTiming

__all__ = ["WorkerTiming", "Worker"]

logger = logging.getLogger(__name__)

GATHER_MS: Final = 10
"""Milliseconds that the first outcomes wait for those of jobs that have just begun."""
RETRY_S: Final = 0.05
"""Seconds after an aborted transaction before the next one: the group is served in between."""
TOLD: Final = 200
"""Running children of which a beat tells: with ``child.concurrency`` a worker may run thousands."""
LONG_RUNNING_S: Final = 0.5
"""Seconds after which a running child is worth a ChildStarted."""


class Worker:
    """One worker node. ``step`` is one turn of the loop; nothing happens between steps."""

    def __init__(
        self, *, log: LogAdapter, topics: Topics, codec: Codec, pool: jobs.Pool, me: Identity, slots: int,
        pause: Callable[[float], None], timing: WorkerTiming = DEFAULT, modules: Sequence[str] | None = None,
        own: frozenset[str] = frozenset(), outlet: Outlet = CLOSED, place: Place = PLAIN,
    ) -> None:  # fmt: skip
        """Build it from the ports of ``log`` and the node's parts.

        ``modules``: patterns of the modules it may run (``domain.routing``); None allows all. ``own``: tasks that only
        this worker runs: their children fail where they cannot run here. ``pause`` sleeps for so many seconds.
        ``outlet``: the topics that handlers may write to. ``place``: the queues that it serves, and its labels.
        """
        self._log = log
        self._topics = topics
        self._codec = codec
        self._pool = pool
        self._clock = LogClock(log, me.clock)
        self._me = me = replace(me, clock=self._clock)
        self._slots = slots
        self._timing = timing
        self._fitness = Fitness(modules=modules, me=me, own=own, place=place)
        self._outcomes = Outcomes(me, self._clock)
        self._owned: dict[int, OwnedPartition] = {}
        self._late: list[jobs.News] = []
        """What the pool reported while a commit waited for the log."""
        self._commit_at = 0.0
        self._first_at: float | None = None
        """When the first of what is to be committed was there."""
        self._retry_at = 0.0
        self._report_at = 0.0
        self._trim_at = me.clock.monotonic() + timing.trim
        self._busy_at = me.clock.monotonic()
        self._ownership = Ownership(
            log=log, coordination=log, group=topics.worker_group, topic=topics.children, node_id=me.node_id,
            partition_handler=self, clock=me.clock, pause=pause, outage=OUTAGE_S,
            begin_anew=partial(beginning.of_work_log, log, topics, codec, me),
            fenced=partial(eviction.fenced, log, topics),
        )  # fmt: skip
        records = Records(codec, topics)
        self._settlement = Settlement(
            ownership=self._ownership, records=records, outcomes=self._outcomes, owned=self._owned,
            on_durable=lambda child, written: self._children.durable(child, written),
            on_recovered=lambda child: self._children.recovered(child),
            on_refused=lambda child, error: self._children.refused(child, error), now=me.clock.monotonic,
            outlet=outlet,
        )  # fmt: skip
        self._children = Children(
            me=me, pool=pool, timing=timing, fitness=self._fitness, outcomes=self._outcomes,
            settlement=self._settlement, outlet=outlet,
        )  # fmt: skip
        self._reading = Reading(
            log=log, topics=topics, codec=codec, me=me, owned=self._owned, outcomes=self._outcomes,
            settlement=self._settlement, ask_group=self._ownership.poll, children=self._children,
        )  # fmt: skip
        self.heartbeats = HeartbeatSender(
            log=log, records=records, me=me, role="worker", ownership=self._ownership,
            partitions=topics.child_partitions,
        )  # fmt: skip

    @property
    def node_id(self) -> str:
        """What this node is called in its beats."""
        return self._me.node_id

    @property
    def stopped(self) -> bool:
        """Whether the drain is over; call ``stop`` then."""
        return self._children.state is WorkerState.STOPPED

    @property
    def unready(self) -> str:
        """Why it does not work on all that is its own; empty if it does."""
        state = self._children.state
        return self._ownership.unclaimed if state is WorkerState.RUNNING else f"it is {state}"

    @property
    def owned(self) -> int:
        """How many partitions of the work log it owns."""
        return len(self._owned)

    def drain(self) -> None:
        """Begin to stop gracefully; called again, stop now. May be called from a signal handler."""
        self._children.ask()
        self._ownership.hurry()

    def step(self, timeout: float) -> bool:
        """Make one turn of at most ``timeout`` seconds; returns whether anything happened."""
        self._ownership.poll()
        self._clock.put_right()
        waiting = self._pool.busy() or len(self._settlement) or self._late
        read = self._reading.read(0.0 if waiting else min(timeout, self._ownership.turn, self.heartbeats.until_due()))
        worked = self._work(0.0 if read or not waiting else min(timeout, self._timing.poll))
        self._trim()
        now = self._me.clock.monotonic()
        if read or worked:
            self._busy_at = now
        elif now - self._busy_at >= CALM_AFTER_S:
            self._busy_at = now
            self._settle_positions()
        return bool(read) or worked

    def _work(self, timeout: float) -> bool:
        """Do everything except serving the group and reading; also called during a hand-over."""
        news, self._late = self._late, []
        news += self._pool.poll(0.0 if news else timeout)
        for item in news:
            self._children.on_news(item)
        if self._children.obey():
            self._beat()  # before anything is returned: it is not to come back here
        if self._children.state is WorkerState.RUNNING:
            self._children.feed()
        else:
            self._children.wind_down()
        self._report_long_running()
        committed = self._commit()
        self._beat()
        return bool(news) or committed

    def stop(self) -> None:
        """Hand everything over, leave the group, end the executors."""
        self._children.leave()
        try:
            self._ownership.leave()
        finally:
            self.heartbeats.stop()
            self._pool.close(0.0)
            self._reading.close()

    # --- commit -----------------------------------------------------------------------------------------------------

    def _report_long_running(self) -> None:
        """Once in a while tell the journal which children have been running for long."""
        now = self._me.clock.monotonic()
        if now < self._report_at or not self._children.running:
            return
        self._report_at = now + LONG_RUNNING_S
        wall = self._clock.machine_now()
        for running in self._pool.running():
            child = self._children.running.get(running.key)
            if child and not child.started_reported and wall - running.started_at >= LONG_RUNNING_S * 1000:
                child.started_reported = True
                self._settlement.note(child, self._outcomes.started(child))

    def _commit(self) -> bool:
        now = self._me.clock.monotonic()
        if now < self._retry_at:
            return False
        urgent, checkpoints = self._settlement.full, False
        for key in list(self._children.unsaved):
            child = self._children.running.get(key)
            if child is None or child.unsaved.state is None:
                self._children.unsaved.discard(key)
            elif child.unsaved.waits or now >= child.next_checkpoint:
                self._settlement.checkpoint(child)
                urgent, checkpoints = urgent or child.unsaved.waits, True
        if not self._settlement:
            self._first_at = None
            return False
        if self._first_at is None:
            self._first_at = now
        if not urgent and self._pool.busy():
            gathers = now < self._first_at + GATHER_MS / 1000 and not checkpoints
            if now < self._commit_at or (gathers and self._soon_more()):
                return False
        self._first_at = None
        committed = self._settlement.commit()
        now = self._me.clock.monotonic()
        self._commit_at = now + self._timing.commit
        if not committed:
            self._retry_at = now + RETRY_S
        return committed

    def _soon_more(self) -> bool:
        """Return whether the pool has a job that has just begun, or waits for a slot: short ones come in numbers."""
        begun_before = self._clock.machine_now() - GATHER_MS
        return self._pool.busy() > sum(running.started_at < begun_before for running in self._pool.running())

    def _settle_positions(self) -> None:
        """Commit up to where partitions were read that have nothing unsettled: the group's lag reads 0 then."""
        self._reading.pass_markers()
        claims = self._ownership.claims
        points = {
            number: owned.tracker.commit_point()
            for number, owned in self._owned.items()
            if number in claims and not owned.tracker and owned.tracker.low > claims[number].position
        }
        try:
            if points:
                self._ownership.commit([], points)
        except (TransactionAborted, WriterFenced) as error:
            logger.warning("positions are not committed now: %s", error)

    def _trim(self) -> None:
        """Delete the records below the low marks, every ``timing.trim`` seconds."""
        now = self._me.clock.monotonic()
        if now < self._trim_at:
            return
        self._trim_at = now + self._timing.trim
        committed = {
            TopicPartition(self._topics.children, number): claim.position
            for number, claim in self._ownership.claims.items()
        }
        try:
            self._log.delete_before(committed)
        except LogError as error:
            logger.warning("cannot delete settled records of the work log now, will try again: %s", error)

    def _status(self) -> NodeStatus:
        runs = self._pool.running()
        running = tuple(
            self._outcomes.running(child, item)
            for item in runs[:TOLD]
            if (child := self._children.running.get(item.key)) is not None
        )
        pending = sum(len(owned.children) for owned in self._owned.values())
        free = max(0, self._slots - len(runs))
        metrics.CHILDREN_LIVE.set(pending)
        metrics.SLOTS.set(self._slots - free, "used")
        metrics.SLOTS.set(free, "free")
        fitness = self._fitness
        return NodeStatus(self._children.state, self._slots, free, pending, running, fitness.modules, fitness.place)

    # --- partition handler ------------------------------------------------------------------------------------------

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Read the new partitions from their committed positions; what is settled there is passed over."""
        for claim in claims:
            self._owned[claim.partition] = OwnedPartition(
                claim.partition, epoch=claim.epoch, position=claim.position, settled_ranges=claim.settled_ranges,
                end=claim.end, released=claim.released,
            )  # fmt: skip
        self._reading.assign({claim.partition: claim.position for claim in claims})

    def hand_over(self, partitions: Collection[int]) -> None:
        """Stop running children at a checkpoint, commit, and release; other partitions keep working meanwhile."""
        self._account_for(partitions)
        mine = [self._owned[number] for number in partitions if number in self._owned]
        self._children.revoke(partitions, [child for owned in mine for child in owned.unbegun()])
        deadline = self._me.clock.monotonic() + self._timing.hand_over
        try:
            while self._children.of(partitions) and self._me.clock.monotonic() < deadline:
                self._work(self._timing.poll)
            while self._settlement and (self._settlement.commit() or self._make_room()):
                pass
            self._settlement.release(partitions)
        except LogError as error:
            logger.warning("partitions %s were not released in order: %s", sorted(partitions), error)
        self.dropped(partitions)

    def _make_room(self) -> bool:
        """Read on, where a place is too long for what has to be written; returns whether there was anything to read."""
        return self._settlement.crowded and self._reading.read_on() > 0

    def _account_for(self, partitions: Collection[int]) -> None:
        """Read all records that the previous owner left, so that each crash suspect is counted before the hand-over."""
        try:
            while not all(self._owned[number].accounted for number in partitions if number in self._owned):
                if not self._reading.read_on():
                    break
        except LogError as error:
            logger.warning("cannot read the records that the previous owner left: %s", error)

    def waiting(self) -> None:
        """Send a heartbeat and enforce the executors' limits; their news is handled when the commit is over."""
        self._late = merged(self._late + self._pool.poll(0.0))
        self._beat()

    def _beat(self) -> None:
        self.heartbeats.beat(self._status, self._children.state)

    def dropped(self, partitions: Collection[int]) -> None:
        """Kill what runs for these partitions and forget them."""
        gone = set(partitions)
        self._children.drop(gone)
        for number in gone:
            owned = self._owned.pop(number, None)
            for child in owned.children.values() if owned else ():
                child.gone = True
        self._settlement.drop(gone)
        self._reading.assign({})
