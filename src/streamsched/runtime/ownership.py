"""Owning partitions: membership, the claim, and the commit. Exactly-once is argued here and in the two loops.

The claim (design section 4) makes sure that nothing of a predecessor lands after the successor began:

1. read the last commit without waiting, only to see whom to fence, unless the partition was released;
2. fence a predecessor that neither releases nor makes progress: its open transaction is aborted at once;
3. read the *stable* commit: position, settled runs, epoch, counter;
4. commit a transaction with nothing but the claim: epoch + 1. Whatever the predecessor still sends comes too late;
5. capture the end. Only now run, or decide.

The commit is one call, one transaction: all appends, and for each partition whose work they carry its place and its
counter + 1. When its outcome is unknown, the old id is fenced and the counter in the stable commit is the witness.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from streamsched.log.coordination import Coordination
from streamsched.log.port import (
    Append,
    Committed,
    Log,
    LogError,
    LogUnreachable,
    NotAllowed,
    OutcomeUnknown,
    PositionLost,
    TopicPartition,
    TransactionAborted,
    Writer,
    WriterFenced,
)
from streamsched.runtime.beginning import Beginning
from streamsched.runtime.clock import Clock
from streamsched.runtime.mark import INITIAL, Mark, NewerMark, decode_mark
from streamsched.runtime.tracker import Place

PATIENCE: Final = 0.3
"""Seconds that a predecessor has to release or to make progress before it is fenced."""
HOLD: Final = 1.0
"""Seconds to wait for another's open transaction before the loop goes round again: a silent node is evicted."""
AFTER_FENCE: Final = 1.0
"""Seconds after being fenced before anything is claimed."""
SLICE: Final = 0.05
"""Seconds between two calls to the group, while it shares out and some time after that."""
CALM_AFTER: Final = 5.0
CALM_SLICE: Final = 0.2
"""The same when nothing has come from it for longer: what is idle should cost nothing."""
ROUNDS: Final = 10
"""How often progress buys it another wait."""
OUTAGE_S: Final = 150.0
"""How long running work waits for the log to say how a transaction ended: as long as the group keeps its member."""

REMEDY: Final = "run 'streamsched topics repair'"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """One owned partition: our epoch, counter and position of our last transaction, and what we inherited.

    ``released`` tells whether the predecessor handed over in order, or was this process, which did not die of its work;
    ``end`` was captured after the claim.
    """

    partition: int
    epoch: int
    counter: int
    position: int
    runs: str
    released: bool
    end: int


class _Forgotten(PositionLost):
    """The group has no position: none was committed, or the broker or an administrator has deleted it."""


