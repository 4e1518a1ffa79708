"""A process as the suite sees it: a connection, a member, a writer, and what the listener was told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import Append, Committed, Record, TopicPartition
from tests.support.log_harness import Harness, until


class Node:
    """One member with a writer of its own."""

    def __init__(self, harness: Harness, group: str, topic: str) -> None:
        self.harness = harness
        self.group = group
        self.topic = topic
        self.log = harness.connect()
        self.member = self.log.member(group, topic, self)
        self.writer = self.log.writer(harness.name("writer"))
        self.partitions: set[int] = set()
        self.told: list[tuple[str, frozenset[int]]] = []
        self.when_revoked: Callable[[frozenset[int]], None] = lambda partitions: None

    def on_assigned(self, partitions: Collection[int]) -> None:
        assert self.partitions.isdisjoint(partitions)
        self.partitions.update(partitions)
        self.told.append(("assigned", frozenset(partitions)))

    def on_revoked(self, partitions: Collection[int]) -> None:
        assert self.partitions.issuperset(partitions)
        self.when_revoked(frozenset(partitions))
        self.partitions.difference_update(partitions)
        self.told.append(("revoked", frozenset(partitions)))

    def on_lost(self, partitions: Collection[int]) -> None:
        self.partitions.difference_update(partitions)
        self.told.append(("lost", frozenset(partitions)))

    def serve(self) -> None:
        self.member.poll(0.0)

    def place(self, partition: int) -> TopicPartition:
        return TopicPartition(self.topic, partition)

    def write(self, partition: int, *values: bytes, position: int = 0, metadata: str = "") -> Mapping[int, int]:
        """Commit records to one partition, with a position of the same one."""
        return self.writer.commit(
            [Append(self.topic, partition, None, value, (), True) for value in values],
            {self.place(partition): Committed(position, metadata)},
            self.member,
        )

    def settle(self, count: int) -> None:
        """Serve until this node has so many partitions."""

        def settled() -> bool:
            self.serve()
            return len(self.partitions) == count

        until(self.harness, settled, what=f"{count} partitions, instead of {self.partitions}")


def read(harness: Harness, log: LogAdapter, positions: Mapping[TopicPartition, int], count: int) -> list[Record]:
    """Read exactly ``count`` records, and see that no other follows at once."""
    reader = log.reader()
    reader.assign(positions)
    records: list[Record] = []

    def enough() -> bool:
        records.extend(reader.poll(1000, 0.05))
        return len(records) >= count

    until(harness, enough, what=f"{count} records")
    records.extend(reader.poll(1000, 0.05))
    reader.close()
    assert len(records) == count
    return records


def values(records: Sequence[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def stable(log: LogAdapter, group: str, place: TopicPartition) -> Committed:
    """Read one position that must exist."""
    committed = log.committed(group, [place], stable=True)[place]
    assert committed is not None
    return committed
