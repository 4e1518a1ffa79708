"""Transactional ids, their epochs, and the transactions that are open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from streamsched.log.core.chunks import CHUNK_BYTES, Chunk, Item, encode_chunk, pack
from streamsched.log.core.partitions import Partition
from streamsched.log.core.store import Store, chunk_key
from streamsched.log.port import Append, AppendRefused, LogError, RecordTooLarge, TopicMismatch, TopicPartition
from streamsched.log.topics import RECORD_LIMIT

Pair = tuple[bytes, bytes]


class Draft:
    """Records on their way to one partition, packed and cut into chunks."""

    __slots__ = ("base", "count", "items", "packed", "partition", "runs", "size")

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.base = 0
        self.count = 0
        self.size = 0
        self.items: list[Item] = []
        self.packed: list[bytes] = []
        self.runs: list[tuple[list[Item], list[bytes], int]] = []

    def cut(self) -> None:
        """End a chunk here."""
        if self.items:
            self.runs.append((self.items, self.packed, self.size))
            self.count += len(self.items)
            self.items, self.packed, self.size = [], [], 0

    def chunks(self, timestamp: int) -> Iterable[tuple[Chunk, Pair]]:
        """Make the chunks and their stored pairs, once ``base`` is known."""
        base = self.base
        for items, packed, size in self.runs:
            key = chunk_key(self.partition.number, self.partition.index, base)
            yield Chunk(base, timestamp, items, size), (key, encode_chunk(timestamp, packed))
            base += len(items)


class Batch:
    """Appends sorted to their partitions; every size is checked before anything is written."""

    __slots__ = ("drafts", "offsets")

    def __init__(
        self, partitions: Mapping[TopicPartition, Partition], appends: Sequence[Append], *, track_all: bool = False
    ) -> None:
        drafts: dict[tuple[str, int], Draft] = {}
        tracked: list[tuple[int, Draft, int]] = []
        for index, append in enumerate(appends):
            topic, number = append.topic, append.partition
            item = (append.key, append.value, append.headers)
            packed = pack(item)
            size = len(packed)
            if size > RECORD_LIMIT:
                raise _refused(
                    append,
                    index,
                    RecordTooLarge(
                        f"a record of {size} bytes for {topic}-{number} exceeds the limit of {RECORD_LIMIT}; "
                        "keep large data elsewhere and pass a reference to it"
                    ),
                )
            place = (topic, number)
            draft = drafts.get(place)
            if draft is None:
                draft = drafts[place] = Draft(_known(partitions, append, index))
            if append.track or track_all:
                tracked.append((index, draft, draft.count + len(draft.items)))
            draft.items.append(item)
            draft.packed.append(packed)
            draft.size += size
            if draft.size > CHUNK_BYTES:
                draft.cut()
        for draft in drafts.values():
            draft.cut()
        self.drafts: Final = list(drafts.values())
        self.offsets: Final = tracked

    def place(self) -> Mapping[int, int]:
        """Take the offsets; returns those that were asked for."""
        for draft in self.drafts:
            draft.base = draft.partition.reserve(draft.count)
        return {index: draft.base + at for index, draft, at in self.offsets}

    def pairs(self, timestamp: int) -> tuple[list[tuple[Partition, Chunk]], list[Pair]]:
        """Make all chunks, and the pairs to store: records and new ends."""
        chunks: list[tuple[Partition, Chunk]] = []
        pairs: list[Pair] = []
        for draft in self.drafts:
            for chunk, pair in draft.chunks(timestamp):
                chunks.append((draft.partition, chunk))
                pairs.append(pair)
            pairs.append(draft.partition.bounds())
        return chunks, pairs


class Transaction:
    """One transaction that is open: its records have their offsets, but no reader sees them."""

    __slots__ = ("batch", "begun", "places", "positions")

    def __init__(self, batch: Batch, now: int) -> None:
        self.batch = batch
        self.begun = now
        self.positions: list[Pair] = []
        self.places: set[bytes] = set()
        for draft in batch.drafts:
            draft.partition.open[self] = draft.base
            draft.partition.settle()

    def end(self) -> None:
        """Write the markers: one offset in each partition, whatever the outcome."""
        for draft in self.batch.drafts:
            partition = draft.partition
            partition.reserve(1)
            del partition.open[self]
            partition.settle()


class Coordinator:
    """Knows the epoch of every transactional id, and which transaction each has open."""

    def __init__(self, store: Store, timeout: int) -> None:
        self._store = store
        self._timeout = timeout
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}

    def fence(self, transactional_id: str) -> int:
        """Abort what the id has open; returns its new epoch."""
        self.abort(transactional_id)
        epoch = self._epochs.get(transactional_id, -1) + 1
        self._epochs[transactional_id] = epoch
        return epoch

    def current(self, transactional_id: str, epoch: int) -> bool:
        """Return whether a writer of this epoch has not been fenced."""
        return self._epochs.get(transactional_id) == epoch

    def expire(self, now: int) -> None:
        """Abort the transactions that were open for too long, and fence their writers."""
        if self._open:
            for name in [name for name, txn in self._open.items() if now - txn.begun > self._timeout]:
                self.fence(name)

    def begin(self, transactional_id: str, transaction: Transaction) -> None:
        """Note an open transaction."""
        self._open[transactional_id] = transaction

    def abort(self, transactional_id: str) -> None:
        """End the transaction of this id, if it has one open; its offsets stay as gaps."""
        transaction = self._open.pop(transactional_id, None)
        if transaction is not None:
            transaction.end()
            self._store.write([draft.partition.bounds() for draft in transaction.batch.drafts])

    def finish(self, transactional_id: str) -> None:
        """Forget the transaction of this id: it was committed."""
        del self._open[transactional_id]

    def blocks(self, places: set[bytes]) -> bool:
        """Return whether an open transaction holds one of these places (keys of group positions)."""
        return any(not places.isdisjoint(txn.places) for txn in self._open.values())


def _known(partitions: Mapping[TopicPartition, Partition], append: Append, index: int) -> Partition:
    partition = partitions.get(TopicPartition(append.topic, append.partition))
    if partition is None:
        message = f"there is no partition {append.topic}-{append.partition}; run `streamsched topics create`"
        raise _refused(append, index, TopicMismatch(message))
    return partition


def _refused(append: Append, index: int, error: LogError) -> LogError:
    """Return what to raise of an append that is refused: which one it is, where it asks for that."""
    return AppendRefused(str(error), index, missing=isinstance(error, TopicMismatch)) if append.track else error