class Tenant(Protocol):
    """The role that works on owned partitions."""

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Begin work on these partitions."""

    def hand_over(self, partitions: Collection[int]) -> None:
        """Finish, and commit with ``release=True``; called while the group waits."""

    def dropped(self, partitions: Collection[int]) -> None:
        """Forget all work on these partitions without writing anything."""

    def waiting(self) -> None:
        """Show a sign of life: a claim, or the answer of the log, is taking its time."""


class Ownership:
    """A member of a group, its writer, and its claims. All calls from one thread.

    ``begin_anew`` says where partitions begin whose position the group has forgotten; without it they stand still.
    ``outage`` is for how many seconds work is kept whose transaction has an unknown outcome while the log does not
    answer.
    """

    def __init__(
        self,
        *,
        log: Log,
        coordination: Coordination,
        group: str,
        topic: str,
        node_id: str,
        tenant: Tenant,
        clock: Clock,
        pause: Callable[[float], None],
        begin_anew: Callable[[Collection[TopicPartition]], Beginning] | None = None,
        outage: float = 0.0,
    ) -> None:
        self._log = log
        self._coordination = coordination
        self._group = group
        self._topic = topic
        self._tenant = tenant
        self._clock = clock
        self._pause = pause
        self._begin_anew = begin_anew
        self._outage = outage
        self._ids = f"{group}.{node_id}."
        self._writers = 0
        self._abandoned: list[str] = []
        """Own ids whose last transaction may still be open, until they are fenced."""
        self._id = self._next_id()
        self._writer: Writer | None = log.writer(self._id)
        self._member = coordination.member(group, topic, self)
        self._assigned: set[int] = set()
        self._set_apart: set[int] = set()
        """Assigned partitions whose committed position is lost: they stand still until they are assigned anew."""
        self._claim_at = 0.0
        self._stirred_at = clock.monotonic()
        self.joined = False
        """Whether the group has told us what is ours, be it nothing, and not that we lost it."""
        self.claims: dict[int, Claim] = {}

    @property
    def member_id(self) -> str:
        """The group's name for this node."""
        return self._member.member_id

    @property
    def transactional_id(self) -> str:
        """The id that a successor fences."""
        return self._id

    @property
    def turn(self) -> float:
        """Seconds that may pass until the group is served again: few while it shares its partitions out anew."""
        return CALM_SLICE if self._clock.monotonic() - self._stirred_at > CALM_AFTER else SLICE

    @property
    def idle(self) -> str:
        """Why nothing is owned here; empty where something is."""
        if self.claims:
            return ""
        if not self.member_id:
            return f"it is not in group {self._group}, which does not answer (yet)"
        if not self._assigned:
            return (
                f"group {self._group} gave it no partition of {self._topic}: other nodes have them all, "
                "or the group still waits for a member that was lost"
            )
        if self._assigned <= self._set_apart:
            return f"its partitions of {self._topic}, {sorted(self._assigned)}, stand still: {REMEDY}"
        return f"it still takes over its partitions of {self._topic}, {sorted(self._assigned)}, from their last owner"

    def poll(self) -> None:
        """Serve the group, then claim what was assigned."""
        self._member.poll(0.0)
        waits = self._clock.monotonic() < self._claim_at
        wanted = set() if waits else self._assigned - self.claims.keys() - self._set_apart
        if wanted or self._abandoned:
            try:
                self._fence_abandoned()
                self._claim(sorted(wanted))
            except (TransactionAborted, LogUnreachable) as error:
                log.warning("claim of %s %s put off: %s", self._topic, sorted(wanted), error)
            except (WriterFenced, OutcomeUnknown) as error:
                log.warning("claim of %s %s begun anew: %s", self._topic, sorted(wanted), error)
                self._abandon_writer()

    def commit(
        self, appends: Sequence[Append], places: Mapping[int, Place], *, release: bool = False
    ) -> Mapping[int, int]:
        """Write appends and places in one transaction; returns the offsets of tracked appends, by index.

        Raises:
            TransactionAborted: nothing was written; decide again after the next poll.
            WriterFenced: nothing was written, and all claims are dropped; the tenant was told.

        """
        marks = {
            partition: Mark(self.transactional_id, claim.epoch, claim.counter + 1, released=release, runs=place.runs)
            for partition, place in places.items()
            for claim in (self.claims[partition],)
        }
        positions = {
            TopicPartition(self._topic, partition): Committed(place.position, marks[partition].encode())
            for partition, place in places.items()
        }
        try:
            offsets = self._ready_writer().commit(appends, positions, self._member)
        except OutcomeUnknown as error:
            log.warning("outcome of a transaction unknown, asking the witness: %s", error)
            offsets = self._witness(marks, error)
        except WriterFenced:
            # Whoever fenced us has the partitions, or will: first the group may tell which are still ours.
            self._claim_at = self._clock.monotonic() + AFTER_FENCE
            self._drop_all()
            self._renew_writer()
            raise
        for partition, place in places.items():
            claim = self.claims.get(partition)
            if claim is not None:  # the witness may have found it lost
                self.claims[partition] = replace(claim, counter=claim.counter + 1, position=place.position)
        return offsets

    def hurry(self) -> None:
        """Wait for the end of no outage any more. May be called from a signal handler."""
        self._outage = 0.0

    def leave(self) -> None:
        """Hand everything over and leave the group."""
        self._member.leave()
        if self._writer is not None:
            self._writer.close()

    # --- the group's listener ---------------------------------------------------------------------------------------

    def on_assigned(self, partitions: Collection[int]) -> None:
        """Take note; ``poll`` claims."""
        self._stirred_at = self._clock.monotonic()
        self.joined = True
        self._assigned |= set(partitions)
        self._set_apart -= set(partitions)

    def on_revoked(self, partitions: Collection[int]) -> None:
        """Let the tenant hand over what is claimed."""
        self._stirred_at = self._clock.monotonic()
        held = [partition for partition in partitions if partition in self.claims]
        if held:
            self._tenant.hand_over(held)
        self._assigned -= set(partitions)
        for partition in held:
            self.claims.pop(partition, None)

    def on_lost(self, partitions: Collection[int]) -> None:
        """Drop all work and take a new transactional id: the old one may be fenced at any time."""
        log.warning("lost %s of %s: another node took over", sorted(partitions), self._topic)
        self._stirred_at = self._clock.monotonic()
        self.joined = False
        self._assigned -= set(partitions)
        self._drop(partitions)
        self._renew_writer()

    # --- the claim --------------------------------------------------------------------------------------------------

    def _claim(self, wanted: Sequence[int]) -> None:
        if not wanted:
            return
        places = [TopicPartition(self._topic, partition) for partition in wanted]
        for predecessor in self._unreleased(places):
            log.info("fencing %s, which did not release its partitions", predecessor)
            self._tenant.waiting()
            self._coordination.fence(predecessor)
        lost: dict[TopicPartition, PositionLost] = {}
        stable = self._marks(places, stable=True, timeout=HOLD, on_lost=lost.setdefault)
        facts = self._forgotten(lost, stable)
        if lost:
            self._stand_still({place.partition: why for place, why in lost.items()})
        if not stable:
            return
        marks = {
            partition: Mark(self.transactional_id, mark.epoch + 1, mark.counter + 1, released=False, runs=mark.runs)
            for partition, (_, mark) in stable.items()
        }
        self._ready_writer().commit(
            facts,
            {partition: Committed(stable[partition][0], mark.encode()) for partition, mark in marks.items()},
            self._member,
        )
        ends = self._log.end(list(stable))
        claims = [
            Claim(place.partition, mine.epoch, mine.counter, position, before.runs, released, ends[place])
            for place, (position, before) in stable.items()
            for mine in (marks[place],)
            for released in (before.released or before.transactional_id.startswith(self._ids),)
        ]
        self.claims |= {claim.partition: claim for claim in claims}
        try:
            self._tenant.claimed(claims)
        except LogError:  # it cannot begin: claimed anew
            for claim in claims:
                del self.claims[claim.partition]
            raise

    def _forgotten(
        self, lost: dict[TopicPartition, PositionLost], stable: dict[TopicPartition, tuple[int, Mark]]
    ) -> Sequence[Append]:
        """Move what can begin anew from the lost partitions to the others; returns what to write with the claim."""
        forgotten = [place for place, why in lost.items() if isinstance(why, _Forgotten)]
        if not forgotten or self._begin_anew is None:
            return ()
        try:
            positions, facts = self._begin_anew(forgotten)
        except NotAllowed as error:
            log.error("%s", error)
            return ()
        numbers = [place.partition for place in forgotten]
        log.warning("group %s has forgotten its positions: %s %s begin anew", self._group, self._topic, numbers)
        for place in forgotten:
            del lost[place]
            stable[place] = (positions[place], INITIAL)
        return facts

    def _unreleased(self, places: Sequence[TopicPartition]) -> list[str]:
        """Find the predecessors to fence: those that hold on without progress, after a patient second look."""
        held = self._held(self._marks(places, stable=False, on_lost=lambda place, lost: None))
        if not held:
            return []
        try:
            held = self._held(self._marks(list(held), stable=True, timeout=PATIENCE))
            for _ in range(ROUNDS if held else 0):
                self._tenant.waiting()
                self._pause(PATIENCE)
                before, held = held, self._held(self._marks(list(held), stable=True, timeout=PATIENCE))
                if held in ({}, before):
                    break
        except LogUnreachable:
            pass  # an open transaction is in the way: fencing its owner is what ends it
        return sorted({mark.transactional_id for mark in held.values()} - {self.transactional_id})

    def _held(self, marks: Mapping[TopicPartition, tuple[int, Mark]]) -> dict[TopicPartition, Mark]:
        return {place: mark for place, (_, mark) in marks.items() if not mark.released}

    def _stand_still(self, lost: Mapping[int, PositionLost]) -> None:
        """Leave partitions alone whose position is gone: nothing may begin just anywhere."""
        self._set_apart |= lost.keys()
        why = next(iter(lost.values()))
        log.error("%s; until then these stand still: %s %s", why, self._topic, sorted(self._set_apart))

    def _marks(
        self,
        places: Sequence[TopicPartition],
        *,
        stable: bool,
        timeout: float = 10.0,
        on_lost: Callable[[TopicPartition, PositionLost], object] | None = None,
    ) -> dict[TopicPartition, tuple[int, Mark]]:
        """Read marks; a position that is lost is raised, or told to ``on_lost`` and left out."""
        found: dict[TopicPartition, tuple[int, Mark]] = {}
        for place, committed in self._coordination.committed(
            self._group, places, stable=stable, timeout=timeout
        ).items():
            where = f"group {self._group} for {place.topic}-{place.partition}"
            lost: PositionLost = _Forgotten(f"there is no committed position of {where}: {REMEDY}")
            try:
                if committed is not None:
                    found[place] = (committed.position, decode_mark(committed.metadata))
                    continue
            except NewerMark as error:
                raise LogError(f"the committed position of {where} is {error}: upgrade this node") from error
            except ValueError as error:
                # An admin has set it: what was settled above it is not known any more.
                lost = PositionLost(f"the committed position of {where} is {error}: {REMEDY}")
            if on_lost is None:
                raise lost
            on_lost(place, lost)
        return found

    # --- outcomes ---------------------------------------------------------------------------------------------------

    def _witness(self, marks: Mapping[int, Mark], unknown: OutcomeUnknown) -> Mapping[int, int]:
        """Find out from the stable commit whether our last transaction landed.

        What another node claimed meanwhile is lost. Any other partition of the transaction tells of the whole.
        """
        self._abandon_writer()
        begun = self._clock.monotonic()
        while True:
            try:
                self._tenant.waiting()
                self._fence_abandoned()
                self._tenant.waiting()
                found = self._marks([TopicPartition(self._topic, partition) for partition in marks], stable=True)
                break
            except LogUnreachable as error:
                if self._clock.monotonic() - begun >= self._outage:
                    # Nothing is known of this work any more: claim it anew, from what the log says then.
                    self._drop(list(marks))
                    raise TransactionAborted(f"nobody can tell whether the transaction landed: {error}") from unknown
                log.warning("an outage: what runs goes on, results wait: %s", error)
                self._pause(PATIENCE)
        landed = {place.partition: mark for place, (_, mark) in found.items()}
        foreign = {
            partition
            for partition, mark in marks.items()
            if landed[partition].epoch > mark.epoch or not landed[partition].transactional_id.startswith(self._ids)
        }
        if foreign:
            self._assigned -= foreign
            self._drop(foreign)
        kept = marks.keys() - foreign
        if all(landed[partition].counter == marks[partition].counter for partition in kept) and (kept or not marks):
            return unknown.offsets
        lost = f"; {self._topic} {sorted(foreign)} were claimed by another node" if foreign else ""
        raise TransactionAborted(f"the transaction was not committed{lost}") from unknown

    def _drop_all(self) -> None:
        self._drop(list(self.claims))

    def _drop(self, partitions: Collection[int]) -> None:
        held = [partition for partition in partitions if self.claims.pop(partition, None)]
        if held:
            self._tenant.dropped(held)

    def _renew_writer(self) -> None:
        """Take a new id; its writer is made when it is needed, for the broker may not answer now."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._id = self._next_id()

    def _ready_writer(self) -> Writer:
        if self._writer is None:
            try:
                self._writer = self._log.writer(self._id)
            except LogUnreachable as error:
                raise TransactionAborted(f"nothing was written: {error}") from error
        return self._writer

    def _abandon_writer(self) -> None:
        """Take a new id; what the old one may have open is aborted before anything else is written."""
        self._abandoned.append(self.transactional_id)
        self._renew_writer()

    def _fence_abandoned(self) -> None:
        while self._abandoned:
            self._coordination.fence(self._abandoned[-1])
            self._abandoned.pop()

    def _next_id(self) -> str:
        self._writers += 1
        return f"{self._ids}{self._writers}"
