"""The worker's loop: read the work log, run children in the pool, settle them in one transaction after another.

One step: serve the group → read → hear the pool → feed it → commit → beat. The pending set of each partition is the
unsettled records of the log; everything here can be lost at any time and is read again by the next owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from streamsched.domain import events as e
from streamsched.log.codec import Codec, Undecodable, UnknownSchema
from streamsched.log.port import Log, LogError, PositionLost, Record, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.beats import Condition, Pulse
from streamsched.runtime.dead_letter import dead_letter
from streamsched.runtime.identity import Identity
from streamsched.runtime.lifecycle import Life, become
from streamsched.runtime.ownership import Claim, Ownership
from streamsched.runtime.records import Records
from streamsched.runtime.tracker import Met
from streamsched.worker import jobs
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.pending import Child, Marker, OwnedPartition, ReadyQueue, Unreadable, child_of
from streamsched.worker.recovery import Recovery
from streamsched.worker.settlement import Settlement

log = logging.getLogger(__name__)

READ: Final = 2_000
"""Records read in one step."""
HELD: Final = 20_000
"""Pending children from which on the worker reads no further."""
SLICE: Final = 0.1
"""Seconds to wait for the log before the group is served again."""
RETRY: Final = 0.05
"""Seconds after an aborted transaction before the next one: the group is served in between."""
LAST_TENTH: Final = 0.9
"""Part of the time to yield after which a child is killed: what it told is still written."""
LONG: Final = 0.5
"""Seconds after which a running child is worth a ChildStarted."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a worker paces itself, in seconds."""

    poll: float = 0.004
    """Slice of waiting for the pool while something runs."""
    commit: float = 0.025
    """Age at which a batch of outcomes is committed though more is coming."""
    checkpoint: float = 1.0
    """Least time between durable checkpoints of one child."""
    cancel: float = 0.7
    """Time that a running child has to stop when it was cancelled, before it is killed."""
    hand_over: float = 10.0
    """Time that running children have to yield when a partition is revoked."""
    drain: float = 30.0
    """Time that a drain may take before what still runs is killed."""
    trim: float = 60.0
    """Time between deletions of settled records."""


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
        pace: Pace = Pace(),
    ) -> None:
        self._log = log
        self._topics = topics
        self._codec = codec
        self._records = Records(codec, topics)
        self._pool = pool
        self._me = me
        self._slots = slots
        self._pace = pace
        self._outcomes = Outcomes(me)
        self._owned: dict[int, OwnedPartition] = {}
        self._ready = ReadyQueue()
        self._jobs: dict[int, Child] = {}
        self._keys = count(1)
        self._life = Life.RUNNING
        self._deadline = float("inf")
        self._commit_at = float("inf")
        self._retry_at = 0.0
        self._tell_at = 0.0
        self._trim_at = me.clock.monotonic() + pace.trim
        self._reader = log.reader()
        self._ownership = Ownership(
            log=log, group=topics.worker_group, topic=topics.children, node_id=me.node_id, tenant=self,
            clock=me.clock, pause=pause,
        )  # fmt: skip
        self._recovery = Recovery(count=self._count_recovery, fail=self._fail_lost)
        self._settlement = Settlement(
            ownership=self._ownership, records=self._records, outcomes=self._outcomes, owned=self._owned,
            on_durable=self._confirm, on_recovered=self._recovered,
        )  # fmt: skip
        self._pulse = Pulse(log=log, records=self._records, me=me, role="worker", ownership=self._ownership)

    @property
    def membership(self) -> tuple[str, str]:
        """Who this node is to its group: member id and transactional id."""
        return self._ownership.member_id, self._ownership.transactional_id

    @property
    def stopped(self) -> bool:
        """Whether the drain is over; call ``stop`` then."""
        return self._life is Life.STOPPED

    def drain(self) -> None:
        """Begin to stop gracefully; called again, stop now."""
        if self._life is Life.RUNNING:
            log.info("draining: returning what has not begun, asking what runs to stop at its next checkpoint")
            self._life = become(self._life, Life.DRAINING)
            self._deadline = self._me.clock.monotonic() + self._pace.drain
        elif self._life is not Life.STOPPED:
            log.info("stopping now")
            self._deadline = self._me.clock.monotonic()

    def step(self, timeout: float) -> bool:
        """Make one turn of at most ``timeout`` seconds; tells whether anything happened."""
        self._ownership.poll()
        busy = self._pool.busy()
        waiting = busy or len(self._settlement)
        read = self._read(0.0 if waiting else min(timeout, SLICE))
        news = self._pool.poll(0.0 if read or not waiting else min(timeout, self._pace.poll))
        for item in news:
            self._hear(item)
        if self._life is Life.RUNNING:
            self._feed()
        else:
            self._wind_down()
        self._tell_long()
        committed = self._commit()
        self._pulse.beat(self._condition, self._life)
        self._trim()
        return bool(read or news or committed)

    def stop(self) -> None:
        """Hand everything over, leave the group, end the executors."""
        self._life = Life.STOPPED
        try:
            self._ownership.leave()
        finally:
            self._pulse.stop()
            self._pool.close(0.0)
            self._reader.close()

    # --- read -------------------------------------------------------------------------------------------------------

    def _read(self, timeout: float) -> int:
        if sum(len(owned.children) for owned in self._owned.values()) >= HELD:
            return 0
        try:
            records = self._reader.poll(READ, timeout)
        except PositionLost:
            # A successor may have deleted what we were frozen over: the group tells. If it does not, it is true.
            self._ownership.poll()
            records = self._reader.poll(READ, timeout)
        for record in records:
            owned = self._owned.get(record.partition)
            if owned is not None:
                self._meet(owned, record)
        for owned in self._owned.values():
            if owned.markers or not owned.caught_up:
                owned.tracker.advance(self._reader.position(TopicPartition(self._topics.children, owned.number)))
                self._close_markers(owned)
        return len(records)

    def _meet(self, owned: OwnedPartition, record: Record) -> None:
        if owned.tracker.meet(record.offset) is not Met.NEW:
            return
        try:
            event = self._codec.decode(record)
            if isinstance(event, e.ChildrenStopping):
                self._meet_marker(owned, Marker(record.offset, event))
            elif isinstance(event, e.ChildCreated | e.ChildCheckpointed):
                self._meet_child(owned, record, event)
            else:
                raise Undecodable(f"{type(event).__name__} is no work")
        except UnknownSchema as error:
            log.error("%s", error)
            owned.tracker.add(record.offset, Unreadable(record.offset))
        except (Undecodable, ValueError) as error:
            self._poison(owned, record, str(error))

    def _meet_child(self, owned: OwnedPartition, record: Record, work: e.Work) -> None:
        inherited = not owned.released and record.offset < owned.end
        child = child_of(work, partition=owned.number, offset=record.offset, epoch=owned.epoch, inherited=inherited)
        owned.tracker.add(record.offset, child)
        known = owned.children.get((child.work.task_id, child.work.child))
        if known is not None:
            known.gone = True  # a successor has moved it on: this worker was frozen, and will hear that it is lost
        owned.children[child.work.task_id, child.work.child] = child
        for marker in owned.markers_for(child):
            self._obey(child, marker)
        if child.gone:
            return
        if self._life is not Life.RUNNING:
            self._settlement.ended(child, self._outcomes.returned(child, "its worker drains"))
        elif not self._recovery.meet(child):
            self._ready.put(child)

    def _meet_marker(self, owned: OwnedPartition, marker: Marker) -> None:
        owned.tracker.add(marker.offset, marker)
        owned.markers.append(marker)
        for child in list(owned.named(marker.event)):
            self._obey(child, marker)

    def _obey(self, child: Child, marker: Marker) -> None:
        """Stop a child that a marker names; the marker is settled with it or later."""
        marker.waiting += 1
        child.markers.append(marker)
        if child.gone:
            return
        child.stop_reason = marker.event.reason
        if child.key is None:
            self._cancel(child, self._me.clock.now())
        else:
            self._pool.stop(child.key, self._pace.cancel)

    def _close_markers(self, owned: OwnedPartition) -> None:
        """Once all was read that was there at the claim, a marker names nothing that we have not met."""
        if not owned.caught_up:
            return
        for marker in owned.markers:
            marker.open = False
            if not marker.waiting:
                self._settlement.settle_alone(owned, marker, [])
        owned.markers.clear()

    def _poison(self, owned: OwnedPartition, record: Record, reason: str) -> None:
        """Set a broken record aside: dead letter, and failure of the child that its headers name."""
        log.error("dead letter: %s", reason)
        unreadable = Unreadable(record.offset)
        owned.tracker.add(record.offset, unreadable)
        appends = [dead_letter(self._records, self._me, record, reason)]
        failure = self._outcomes.poisoned(record, reason)
        if failure is not None:
            appends.append(self._records.journal(failure, failure.task_id))
        self._settlement.settle_alone(owned, unreadable, appends)

    # --- hear -------------------------------------------------------------------------------------------------------

    def _hear(self, news: jobs.News) -> None:
        child = self._jobs.get(news.key)
        if child is None:
            return
        if isinstance(news, jobs.JobCheckpointed):
            child.told, child.told_number = news.state, news.number
            child.waits = news.wait
            return
        del self._jobs[news.key]
        child.key = None
        if isinstance(news, jobs.JobReturned):
            self._unbegun(child)
            return
        if news.state is not None:
            child.told = news.state
        if isinstance(news, jobs.JobCompleted):
            self._settlement.ended(child, self._outcomes.completed(child, news))
        elif child.stop_reason is not None:
            self._cancel(child, news.started_at)
        elif isinstance(news, jobs.JobFailed):
            self._settlement.ended(child, self._outcomes.failed(child, news))
        elif child.yields:
            self._yielded(child)
        else:
            self._requeue(child)

    def _unbegun(self, child: Child) -> None:
        if child.stop_reason is not None:
            self._cancel(child, self._me.clock.now())
        elif self._life is not Life.RUNNING:
            self._settlement.ended(child, self._outcomes.returned(child, "its worker drains"))
        elif not child.yields:
            self._requeue(child)

    def _cancel(self, child: Child, started_at: int) -> None:
        reason = child.stop_reason or ""
        self._settlement.ended(child, self._outcomes.cancelled(child, started_at, reason))

    def _yielded(self, child: Child) -> None:
        """Its last state becomes its continuation; whoever owns the partition next goes on from there."""
        reason = "drain" if self._life is not Life.RUNNING else "revoke"
        self._settlement.note(child, self._outcomes.yielded(child, reason))
        if child.told is not None:
            self._settlement.checkpoint(child)
        child.gone = True

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

    def _submit(self, children: Sequence[Child]) -> None:
        submitted = []
        for child in children:
            child.key = next(self._keys)
            child.next_checkpoint = self._me.clock.monotonic() + self._pace.checkpoint
            self._jobs[child.key] = child
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
        wall = self._me.clock.now()
        for running in self._pool.running():
            child = self._jobs.get(running.key)
            if child and not child.started_told and wall - running.started_at >= LONG * 1000:
                child.started_told = True
                self._settlement.note(child, self._outcomes.started(child))

    def _commit(self) -> bool:
        now = self._me.clock.monotonic()
        if now < self._retry_at:
            return False
        for child in self._jobs.values():
            if child.told is not None and (child.waits or now >= child.next_checkpoint):
                self._settlement.checkpoint(child)
        if not self._settlement:
            self._commit_at = float("inf")
            return False
        self._commit_at = min(self._commit_at, now + self._pace.commit)
        if now < self._commit_at and not self._settlement.full and self._pool.busy():
            return False
        self._commit_at = float("inf")
        if self._settlement.commit():
            return True
        self._retry_at = now + RETRY
        return False

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
        running = tuple(
            e.RunningChild(child.work.task_id, child.work.child, child.attempt, item.started_at, item.done, item.total)
            for item in self._pool.running()
            for child in (self._jobs.get(item.key),)
            if child is not None
        )
        pending = sum(len(owned.children) for owned in self._owned.values())
        return Condition(self._life, self._slots, max(0, self._slots - len(running)), pending, running)

    # --- drain ------------------------------------------------------------------------------------------------------

    def _wind_down(self) -> None:
        if self._life is Life.DRAINING:
            for child in [*self._ready.drain(), *self._recovery.drain()]:
                self._settlement.ended(child, self._outcomes.returned(child, "its worker drains"))
            self._ask_to_yield(list(self._jobs.values()), self._pace.drain)
            self._life = become(self._life, Life.YIELDING)
        elif self._life is Life.YIELDING:
            over = self._me.clock.monotonic() >= self._deadline
            if over:
                self._pool.kill(list(self._jobs))
                self._jobs.clear()
            if over or not (self._jobs or self._settlement):
                self._life = become(self._life, Life.STOPPED)

    def _ask_to_yield(self, children: Collection[Child], seconds: float) -> None:
        """Ask running children to stop at a safe point; one that does not in time goes on from what it told."""
        for child in children:
            if child.key is not None:
                child.yields = True
                self._pool.stop(child.key, LAST_TENTH * seconds)

    # --- tenant -----------------------------------------------------------------------------------------------------

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Read the new partitions from their committed positions; what is settled there is passed over."""
        for claim in claims:
            self._owned[claim.partition] = OwnedPartition(
                claim.partition, epoch=claim.epoch, position=claim.position, runs=claim.runs, end=claim.end,
                released=claim.released,
            )  # fmt: skip
        self._assign({claim.partition: claim.position for claim in claims})

    def hand_over(self, partitions: Collection[int]) -> None:
        """Let running children yield, write what there is, and release."""
        gone = set(partitions)
        running = [child for child in self._jobs.values() if child.partition in gone]
        self._ask_to_yield(running, self._pace.hand_over)
        deadline = self._me.clock.monotonic() + self._pace.hand_over
        while any(child.partition in gone for child in self._jobs.values()):
            if self._me.clock.monotonic() >= deadline:
                break
            for news in self._pool.poll(self._pace.poll):
                self._hear(news)
        try:
            while self._settlement and self._settlement.commit():
                pass
            self._settlement.release([number for number in partitions if number in self._owned])
        except LogError as error:
            log.warning("partitions %s were not released in order: %s", sorted(partitions), error)
        self.dropped(partitions)

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
        self._assign({})

    def _assign(self, new: dict[int, int]) -> None:
        positions = {}
        for number in self._owned:
            place = TopicPartition(self._topics.children, number)
            positions[place] = new[number] if number in new else self._reader.position(place)
        self._reader.assign(positions)
