"""Owning partitions: membership, what is claimed, and the commit. Exactly-once is argued here and in the two loops.

``claim.py`` takes a partition over from its predecessor. The commit is one call, one transaction: all appends, and for
each partition whose work they carry its place and its counter + 1. When its outcome is unknown, the old id is fenced
and the counter in the stable commit is the witness.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from streamsched.log.coordination import Coordination
from streamsched.log.port import (
    Append,
    AppendRefused,
    Committed,
    Log,
    LogError,
    LogUnreachable,
    OutcomeUnknown,
    TopicPartition,
    TransactionAborted,
    WriterFenced,
)
from streamsched.runtime import metrics
from streamsched.runtime.beginning import Beginning
from streamsched.runtime.claim import PATIENCE_S, Claim, Claimant
from streamsched.runtime.clock import Clock
from streamsched.runtime.commit_metadata import CommitMetadata
from streamsched.runtime.tracker import CommitPoint
from streamsched.runtime.transactions import REMEDY, Transactions

AFTER_FENCE_S: Final = 1.0
"""Seconds after being fenced before anything is claimed."""
GROUP_POLL_S: Final = 0.05
"""Seconds between two calls to the group, while it shares out and some time after that."""
CALM_AFTER_S: Final = 5.0
"""Seconds without news after which a node is idle."""
CALM_GROUP_POLL_S: Final = 0.2
"""The same when the group has been idle: what is idle should cost nothing."""
OUTAGE_S: Final = 150.0
"""How long running work waits for the log to say how a transaction ended: as long as the group keeps its member."""

logger = logging.getLogger(__name__)


class PartitionHandler(Protocol):
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
    """A member of a group, its transactions, and its claims. All calls from one thread.

    ``begin_anew`` says where partitions begin whose position the group has forgotten; without it they stand still.
    ``fenced`` tells which writers evictions have fenced.
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
        partition_handler: PartitionHandler,
        clock: Clock,
        pause: Callable[[float], None],
        begin_anew: Callable[[Collection[TopicPartition]], Beginning] | None = None,
        fenced: Callable[[], Collection[str]] = tuple,
        outage: float = 0.0,
    ) -> None:
        self._group = group
        self._topic = topic
        self._partition_handler = partition_handler
        self._clock = clock
        self._pause = pause
        self._outage = outage
        self._transactions = Transactions(log, coordination, group, node_id)
        self._member = coordination.member(group, topic, self)
        self._claimant = Claimant(
            log=log, transactions=self._transactions, member=self._member, waiting=partition_handler.waiting,
            pause=pause, begin_anew=begin_anew, fenced=fenced,
        )  # fmt: skip
        self._assigned: set[int] = set()
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
        return self._transactions.id

    @property
    def turn(self) -> float:
        """Seconds that may pass until the group is served again: few while it shares its partitions out anew."""
        return CALM_GROUP_POLL_S if self._clock.monotonic() - self._stirred_at > CALM_AFTER_S else GROUP_POLL_S

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
        if self._assigned <= self._claimant.set_apart:
            return f"its partitions of {self._topic}, {sorted(self._assigned)}, stand still: {REMEDY}"
        return f"it still takes over its partitions of {self._topic}, {sorted(self._assigned)}, from their last owner"

    @property
    def unclaimed(self) -> str:
        """Why not all is claimed here that the group gave; empty where it is, be it nothing."""
        if self.joined and self._assigned - self._claimant.set_apart <= self.claims.keys():
            return ""
        return self.idle or f"it still takes over partitions of {self._topic} from their last owner"

    def poll(self) -> None:
        """Serve the group, then claim what was assigned."""
        self._member.poll(0.0)
        waits = self._clock.monotonic() < self._claim_at
        wanted = set() if waits else self._assigned - self.claims.keys() - self._claimant.set_apart
        if wanted or self._transactions.abandoned:
            try:
                self._transactions.fence_abandoned()
                if wanted:
                    self._claim(sorted(wanted))
            except (TransactionAborted, LogUnreachable) as error:
                logger.warning("cannot claim %s %s now, will retry: %s", self._topic, sorted(wanted), error)
            except (WriterFenced, OutcomeUnknown) as error:
                logger.warning("cannot claim %s %s, will retry with a new id: %s", self._topic, sorted(wanted), error)
                self._transactions.abandon()

    def commit(
        self, appends: Sequence[Append], points: Mapping[int, CommitPoint], *, release: bool = False
    ) -> Mapping[int, int]:
        """Write appends and positions in one transaction; returns the offsets of tracked appends, by index.

        Raises:
            TransactionAborted: nothing was written; decide again after the next poll.
            AppendRefused: nothing was written, and never will be with this append.
            WriterFenced: nothing was written, and all claims are dropped; the partition handler was called.

        """
        mine = self._transactions.id
        commits = {
            partition: CommitMetadata(mine, claim.epoch, claim.counter + 1, release, point.settled_ranges)
            for partition, point in points.items()
            for claim in (self.claims[partition],)
        }
        positions = {
            TopicPartition(self._topic, partition): Committed(point.position, commits[partition].encode())
            for partition, point in points.items()
        }
        begun = self._clock.monotonic()
        try:
            offsets = self._transactions.commit(appends, positions, self._member)
        except AppendRefused:
            self._transactions.abandon()  # what it has open may look as if it could be aborted, and never is
            raise
        except OutcomeUnknown as error:
            logger.warning("outcome of a transaction unknown, reading the committed position: %s", error)
            offsets = self._witness(commits, error)
        except WriterFenced:
            # Whoever fenced us has the partitions, or will: first the group may tell which are still ours.
            self._claim_at = self._clock.monotonic() + AFTER_FENCE_S
            self._drop(list(self.claims))
            self._transactions.renew()
            metrics.FENCED.add(1)
            raise
        metrics.COMMIT_SECONDS.observe(self._clock.monotonic() - begun)
        for partition, point in points.items():
            claim = self.claims.get(partition)
            if claim is not None:  # the witness may have found it lost
                self.claims[partition] = replace(claim, counter=claim.counter + 1, position=point.position)
        return offsets

    def hurry(self) -> None:
        """Stop waiting for outages to end. May be called from a signal handler."""
        self._outage = 0.0

    def leave(self) -> None:
        """Hand everything over and leave the group."""
        self._member.leave()
        self._transactions.close()

    # --- the group's listener ---------------------------------------------------------------------------------------

    def on_assigned(self, partitions: Collection[int]) -> None:
        """Take note; ``poll`` claims."""
        self._stirred_at = self._clock.monotonic()
        self.joined = True
        self._assigned |= set(partitions)
        self._claimant.set_apart -= set(partitions)

    def on_revoked(self, partitions: Collection[int]) -> None:
        """Have the partition handler hand over what is claimed."""
        self._stirred_at = self._clock.monotonic()
        held = [partition for partition in partitions if partition in self.claims]
        if held:
            self._partition_handler.hand_over(held)
        self._assigned -= set(partitions)
        for partition in held:
            self.claims.pop(partition, None)

    def on_lost(self, partitions: Collection[int]) -> None:
        """Drop all work and take a new transactional id: the old one may be fenced at any time."""
        logger.warning("lost %s of %s: another node took over", sorted(partitions), self._topic)
        self._stirred_at = self._clock.monotonic()
        self.joined = False
        self._assigned -= set(partitions)
        self._drop(partitions)
        self._transactions.renew()

    # --- the claim --------------------------------------------------------------------------------------------------

    def _claim(self, wanted: Sequence[int]) -> None:
        claims = self._claimant.claim([TopicPartition(self._topic, partition) for partition in wanted])
        self.claims |= {claim.partition: claim for claim in claims}
        try:
            if claims:
                self._partition_handler.claimed(claims)
                metrics.CLAIMS.add(len(claims))
        except LogError:  # it cannot begin: claimed anew
            for claim in claims:
                del self.claims[claim.partition]
            raise

    # --- outcomes ---------------------------------------------------------------------------------------------------

    def _witness(self, commits: Mapping[int, CommitMetadata], unknown: OutcomeUnknown) -> Mapping[int, int]:
        """Find out from the stable commit whether our last transaction landed.

        What another node claimed meanwhile is lost. Any other partition of the transaction tells of the whole.
        """
        self._transactions.abandon()
        begun = self._clock.monotonic()
        places = [TopicPartition(self._topic, partition) for partition in commits]
        while True:
            try:
                self._partition_handler.waiting()
                self._transactions.fence_abandoned()
                self._partition_handler.waiting()
                found = self._transactions.read_commits(places, stable=True)
                break
            except LogUnreachable as error:
                if self._clock.monotonic() - begun >= self._outage:
                    # Nothing is known of this work any more: claim it anew, from what the log says then.
                    self._drop(list(commits))
                    raise TransactionAborted(f"cannot find out whether the transaction landed: {error}") from unknown
                logger.warning("the log does not answer: running work continues, results wait: %s", error)
                self._pause(PATIENCE_S)
        landed = {place.partition: commit for place, (_, commit) in found.items()}
        is_own = self._transactions.is_own
        foreign = {
            partition
            for partition, commit in commits.items()
            if landed[partition].epoch > commit.epoch or not is_own(landed[partition].transactional_id)
        }
        if foreign:
            self._assigned -= foreign
            self._drop(foreign)
        kept = commits.keys() - foreign
        if all(landed[partition].counter == commits[partition].counter for partition in kept) and (kept or not commits):
            return unknown.offsets
        lost = f"; {self._topic} {sorted(foreign)} were claimed by another node" if foreign else ""
        raise TransactionAborted(f"the transaction was not committed{lost}") from unknown

    def _drop(self, partitions: Collection[int]) -> None:
        held = [partition for partition in partitions if self.claims.pop(partition, None)]
        if held:
            self._partition_handler.dropped(held)
