"""The ports to the log: what streamsched needs of Kafka, and what every adapter gives and is tested for.

``Log`` reads and writes; ``Coordination`` (``log/coordination.py``) knows groups and fences writers; ``TopicAdmin``
(``log/topic_admin.py``) makes, checks and trims topics. A *position* is always the next offset to read. All calls are
made from one thread. Times are milliseconds since the Unix epoch, time-outs are seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from streamsched.domain.errors import Unavailable

Headers = Sequence[tuple[str, bytes]]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(Protocol):
    """One record as it was read. ``headers`` may be computed when it is asked for."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def partition(self) -> int:
        """The partition's number."""

    @property
    def offset(self) -> int:
        """Where it stands in the partition."""

    @property
    def timestamp(self) -> int:
        """When it was written, in milliseconds."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its body; None is a tombstone."""

    @property
    def headers(self) -> Headers:
        """Its headers, in their order."""


class Append(Struct, frozen=True, array_like=True, gc=False):
    """One record to write, to an explicit partition. ``value`` None is a tombstone.

    ``track`` asks the writer to tell the offset that the record got.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    track: bool = False


class Committed(NamedTuple):
    """A group's committed position of one partition, with the metadata (at most 4095 bytes) written beside it."""

    position: int
    metadata: str


class LogTime(NamedTuple):
    """What the log's own clock shows now: not less than ``earliest``, not more than ``latest``."""

    earliest: int
    latest: int


class TopicSpec(NamedTuple):
    """What a topic must be: ``config`` holds Kafka's names and values.

    ``replication`` (-1: the broker's own) and ``min_insync`` (0: the broker's own) are for a topic that is made now.
    """

    name: str
    partitions: int
    config: Mapping[str, str]
    replication: int = -1
    min_insync: int = 0


class TopicFacts(NamedTuple):
    """What is known of a topic: its partitions, and the bytes of the largest record that it takes.

    128 bytes of these are for the record itself, and 12 for each header, whose name counts four bytes a character.
    """

    partitions: int
    limit_bytes: int


class Hanging(NamedTuple):
    """A transaction that was decided and never ended in one partition: readers stand still there, at ``position``.

    ``committed`` tells how it was decided; None when that is not known any more.
    """

    place: TopicPartition
    position: int
    transactional_id: str
    producer_id: int
    committed: bool | None

    def __str__(self) -> str:
        decided = {True: "committed", False: "aborted", None: "decided"}[self.committed]
        name = f"the transaction of {self.transactional_id or f'producer {self.producer_id}'}"
        return f"{self.place.topic}-{self.place.partition} at {self.position}: {name} was {decided}, and never ended"


class LogError(Unavailable):
    """Any failure of the log; its message names what was asked, why it failed, and the remedy."""


class LogUnreachable(LogError):
    """The broker (or the folder of the embedded log) cannot be reached or used."""


class LogTaken(LogUnreachable):
    """Another process has the embedded log, and it takes one that writes."""


class TransactionAborted(LogError):
    """Nothing of the transaction was written. Poll the member, then decide again: the group may have changed."""


class WriterFenced(LogError):
    """Another writer took this transactional id over, or the broker gave it up: discard the writer and its work."""


class OutcomeUnknown(LogError):
    """The transaction may or may not have been committed. Fence the id with another writer and ask the witness.

    ``offsets`` are those of the tracked appends, valid if it turns out that it was committed.
    """

    def __init__(self, message: str, offsets: Mapping[int, int] | None = None) -> None:
        super().__init__(message)
        self.offsets = offsets or {}


class RecordTooLarge(LogError):
    """A record exceeds what the topic takes; nothing was written."""


class AppendRefused(LogError):
    """The log refuses a tracked append of a transaction, the one with this ``index``; nothing was written.

    Index -1: it does not say which. ``missing``: its topic or a right is missing now. The writer is unusable.
    """

    def __init__(self, message: str, index: int, *, missing: bool = False) -> None:
        super().__init__(message)
        self.index = index
        self.missing = missing


class PositionLost(LogError):
    """A position to read from (or a group's commit) is gone. Never start anywhere else silently."""


class PartitionHalted(LogError):
    """A partition of the journal stands still at a record that this version cannot read."""


class NotAllowed(LogError):
    """A right is missing on the broker; the message says for what."""


