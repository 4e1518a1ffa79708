"""The claim of partitions: it makes sure that nothing of a predecessor lands after its successor began.

1. read the last commit without waiting, only to see whom to fence, unless the partition was released;
2. fence a predecessor that neither releases nor makes progress: its open transaction is aborted at once. One that an
   eviction has fenced is not waited for;
3. read the *stable* commit: position, settled ranges, epoch, counter;
4. commit a transaction with nothing but the claim: epoch + 1. Whatever the predecessor still sends comes too late;
5. capture the end. Only now run, or decide.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from streamsched.log.port import (
    Append,
    Committed,
    Log,
    LogUnreachable,
    Member,
    NotAllowed,
    PositionLost,
    TopicPartition,
)
from streamsched.runtime.beginning import Beginning
from streamsched.runtime.commit_metadata import INITIAL, CommitMetadata
from streamsched.runtime.transactions import Forgotten, Transactions

PATIENCE_S: Final = 0.3
"""Seconds that a predecessor has to release or to make progress before it is fenced."""
STABLE_READ_S: Final = 1.0
"""Seconds to wait for another's open transaction; then the next poll tries again. A silent node is evicted by then."""
ROUNDS: Final = 10
"""How often progress buys it another wait."""

logger = logging.getLogger(__name__)


class Claim(Struct, frozen=True):
    """One owned partition: our epoch, counter and position of our last transaction, and what we inherited.

    ``released``: the predecessor handed over in order, or was this process, so its work did not kill it;
    ``end`` was captured after the claim.
    """

    partition: int
    epoch: int
    counter: int
    position: int
    settled_ranges: str
    released: bool
    end: int


@dataclass(kw_only=True, slots=True)
class Claimant:
    """Claims partitions for one member of a group.

    ``waiting`` shows a sign of life; ``fenced`` tells which writers the latest evictions have fenced; ``begin_anew``
    says where partitions begin whose position the group has forgotten: without it they stand still.
    """

    log: Log
    transactions: Transactions
    member: Member
    waiting: Callable[[], None]
    pause: Callable[[float], None]
    begin_anew: Callable[[Collection[TopicPartition]], Beginning] | None
    fenced: Callable[[], Collection[str]]
    set_apart: set[int] = field(default_factory=set)
    """Assigned partitions whose committed position is lost: they stand still until they are assigned anew."""

    def claim(self, places: Sequence[TopicPartition]) -> Sequence[Claim]:
        """Claim what can be claimed of these partitions, in one transaction."""
        for predecessor in self._unreleased(places):
            logger.info("fencing %s, which did not release its partitions", predecessor)
            self.waiting()
            self.transactions.fence(predecessor)
        lost: dict[TopicPartition, PositionLost] = {}
        stable = self.transactions.read_commits(places, stable=True, timeout=STABLE_READ_S, on_lost=lost.setdefault)
        facts = self._forgotten(lost, stable)
        if lost:
            self._stand_still(lost)
        if not stable:
            return ()
        own = self.transactions.id
        commits = {
            place: CommitMetadata(
                own, old.epoch + 1, old.counter + 1, released=False, settled_ranges=old.settled_ranges
            )
            for place, (_, old) in stable.items()
        }
        positions = {place: Committed(stable[place][0], commit.encode()) for place, commit in commits.items()}
        self.transactions.commit(facts, positions, self.member)
        ends = self.log.end(list(stable))
        return [
            Claim(place.partition, commit.epoch, commit.counter, position, before.settled_ranges, released, ends[place])
            for place, (position, before) in stable.items()
            for commit in (commits[place],)
            for released in (before.released or self.transactions.is_own(before.transactional_id),)
        ]

    def _forgotten(
        self, lost: dict[TopicPartition, PositionLost], stable: dict[TopicPartition, tuple[int, CommitMetadata]]
    ) -> Sequence[Append]:
        """Move what can begin anew from the lost partitions to the others; returns what to write with the claim."""
        forgotten = [place for place, why in lost.items() if isinstance(why, Forgotten)]
        if not forgotten or self.begin_anew is None:
            return ()
        try:
            positions, facts = self.begin_anew(forgotten)
        except NotAllowed as error:
            logger.error("%s", error)
            return ()
        numbers = [place.partition for place in forgotten]
        logger.warning(
            "group %s has forgotten its positions: %s %s begin anew",
            self.transactions.group,
            forgotten[0].topic,
            numbers,
        )
        for place in forgotten:
            del lost[place]
            stable[place] = (positions[place], INITIAL)
        return facts

    def _unreleased(self, places: Sequence[TopicPartition]) -> list[str]:
        """Find the predecessors to fence: those that hold on without progress, after a patient second look."""
        held = _held(self.transactions.read_commits(places, stable=False, on_lost=lambda place, lost: None))
        if not held:
            return []
        try:
            held = self._look_again(held)
            for _ in range(ROUNDS if held else 0):
                self.waiting()
                self.pause(PATIENCE_S)
                before, held = held, self._look_again(held)
                if held in ({}, before):
                    break
        except LogUnreachable:
            held = self._unfenced(held)  # an open transaction is in the way: fencing its owner is what ends it
        return sorted({commit.transactional_id for commit in held.values()} - {self.transactions.id})

    def _look_again(self, held: Mapping[TopicPartition, CommitMetadata]) -> dict[TopicPartition, CommitMetadata]:
        return self._unfenced(_held(self.transactions.read_commits(list(held), stable=True, timeout=PATIENCE_S)))

    def _unfenced(self, held: Mapping[TopicPartition, CommitMetadata]) -> dict[TopicPartition, CommitMetadata]:
        fenced = self.fenced() if held else ()
        return {place: commit for place, commit in held.items() if commit.transactional_id not in fenced}

    def _stand_still(self, lost: Mapping[TopicPartition, PositionLost]) -> None:
        """Halt the partitions whose position is lost: none may start at an arbitrary offset."""
        self.set_apart |= {place.partition for place in lost}
        why = next(iter(lost.values()))
        logger.error("%s; until then these stand still: %s %s", why, next(iter(lost)).topic, sorted(self.set_apart))


def _held(commits: Mapping[TopicPartition, tuple[int, CommitMetadata]]) -> dict[TopicPartition, CommitMetadata]:
    return {place: commit for place, (_, commit) in commits.items() if not commit.released}
