"""One process's connection to a cluster of the log core: the port's ``Log``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from streamsched.log.core.chunks import pack
from streamsched.log.core.cluster import Cluster
from streamsched.log.core.groups import GroupMember
from streamsched.log.core.reader import CoreReader
from streamsched.log.core.transactions import Batch
from streamsched.log.core.writer import CoreWriter
from streamsched.log.port import (
    Append,
    Committed,
    Hanging,
    Listener,
    LogError,
    LogTime,
    LogUnreachable,
    PositionLost,
    TopicFacts,
    TopicMismatch,
    TopicPartition,
    TopicSpec,
)
from streamsched.log.topics import RECORD_LIMIT


class Connection:
    """A ``Log`` over a cluster of this process."""

    def __init__(self, cluster: Cluster, client: str) -> None:
        self._cluster = cluster
        self._client = client

    @property
    def cluster_id(self) -> str:
        """Return which log this is."""
        return self._cluster.cluster_id

    def partitions(self, topic: str) -> int:
        """Count the topic's partitions."""
        return self._cluster.partition_count(topic)

    def facts(self, topic: str) -> TopicFacts:
        """Say how many partitions a topic has, and what it takes."""
        return TopicFacts(self._cluster.partition_count(topic), RECORD_LIMIT)

    def topic_id(self, topic: str) -> str:
        """Return which topic of this name it is: here none is ever deleted."""
        return f"{topic}-{self._cluster.partition(topic, 0).number}"

    def reader(self) -> CoreReader:
        """Make a reader."""
        return CoreReader(self._cluster, self._step)

    def member(self, group: str, topic: str, listener: Listener) -> GroupMember:
        """Make a member; it joins the group when it is polled."""
        self._writable("join a group")
        return GroupMember(self._cluster.group(group, topic), self._client, listener, self._step)

    def writer(self, transactional_id: str) -> CoreWriter:
        """Make the writer of this id, fencing its previous writer."""
        self._writable("write")
        self._step("writer.begin")
        writer = CoreWriter(self._cluster, self._step, transactional_id)
        self._step("writer.end")
        return writer

    def fence(self, transactional_id: str) -> None:
        """Abort what the writer of this id has open, and end it."""
        self._writable("fence a writer")
        self._step("fence.begin")
        self._cluster.coordinator.fence(transactional_id)
        self._step("fence.end")

    def post(self, append: Append) -> None:
        """Write one record; here it is no less durable than any other."""
        self._writable("write")
        self._step("post")
        self._cluster.append(Batch(self._cluster.partitions_by_place, [append]))

    def append(self, appends: Sequence[Append]) -> Sequence[int]:
        """Write records without a transaction."""
        self._writable("write")
        self._step("append.begin")
        batch = Batch(self._cluster.partitions_by_place, appends, track_all=True)
        offsets = self._cluster.append(batch)
        self._step("append.end")
        return [offsets[index] for index in range(len(appends))]

    def committed(
        self, group: str, partitions: Collection[TopicPartition], *, stable: bool, timeout: float = 10.0
    ) -> Mapping[TopicPartition, Committed | None]:
        """Read the group's positions; a stable read fails at once where an open transaction blocks it.

        Only this thread could end that transaction.
        """
        self._step("committed.stable" if stable else "committed.unstable")
        self._cluster.refresh()
        return self._cluster.committed(group, partitions, stable=stable)

    def members(self, group: str) -> int:
        """Count the members of a group."""
        return sum(len(known.members) for known in self._cluster.groups(group))

    def commit_initial(self, group: str, partitions: Collection[TopicPartition], metadata: str) -> None:
        """Commit position 0 where the group has no commit yet."""
        self._writable("commit positions")
        self._step("commit_initial.begin")
        members = [member for known in self._cluster.groups(group) for member in known.members]
        if members:
            raise LogError(f"group {group} has members ({', '.join(members)}); stop them first")
        known = self._cluster.committed(group, partitions, stable=False)
        self._cluster.store.write(
            [
                (self._cluster.place_key(group, place), pack((0, metadata)))
                for place in partitions
                if known[place] is None
            ]
        )
        self._step("commit_initial.end")

    def time(self) -> LogTime:
        """Return the time: the log's clock is this process's own, or a simulation's."""
        now = self._cluster.now()
        return LogTime(now, now)

    def start(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the first offsets that are still kept."""
        self._step("start")
        self._cluster.refresh()
        return {place: self._cluster.partition(*place).start for place in partitions}

    def end(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the high watermarks."""
        self._step("end")
        self._cluster.refresh()
        return {place: self._cluster.partition(*place).end for place in partitions}

    def stable_end(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the last stable offsets."""
        self._step("end")
        self._cluster.refresh()
        return {place: self._cluster.partition(*place).stable for place in partitions}

    def position_at(self, partitions: Collection[TopicPartition], time: int) -> Mapping[TopicPartition, int]:
        """Return the positions of the first records not older than ``time``."""
        self._step("position_at")
        self._cluster.refresh()
        return {place: self._cluster.partition(*place).position_at(time) for place in partitions}

    def delete_before(self, positions: Mapping[TopicPartition, int]) -> None:
        """Delete the records below these positions; a partition that begins there or later stays as it is."""
        self._writable("delete records")
        self._step("delete_before.begin")
        moved = []
        for place, position in positions.items():
            partition = self._cluster.partition(*place)
            if position > partition.end:
                raise PositionLost(f"cannot delete {partition} up to {position}: it ends at {partition.end}")
            if position > partition.start:
                moved.append((partition, position))
        ranges = [partition.drop_before(position) for partition, position in moved]
        self._cluster.store.write([partition.bounds() for partition, _ in moved], ranges)
        self._step("delete_before.end")

    def held(self, partitions: Collection[TopicPartition], groups: Collection[str]) -> Mapping[TopicPartition, int]:
        """Return where open transactions hold back readers."""
        found = (self._cluster.partition(*place) for place in partitions)
        return {TopicPartition(each.name, each.index): each.stable for each in found if each.stable < each.end}

    def hanging(self, places: Mapping[TopicPartition, int]) -> Sequence[Hanging]:
        """Return none: here every transaction ends."""
        return ()

    def end_hanging(self, hanging: Hanging) -> bool:
        """Return False: here every transaction ends."""
        return False

    def check_broker(self) -> None:
        """Pass: the log is of this version."""

    def brokers(self) -> int:
        """Return 1: this process."""
        return 1

    def replication(self, topic: str) -> int:
        """Return 1: there are no copies."""
        return 1

    def check_eviction(self) -> None:
        """Pass: members can be evicted here."""

    def evict(self, group: str, member_id: str, transactional_id: str = "") -> None:
        """Remove a member from its group and fence its writer; one that is not there any more is not an error."""
        self._writable("evict a member")
        self._step("evict.begin")
        for known in self._cluster.groups(group):
            known.remove(member_id)
        self._step("evict.end")
        if transactional_id:
            self.fence(transactional_id)

    def create_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Create the topics that are missing; check the others first."""
        self._writable("create topics")
        self._step("create_topics.begin")
        missing = [spec for spec in specs if not self._cluster.has_topic(spec.name)]
        differences = self.check_topics([spec for spec in specs if spec not in missing])
        if differences:
            raise TopicMismatch("; ".join(differences))
        for spec in missing:
            self._cluster.create_topic(spec)
        self._step("create_topics.end")
        return [spec.name for spec in missing]

    def check_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Return every difference, in words."""
        self._cluster.refresh()
        return [words for spec in specs for words in self._cluster.differences(spec)]

    def close(self) -> None:
        """Close the connection; members that did not leave run into the session timeout."""
        self._step("close")

    def _step(self, name: str) -> None:
        """Inject faults, and expire overdue transactions, as a broker does by itself."""
        faults = self._cluster.faults
        if faults is not None:
            faults.at(name, self._client)
        self._cluster.expire()

    def _writable(self, purpose: str) -> None:
        if self._cluster.follows:
            raise LogUnreachable(f"cannot {purpose}: this log was opened for reading only")
