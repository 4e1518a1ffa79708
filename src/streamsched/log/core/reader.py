"""Reading committed records from chosen partitions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from streamsched.log.core.chunks import Chunk, StoredRecord
from streamsched.log.core.cluster import Cluster
from streamsched.log.core.groups import Step
from streamsched.log.core.partitions import Partition
from streamsched.log.port import PositionLost, TopicPartition

_SLICE_S: Final = 0.02
POLL_BYTES: Final = 16 * 1024 * 1024
"""Bytes of records with which a poll ends, however few they are: those of pages are large."""


class _Cursor:
    """The place in one partition, and the chunk that it is in the middle of."""

    __slots__ = ("chunk", "partition", "position")

    def __init__(self, partition: Partition, position: int) -> None:
        self.partition = partition
        self.position = position
        self.chunk: Chunk | None = None

    def take(self, limit: int, room: int) -> tuple[list[StoredRecord], int]:
        """Read up to ``limit`` records, until they have ``room`` bytes; return them, and what is left of it.

        Where there are fewer, continue to the last stable offset.
        """
        partition, position, stable = self.partition, self.position, self.partition.stable
        records: list[StoredRecord] = []
        chunk, self.chunk = self.chunk, None
        if chunk is not None and position < chunk.next:
            taken = min(chunk.next, position + limit)
            records = chunk.records(partition.name, partition.index, position, taken)
            position = taken
            if taken < chunk.next:
                self.chunk = chunk
        if len(records) < limit:
            for chunk in partition.chunks(position):
                if chunk.base >= stable:
                    break
                begin = max(position, chunk.base)
                position = min(chunk.next, begin + limit - len(records))
                records += chunk.records(partition.name, partition.index, begin, position)
                room -= chunk.size
                if len(records) == limit or room <= 0:
                    self.chunk = chunk if position < chunk.next else None
                    self.position = position
                    return records, room
            position = stable
        self.position = position
        return records, room


class CoreReader:
    """Reads committed records; fair between its partitions, in order within each."""

    def __init__(self, cluster: Cluster, step: Step) -> None:
        self._cluster = cluster
        self._step = step
        self._cursors: dict[TopicPartition, _Cursor] = {}
        self._order: list[_Cursor] = []
        self._turn = 0

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions and no others."""
        cursors: dict[TopicPartition, _Cursor] = {}
        for place, position in positions.items():
            cursor = self._cursors.get(place)
            if cursor is None or cursor.position != position:
                cursor = _Cursor(self._cluster.partition(*place), position)
            cursors[place] = cursor
        self._cursors = cursors
        self._order = list(cursors.values())

    def poll(self, limit: int, timeout: float) -> Sequence[StoredRecord]:
        """Return up to ``limit`` records.

        Where this process is the only one that writes, nothing can arrive while it waits: the answer comes
        at once. A follower waits, and catches up with the writing process, in slices.
        """
        self._step("reader.poll")
        records = self._collect(limit)
        if records or not self._cluster.follows:
            return records
        deadline = time.monotonic() + timeout
        while True:
            self._cluster.refresh()
            records = self._collect(limit)
            rest = deadline - time.monotonic()
            if records or rest <= 0:
                return records
            time.sleep(min(_SLICE_S, rest))

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset to read."""
        return self._cursors[partition].position

    def close(self) -> None:
        """Release all partitions."""
        self.assign({})

    def _collect(self, limit: int) -> list[StoredRecord]:
        ready: list[_Cursor] = []
        for cursor in self._order:
            partition = cursor.partition
            if not partition.start <= cursor.position <= partition.end:
                self._check(cursor)
            if cursor.position < partition.stable:
                ready.append(cursor)
        if not ready:
            return []
        self._turn += 1
        turn = self._turn % len(ready)
        records: list[StoredRecord] = []
        room = POLL_BYTES
        for cursor in ready[turn:] + ready[:turn]:
            taken, room = cursor.take(limit - len(records), room)
            records += taken
            if len(records) >= limit or room <= 0:
                break
        return records

    def _check(self, cursor: _Cursor) -> None:
        """Raise where the place is gone, once a follower has caught up."""
        try:
            cursor.partition.check(cursor.position)
        except PositionLost:
            if not self._cluster.follows:
                raise
            self._cluster.refresh()
            cursor.partition.check(cursor.position)
