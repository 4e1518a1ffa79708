"""The worker's loop: read the work log, run children in the pool, settle them in one transaction after another.

One step: serve the group → read → hear the pool → feed it → commit → beat. The pending set of each partition is the
unsettled records of the log; everything here can be lost at any time and is read again by the next owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Final

from streamsched.domain import events as e
from streamsched.log.codec import Codec
from streamsched.log.port import Log, LogError, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime import beginning
from streamsched.runtime.beats import Condition, Pulse
from streamsched.runtime.clock_check import LogClock
from streamsched.runtime.identity import Identity
from streamsched.runtime.lifecycle import Life
from streamsched.runtime.ownership import OUTAGE_S, Claim, Ownership
from streamsched.runtime.records import Records
from streamsched.worker import jobs
from streamsched.worker.draining import Draining
from streamsched.worker.fitness import Fitness
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.pace import DEFAULT, Pace
from streamsched.worker.pending import Child, OwnedPartition, ReadyQueue
from streamsched.worker.reading import Reading
from streamsched.worker.recovery import Recovery
from streamsched.worker.settlement import Settlement

__all__ = ["Pace", "Worker"]

log = logging.getLogger(__name__)

RETRY: Final = 0.05
"""Seconds after an aborted transaction before the next one: the group is served in between."""
LONG: Final = 0.5
"""Seconds after which a running child is worth a ChildStarted."""


class Worker:
    """One worker node. ``step`` is one turn of the loop; nothing happens between steps."""

    def __init__(
        self,
        *,
        log: Log,
        topics: Topics,
        codec: Codec,
        pool: jobs.Pool,
        me: Identity,
        slots: int,
        pause: Callable[[float], None],
        pace: Pace = DEFAULT,
        modules: Sequence[str] | None = None,
        own: frozenset[str] = frozenset(),
    ) -> None:
        """Build it.

        Args:
            log: where everything is written.
            topics: of the installation.
            codec: of its events.
            pool: runs the children.
            me: the node's identity.
            slots: children that run at once.
            pause: waits for so many seconds.
            pace: how often it does what.
            modules: the patterns of the modules that it may run, as ``domain.routing`` reads them; None allows all.
            own: tasks whose children fail where they cannot run here, for nobody else would run them.

        """
        self._log = log
        self._topics = topics
        self._codec = codec
        self._pool = pool
        self._clock = LogClock(log, me.clock)
        self._me = me = replace(me, clock=self._clock)
        self._slots = slots
        self._pace = pace
        self._fitness = Fitness(modules=modules, me=me, own=own)
        self._outcomes = Outcomes(me, self._clock)
        self._owned: dict[int, OwnedPartition] = {}
        self._ready = ReadyQueue()
        self._jobs: dict[int, Child] = {}
        self._told: set[int] = set()
        """Jobs that may have a checkpoint which is not durable yet."""
        self._late: list[jobs.News] = []
        """What the pool told while a commit waited for the log."""
        self._keys = count(1)
        self._commit_at = 0.0
        self._retry_at = 0.0
        self._tell_at = 0.0
        self._trim_at = me.clock.monotonic() + pace.trim
        self._ownership = Ownership(
            log=log, group=topics.worker_group, topic=topics.children, node_id=me.node_id, tenant=self,
            clock=me.clock, pause=pause, outage=OUTAGE_S,
            begin_anew=partial(beginning.of_work_log, log, topics, codec, me),
        )  # fmt: skip
        records = Records(codec, topics)
        self._recovery = Recovery(count=self._count_recovery, fail=self._fail_lost)
        self._settlement = Settlement(
            ownership=self._ownership, records=records, outcomes=self._outcomes, owned=self._owned,
            on_durable=self._confirm, on_recovered=self._recovered,
        )  # fmt: skip
        self._reading = Reading(
            log=log, topics=topics, codec=codec, me=me, owned=self._owned, outcomes=self._outcomes,
            settlement=self._settlement, ask_group=self._ownership.poll, begin=self._begin, stop=self._stop,
        )  # fmt: skip
        self._draining = Draining(
            clock=me.clock, pace=pace, pool=pool, running=self._jobs, outcomes=self._outcomes,
            settlement=self._settlement, work=self._work, read_on=self._reading.read_on,
        )  # fmt: skip
        self.pulse = Pulse(
            log=log,
            records=records,
            me=me,
            role="worker",
            ownership=self._ownership,
            partitions=topics.child_partitions,
        )

    @property
    def node_id(self) -> str:
        """What this node is called in its beats."""
        return self._me.node_id

    @property
    def stopped(self) -> bool:
        """Whether the drain is over; call ``stop`` then."""
        return self._draining.life is Life.STOPPED

    def drain(self) -> None:
        """Begin to stop gracefully; called again, stop now. May be called from a signal handler."""
        self._draining.ask()
        self._ownership.hurry()

    def step(self, timeout: float) -> bool:
        """Make one turn of at most ``timeout`` seconds; tells whether anything happened."""
        self._ownership.poll()
        self._clock.put_right()
        waiting = self._pool.busy() or len(self._settlement) or self._late
        read = self._reading.read(0.0 if waiting else min(timeout, self._ownership.turn, self.pulse.until_due()))
        worked = self._work(0.0 if read or not waiting else min(timeout, self._pace.poll))
        self._trim()
        return bool(read) or worked

    def _work(self, timeout: float) -> bool:
        """Do all but serving the group and reading: also while a hand-over takes its time."""
        news, self._late = self._late, []
        news += self._pool.poll(0.0 if news else timeout)
        for item in news:
            self._hear(item)
        if self._draining.obey():
            self._beat()  # before anything is returned: it is not to come back here
        if self._draining.life is Life.RUNNING:
            self._feed()
        else:
            self._draining.wind_down([*self._ready.drain(), *self._recovery.drain()])
        self._tell_long()
        committed = self._commit()
        self._beat()
        return bool(news) or committed

    def stop(self) -> None:
        """Hand everything over, leave the group, end the executors."""
        self._draining.life = Life.STOPPED
        try:
            self._ownership.leave()
        finally:
            self.pulse.stop()
            self._pool.close(0.0)
            self._reading.close()

    # --- hear -------------------------------------------------------------------------------------------------------

    def _hear(self, news: jobs.News) -> None:
        child = self._jobs.get(news.key)
        if child is None:
            return
        if isinstance(news, jobs.JobCheckpointed):
            child.told, child.told_number = news.state, news.number
            child.waits = news.wait
            self._told.add(news.key)
            return
        del self._jobs[news.key]
        child.key = None
        child.waits = False
        if isinstance(news, jobs.JobReturned):
            self._unbegun(child)
            return
        if news.state is not None:
            child.told = news.state
        if isinstance(news, jobs.JobCompleted):
            self._settlement.ended(child, self._outcomes.completed(child, news))
        elif child.stop_reason is not None:
            self._cancel(child, self._outcomes.right(news.started_at))
        elif isinstance(news, jobs.JobFailed):
            self._fail(child, news)
        elif self._draining.life is not Life.RUNNING:
            self._draining.give_back(child)
        elif child.yields:
            self._draining.yielded(child)
        else:
            self._requeue(child)

    def _fail(self, child: Child, news: jobs.JobFailed) -> None:
        work = child.work
        why = self._fitness.lacked(work.task_id, work.handler, news.lack, news.message) if news.lack else None
        if why is None:
            self._settlement.ended(child, self._outcomes.failed(child, news))
        elif not child.yields:
            self._draining.give_back(child, why)

    def _unbegun(self, child: Child) -> None:
        if child.stop_reason is not None:
            self._cancel(child, self._me.clock.now())
        elif self._draining.life is not Life.RUNNING:
            self._draining.give_back(child)
        elif not child.yields:
            self._requeue(child)

    def _stop(self, child: Child) -> None:
        """End a child that was told to stop."""
        if child.key is None:
            self._cancel(child, self._me.clock.now())
        else:
            self._pool.stop(child.key, self._pace.cancel)

    def _cancel(self, child: Child, started_at: int) -> None:
        reason = child.stop_reason or ""
        self._settlement.ended(child, self._outcomes.cancelled(child, started_at, reason))

    def _confirm(self, child: Child) -> None:
        child.next_checkpoint = self._me.clock.monotonic() + self._pace.checkpoint
        if child.key is not None and child.waits:
            self._pool.confirm(child.key, child.told_number)
        child.waits = False

    # --- feed -------------------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        room = self._pool.room()
        if room <= 0:
            return
        self._recovery.advance(room)
        if not self._recovery.claims_worker:
            self._submit(self._ready.take(room))
        elif self._pool.busy() == 0 and (child := self._recovery.next_alone()):
            self._submit([child])

    def _begin(self, child: Child) -> None:
        """Let a child start that was just read, as soon as it may."""
        handler = child.work.handler
        if self._draining.life is not Life.RUNNING:
            self._draining.give_back(child)
        elif handler not in self._fitness.allowed and (why := self._fitness.lack(child.work.task_id, handler)):
            self._draining.give_back(child, why)
        elif not self._recovery.meet(child):
            self._ready.put(child)

    def _submit(self, children: Sequence[Child]) -> None:
        submitted = []
        for child in children:
            child.key = next(self._keys)
            child.next_checkpoint = self._me.clock.monotonic() + self._pace.checkpoint
            self._jobs[child.key] = child
            if child.told is not None:
                self._told.add(child.key)
            submitted.append(self._outcomes.job(child, child.key))
        self._pool.submit(submitted)

    def _requeue(self, child: Child) -> None:
        """Let a child start again that was to run already."""
        if not self._recovery.meet(child):
            self._ready.put_back(child)

    def _count_recovery(self, child: Child) -> None:
        self._settlement.recover(child)

    def _recovered(self, child: Child) -> None:
        if not child.gone and self._recovery.counted(child):
            self._ready.put_back(child)

    def _fail_lost(self, child: Child) -> None:
        self._settlement.ended(child, self._outcomes.worker_lost(child))

    # --- commit -----------------------------------------------------------------------------------------------------

    def _tell_long(self) -> None:
        """Once in a while tell the journal which children have been running for long."""
        now = self._me.clock.monotonic()
        if now < self._tell_at or not self._jobs:
            return
        self._tell_at = now + LONG
        wall = self._clock.machine_now()
        for running in self._pool.running():
            child = self._jobs.get(running.key)
            if child and not child.started_told and wall - running.started_at >= LONG * 1000:
                child.started_told = True
                self._settlement.note(child, self._outcomes.started(child))

    def _commit(self) -> bool:
        now = self._me.clock.monotonic()
        if now < self._retry_at:
            return False
        urgent = self._settlement.full
        for key in list(self._told):
            child = self._jobs.get(key)
            if child is None or child.told is None:
                self._told.discard(key)
            elif child.waits or now >= child.next_checkpoint:
                self._settlement.checkpoint(child)
                urgent = urgent or child.waits
        if not self._settlement:
            return False
        if now < self._commit_at and not urgent and self._pool.busy():
            return False
        committed = self._settlement.commit()
        now = self._me.clock.monotonic()
        self._commit_at = now + self._pace.commit
        if not committed:
            self._retry_at = now + RETRY
        return committed

    def _trim(self) -> None:
        """Let go of records below the low marks, once in a while."""
        now = self._me.clock.monotonic()
        if now < self._trim_at:
            return
        self._trim_at = now + self._pace.trim
        committed = {
            TopicPartition(self._topics.children, number): claim.position
            for number, claim in self._ownership.claims.items()
        }
        try:
            self._log.delete_before(committed)
        except LogError as error:
            log.warning("settled records were not deleted: %s", error)

    def _condition(self) -> Condition:
        shift = self._clock.shift_ms
        running = tuple(
            e.RunningChild(
                child.work.task_id, child.work.child, child.attempt, item.started_at - shift, item.done, item.total
            )
            for item in self._pool.running()
            for child in (self._jobs.get(item.key),)
            if child is not None
        )
        pending = sum(len(owned.children) for owned in self._owned.values())
        free = max(0, self._slots - len(running))
        return Condition(self._draining.life, self._slots, free, pending, running, self._fitness.modules)

    # --- tenant -----------------------------------------------------------------------------------------------------

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Read the new partitions from their committed positions; what is settled there is passed over."""
        for claim in claims:
            self._owned[claim.partition] = OwnedPartition(
                claim.partition, epoch=claim.epoch, position=claim.position, runs=claim.runs, end=claim.end,
                released=claim.released,
            )  # fmt: skip
        self._reading.assign({claim.partition: claim.position for claim in claims})

    def hand_over(self, partitions: Collection[int]) -> None:
        """Let running children yield, write what there is, and release; the other partitions go on meanwhile."""
        self._account_for(partitions)
        for number in partitions:
            for child in self._owned[number].children.values() if number in self._owned else ():
                if child.key is None and not child.gone:
                    child.gone = True
                    if child.inherited:  # the next owner, who sees a release, would start it uncounted
                        self._count_recovery(child)
        self._draining.hand_over(partitions)
        self.dropped(partitions)

    def _account_for(self, partitions: Collection[int]) -> None:
        """Meet every child that may have taken the last owner down, so that it is counted before it is handed on."""
        try:
            while not all(self._owned[number].accounted for number in partitions if number in self._owned):
                if not self._reading.read_on():
                    break
        except LogError as error:
            log.warning("what was inherited could not be read: %s", error)

    def waiting(self) -> None:
        """Beat, and keep the executors' limits; what they tell is heard when the commit is over."""
        self._late += self._pool.poll(0.0)
        self._beat()

    def _beat(self) -> None:
        self.pulse.beat(self._condition, self._draining.life)

    def dropped(self, partitions: Collection[int]) -> None:
        """Kill what runs for these partitions and forget them."""
        gone = set(partitions)
        dead = [key for key, child in self._jobs.items() if child.partition in gone]
        self._pool.kill(dead)
        for key in dead:
            del self._jobs[key]
        for number in gone:
            owned = self._owned.pop(number, None)
            for child in owned.children.values() if owned else ():
                child.gone = True
        self._settlement.drop(gone)
        self._reading.assign({})