class CannotEvict(LogError):
    """Dead members cannot be evicted from here, now or ever: the message names what is missing."""


class TopicMismatch(LogError):
    """A topic is missing, or its partitions or settings are not what they must be."""


class Listener(Protocol):
    """Told of changes of a member's partitions, from inside ``Member.poll`` or ``Member.leave``."""

    def on_assigned(self, partitions: Collection[int]) -> None:
        """Take note of new partitions. They are owned only once they have been claimed."""

    def on_revoked(self, partitions: Collection[int]) -> None:
        """Hand over: transactions with this member still count until this returns."""

    def on_lost(self, partitions: Collection[int]) -> None:
        """Drop all work on these partitions: another node may own them already."""


class Member(Protocol):
    """A member of a consumer group on one topic. It carries assignments only: records come through a ``Reader``."""

    @property
    def member_id(self) -> str:
        """The group's name for this member; empty while the group does not know it."""

    def poll(self, timeout: float = 0.0) -> None:
        """Serve the group, calling the listener. Must be called at least once a second."""

    def leave(self) -> None:
        """Revoke all partitions (the listener is called) and leave the group at once."""


class Reader(Protocol):
    """Reads committed records from chosen partitions; no group is involved."""

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions and no others.

        A partition that is being read already keeps its place and what was prefetched, unless its given position
        differs from ``position()``.
        """

    def poll(self, limit: int, timeout: float) -> Sequence[Record]:
        """Return up to ``limit`` records as soon as there is one, or none after ``timeout``.

        Order holds within each partition. Records of open and aborted transactions are never returned.

        Raises:
            PositionLost: a position is below what the log still has, or beyond its end.
        """

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset to read: past markers and gaps once the end was reached."""

    def close(self) -> None:
        """Release what the reader holds."""


class Writer(Protocol):
    """Writes transactions under one transactional id; making one fences the id's previous writer."""

    @property
    def transactional_id(self) -> str:
        """The id that another writer would fence."""

    def commit(
        self, appends: Sequence[Append], positions: Mapping[TopicPartition, Committed], member: Member
    ) -> Mapping[int, int]:
        """Write all appends and the member's group positions in one transaction, begun and ended here.

        Returns:
            The offset of each append that asked for it (``track``), by its index.

        Raises:
            TransactionAborted: nothing was written; the writer can be used again.
            WriterFenced: nothing was written and nothing ever will be by this writer.
            OutcomeUnknown: it may have been written; the writer is unusable.
            AppendRefused: a tracked append can never be written; nothing was, and the writer is unusable.
            RecordTooLarge: nothing was written.
        """

    def close(self) -> None:
        """Release what the writer holds; an open transaction is left to be fenced."""


class Log(Protocol):
    """Reads and writes one log: a Kafka cluster, a folder, or memory."""

    @property
    def cluster_id(self) -> str:
        """Which log this is: views of one never serve another."""

    def topic_id(self, topic: str) -> str:
        """Return which topic of this name it is: one that is deleted and created again is another."""

    def reader(self) -> Reader:
        """Make a reader of no partition."""

    def writer(self, transactional_id: str) -> Writer:
        """Make the writer of this id, aborting what an earlier one of the same id left open."""

    def append(self, appends: Sequence[Append]) -> Sequence[int]:
        """Write records without a transaction, durable on return; returns their offsets.

        A record may be written twice where an acknowledgement was lost: it must be void the second time.
        """

    def post(self, append: Append) -> None:
        """Write a record without waiting; it may be lost (beats)."""

    def time(self) -> LogTime | None:
        """Return the log's own time, as the last record that was posted told; None where none was written yet.

        Raises:
            TopicMismatch: the topic that is posted to keeps its writers' times.
        """

    def start(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the first offset that is still kept."""

    def end(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the high watermark: beyond every record written so far, committed or not."""

    def stable_end(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the last stable offset: every transaction below it has ended."""

    def position_at(self, partitions: Collection[TopicPartition], time: int) -> Mapping[TopicPartition, int]:
        """Return the position of the first record not older than ``time``, else the end."""

    def held(self, partitions: Collection[TopicPartition], groups: Collection[str]) -> Mapping[TopicPartition, int]:
        """Return where open transactions hold back readers of these partitions, and of the groups' positions."""

    def close(self) -> None:
        """Release what the log holds; readers, members and writers are closed by their users."""
