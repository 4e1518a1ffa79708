"""The log core's shared state: topics, partitions, positions, groups and transactions over one store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from streamsched.log.core import store as layout
from streamsched.log.core.chunks import pack
from streamsched.log.core.groups import Group
from streamsched.log.core.partitions import Partition, Tail
from streamsched.log.core.store import Store
from streamsched.log.core.transactions import Batch, Coordinator, Pair, Transaction
from streamsched.log.port import Committed, LogUnreachable, TopicMismatch, TopicPartition, TopicSpec

SESSION_TIMEOUT_MS: Final = 10_000
TRANSACTION_TIMEOUT_MS: Final = 10_000
TAIL_BYTES: Final = 8 * 1024 * 1024
_topic = msgspec.msgpack.Decoder(tuple[int, int, dict[str, str]])
_committed = msgspec.msgpack.Decoder(tuple[int, str])


class Faults(Protocol):
    """A simulation's hook into every step of every call."""

    def at(self, step: str, client: str) -> None:
        """Run when ``client`` reaches ``step``; what this raises is raised there."""


class Cluster:
    """One log, to which any number of clients connect.

    Args:
        store: where everything that lasts is kept.
        clock: tells the time in milliseconds.
        faults: hook for simulations.
        follows: another process writes this store; this one only reads.
        session_timeout: milliseconds of silence after which a member is out of its group.
        transaction_timeout: milliseconds after which an open transaction is aborted and its writer fenced.
        tail_bytes: how much of the most recent records is kept in memory.

    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], int],
        faults: Faults | None = None,
        follows: bool = False,
        session_timeout: int = SESSION_TIMEOUT_MS,
        transaction_timeout: int = TRANSACTION_TIMEOUT_MS,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        self.store: Final = store
        self.now: Final = clock
        self.faults = faults
        self.follows: Final = follows
        self._session_timeout = session_timeout
        self.coordinator: Final = Coordinator(store, transaction_timeout)
        self.partitions_by_place: Final[dict[TopicPartition, Partition]] = {}
        self._topics: dict[str, tuple[int, int, dict[str, str]]] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._tail = Tail(tail_bytes)
        self._load_topics()

    @property
    def cluster_id(self) -> str:
        """Return which log this is."""
        return (self.store.get(layout.CLUSTER_KEY) or b"").decode()

    def refresh(self) -> None:
        """See what another process has written; nothing to do where this one is the writer."""
        if self.follows:
            self.store.refresh()
            self._load_topics()
            for partition in self.partitions_by_place.values():
                partition.load()

    def expire(self) -> None:
        """Abort the transactions whose time is over."""
        self.coordinator.expire(self.now())

    def partition(self, topic: str, index: int) -> Partition:
        """Find one partition."""
        partition = self.partitions_by_place.get(TopicPartition(topic, index))
        if partition is None:
            self.partition_count(topic)
            raise TopicMismatch(f"topic {topic} has no partition {index}, only {self._topics[topic][1]}")
        return partition

    def partition_count(self, topic: str) -> int:
        """Count a topic's partitions."""
        if topic not in self._topics:
            self.refresh()
        if topic not in self._topics:
            raise TopicMismatch(f"there is no topic {topic}; run `streamsched topics create`")
        return self._topics[topic][1]

    def create_topic(self, spec: TopicSpec) -> None:
        """Add one topic that is missing."""
        number = len(self._topics)
        self.store.write([(layout.topic_key(spec.name), pack((number, spec.partitions, dict(spec.config))))])
        self._load_topics()

    def differences(self, spec: TopicSpec) -> Iterator[str]:
        """Yield messages on how a topic differs from what it must be; settings mean nothing here."""
        if spec.name not in self._topics:
            yield f"topic {spec.name} is missing"
            return
        partitions = self._topics[spec.name][1]
        if partitions != spec.partitions:
            yield f"topic {spec.name} has {partitions} partitions, not {spec.partitions}"

    def has_topic(self, topic: str) -> bool:
        """Return whether a topic exists."""
        return topic in self._topics

    def group(self, name: str, topic: str) -> Group:
        """Return a group; create it if it does not exist."""
        count = self.partition_count(topic)
        group = self._groups.get((name, topic))
        if group is None:
            group = self._groups[name, topic] = Group(
                name, topic, partitions=count, clock=self.now, session_timeout=self._session_timeout
            )
        return group

    def groups(self, name: str) -> list[Group]:
        """Find the groups of this name, on whatever topic."""
        return [group for (group_name, _), group in self._groups.items() if group_name == name]

    def place_key(self, group: str, place: TopicPartition) -> bytes:
        """Make the key of a group's position."""
        return layout.group_key(group, self.partition(*place).number, place.partition)

    def committed(
        self, group: str, places: Collection[TopicPartition], *, stable: bool
    ) -> Mapping[TopicPartition, Committed | None]:
        """Read a group's positions."""
        keys = {place: self.place_key(group, place) for place in places}
        if stable and self.coordinator.blocks(set(keys.values())):
            raise LogUnreachable(
                f"the positions of group {group} are held by an open transaction; "
                "fence its writer, or wait for the transaction timeout"
            )
        found: dict[TopicPartition, Committed | None] = {}
        for place, key in keys.items():
            value = self.store.get(key)
            found[place] = None if value is None else Committed(*_committed.decode(value))
        return found

    def append(self, batch: Batch) -> Mapping[int, int]:
        """Write records without a transaction."""
        offsets = batch.place()
        for draft in batch.drafts:
            draft.partition.settle()
        self._publish(batch, self.now(), [])
        return offsets

    def finish(self, transactional_id: str, transaction: Transaction) -> None:
        """Commit: markers, records and positions become one write."""
        self.coordinator.finish(transactional_id)
        transaction.end()
        self._publish(transaction.batch, transaction.begun, transaction.positions)

    def _publish(self, batch: Batch, timestamp: int, positions: Sequence[Pair]) -> None:
        chunks, pairs = batch.pairs(timestamp)
        pairs += positions
        self.store.write(pairs)
        for partition, chunk in chunks:
            self._tail.remember(partition, chunk)

    def _load_topics(self) -> None:
        for key, value in self.store.scan(layout.TOPICS, layout.TOPICS + b"\xff"):
            name = key[len(layout.TOPICS) :].decode()
            if name not in self._topics:
                number, partitions, config = _topic.decode(value)
                self._topics[name] = (number, partitions, config)
                for index in range(partitions):
                    place = TopicPartition(name, index)
                    self.partitions_by_place[place] = Partition(self.store, name, number, index)
