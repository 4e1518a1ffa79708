"""The one commit of the log core, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from streamsched.log.core.chunks import pack
from streamsched.log.core.cluster import Cluster
from streamsched.log.core.groups import GroupMember, Step
from streamsched.log.core.store import group_key
from streamsched.log.core.transactions import Batch, Pair, Transaction
from streamsched.log.port import (
    Append,
    AppendRefused,
    Committed,
    Member,
    OutcomeUnknown,
    RecordTooLarge,
    TopicMismatch,
    TopicPartition,
    TransactionAborted,
    WriterFenced,
)

METADATA_LIMIT: Final = 4095  # measured: 4096 bytes sent by confluent-kafka 2.16 are refused by Kafka 4.3


class CoreWriter:
    """Writes transactions under one transactional id and one epoch of it."""

    def __init__(self, cluster: Cluster, step: Step, transactional_id: str) -> None:
        self._cluster = cluster
        self._step = step
        self._id = transactional_id
        self._epoch = cluster.coordinator.fence(transactional_id)
        self._spent = ""

    @property
    def transactional_id(self) -> str:
        """Return the id."""
        return self._id

    def commit(
        self, appends: Sequence[Append], positions: Mapping[TopicPartition, Committed], member: Member
    ) -> Mapping[int, int]:
        """Write all appends and positions in one transaction, as the port says.

        Whatever is raised inside, other than the port's plain refusals, leaves the transaction open, as the
        death of a Kafka client does: it blocks readers until its id is fenced or its time is over.
        """
        coordinator = self._cluster.coordinator
        offsets: Mapping[int, int] = {}
        try:
            self._step("commit.begin")
            self._check()
            batch = Batch(self._cluster.partitions_by_place, appends)
            offsets = batch.place()
            transaction = Transaction(batch, self._cluster.now())
            coordinator.begin(self._id, transaction)
            self._step("commit.appended")
            self._check()
            transaction.positions = self._positions(positions, member)
            transaction.places = {key for key, _ in transaction.positions}
            self._step("commit.offsets")
            self._step("commit.before_end")
            self._check()
        except (TransactionAborted, RecordTooLarge, TopicMismatch, AppendRefused):
            if coordinator.current(self._id, self._epoch):  # else what is open is a successor's
                coordinator.abort(self._id)
            raise
        except WriterFenced:
            self._give_up("was fenced")
            raise
        except BaseException as error:
            self._spent = "did not end its last transaction"
            _attach_offsets(error, offsets)
            raise
        self._cluster.finish(self._id, transaction)
        try:
            self._step("commit.after_end")
        except BaseException as error:
            _attach_offsets(error, offsets)
            self._spent = "did not hear the outcome of its last transaction"
            raise
        return offsets

    def close(self) -> None:
        """Take no more transactions; one that is open stays so until it is fenced or times out."""
        self._spent = self._spent or "was closed"

    def _check(self) -> None:
        if not self._cluster.coordinator.current(self._id, self._epoch):
            raise WriterFenced(
                f"the transactional id {self._id} was taken over, or its transaction timed out: "
                "drop all work of this writer and make one with a new id"
            )
        if self._spent:
            raise WriterFenced(f"the writer {self._id} {self._spent}: make one with a new id")

    def _give_up(self, why: str) -> None:
        if self._cluster.coordinator.current(self._id, self._epoch):
            self._cluster.coordinator.fence(self._id)
        self._spent = why

    def _positions(self, positions: Mapping[TopicPartition, Committed], member: Member) -> list[Pair]:
        if not positions:
            return []
        if not isinstance(member, GroupMember):
            raise TypeError(f"{type(member).__name__} is not a member of this log")
        group = member.group.name
        if not member.current:
            raise TransactionAborted(
                f"member {member.member_id or '(not joined)'} is not in group {group} (any more): "
                "poll it, then decide again"
            )
        pairs: list[Pair] = []
        for (topic, partition), (position, metadata) in positions.items():
            size = len(metadata.encode())
            if size > METADATA_LIMIT:
                raise TransactionAborted(
                    f"metadata of {size} bytes for {topic}-{partition} of group {group} exceeds "
                    f"{METADATA_LIMIT}: settle or renew the oldest work first"
                )
            number = self._cluster.partition(topic, partition).number
            pairs.append((group_key(group, number, partition), pack((position, metadata))))
        return pairs


def _attach_offsets(error: BaseException, offsets: Mapping[int, int]) -> None:
    """Attach the offsets that are valid if the unknown outcome turns out to be a commit."""
    if isinstance(error, OutcomeUnknown):
        error.offsets = offsets
