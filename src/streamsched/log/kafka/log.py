"""The ports to the log, implemented by an Apache Kafka cluster. What the calls raise stands with the ports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from streamsched.log.kafka.admin import Admin
from streamsched.log.kafka.appender import Appender
from streamsched.log.kafka.config import ClientSettings
from streamsched.log.kafka.positions import Positions
from streamsched.log.kafka.reader import KafkaReader
from streamsched.log.kafka.watchdog import Watchdog
from streamsched.log.port import Hanging, Listener, LogError, TopicFacts, TopicPartition, TopicSpec
from streamsched.log.secrets import KafkaSettings

# What only nodes and some commands use is imported by its method: every command opens a log.
if TYPE_CHECKING:
    from streamsched.log.kafka.member import GroupMember
    from streamsched.log.kafka.writer import KafkaWriter

_FLUSH_S: Final = 1.0
"""Seconds that what was posted last, such as that a node has left, has to arrive."""


class KafkaLog:
    """One cluster.

    Args:
        brokers: addresses, ``host:port`` with commas between.
        kafka: settings for every client, under librdkafka's names.
        watchdog: seconds after which a call that hangs in the client ends the process.
        reach: seconds to wait for the first answer.

    Raises:
        LogUnreachable: no broker answers.
    """

    def __init__(
        self, brokers: str, kafka: Mapping[str, Any] | None = None, *, watchdog: float = 60.0, reach: float = 5.0
    ) -> None:
        self._settings = ClientSettings(brokers, KafkaSettings(kafka or {}))
        self._admin = Admin(self._settings)
        self.cluster_id: Final = self._admin.cluster_id(reach)
        self._positions = Positions(self._settings, self._admin)
        self._appender = Appender(self._settings)
        self._watchdog = Watchdog(watchdog)
        # What one part does alone is that part's own method.
        admin, positions, appender = self._admin, self._positions, self._appender
        self.brokers, self.delete_before = admin.brokers, admin.delete_before
        self.start, self.end, self.stable_end = admin.start, admin.end, admin.stable_end
        self.position_at = admin.position_at
        self.members, self.committed = positions.members, positions.committed
        self.commit_initial = positions.commit_initial
        self.append, self.post, self.time = appender.append, appender.post, appender.time

    def check_broker(self) -> None:
        """Refuse a broker that is too old for these settings."""
        from streamsched.log.kafka import version

        version.check(self._settings.brokers, self._settings.kafka)

    def replication(self, topic: str) -> int:
        """Count the copies of the topic's partitions, the fewest where they differ. Raises ``TopicMismatch``."""
        return min(len(partition.replicas) for partition in self._admin.topic(topic).partitions)

    def partitions(self, topic: str) -> int:
        """Count the topic's partitions. Raises ``TopicMismatch`` where there is no such topic."""
        return len(self._admin.topic(topic).partitions)

    def facts(self, topic: str) -> TopicFacts:
        """Say how many partitions a topic has, and what it takes. Raises ``TopicMismatch`` where there is none."""
        from streamsched.log.kafka import topics

        return topics.facts(self._admin, topic)

    def topic_id(self, topic: str) -> str:
        """Return the id of the topic of this name. Raises ``TopicMismatch`` for an unknown topic."""
        return str(self._admin.topic(topic).topic_id)

    def reader(self) -> KafkaReader:
        """Make a reader."""
        return KafkaReader(self._settings)

    def member(self, group: str, topic: str, listener: Listener) -> GroupMember:
        """Make a member of the group; it joins while it is polled."""
        from streamsched.log.kafka.member import GroupMember

        return GroupMember(self._settings, group, topic, listener, self._watchdog)

    def writer(self, transactional_id: str) -> KafkaWriter:
        """Make the writer of this id, aborting what an earlier one of the same id left open."""
        from streamsched.log.kafka.writer import KafkaWriter

        return KafkaWriter(self._settings, transactional_id)

    def fence(self, transactional_id: str) -> None:
        """Abort what the writer of this id has open and make its later calls fail."""
        self.writer(transactional_id).close()

    def check_eviction(self) -> None:
        """Load the package that evicts members; raises ``CannotEvict`` where that is impossible."""
        from streamsched.log.kafka import eviction

        eviction.check(self._settings.kafka)

    def evict(self, group: str, member_id: str, transactional_id: str = "") -> None:
        """Remove a dead member from its group, so that its partitions move at once, and fence its writer."""
        from streamsched.log.kafka import eviction

        brokers, kafka = self._settings.brokers, self._settings.kafka
        if member_id:
            eviction.evict(brokers, kafka, group, member_id)
        if transactional_id:
            try:
                eviction.fence(brokers, kafka, transactional_id)
            except LogError:
                self.fence(transactional_id)  # slower, but with all settings of the other clients

    def held(self, partitions: Collection[TopicPartition], groups: Collection[str]) -> Mapping[TopicPartition, int]:
        """Return where open transactions hold back readers of these partitions, and of the groups' positions."""
        from streamsched.log.kafka import hanging

        return hanging.held(self._admin, partitions, groups)

    def hanging(self, places: Mapping[TopicPartition, int]) -> Sequence[Hanging]:
        """Find out which of the transactions at these places will never end."""
        from streamsched.log.kafka import hanging

        return hanging.find(self._admin, self._settings, places)

    def end_hanging(self, hanging_: Hanging) -> bool:
        """End it in its partition, as it was decided; returns whether that was still to be done."""
        from streamsched.log.kafka import hanging

        return hanging.end(self._settings, hanging_)

    def create_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Create the topics that are missing and return their names; existing ones are checked."""
        from streamsched.log.kafka import topics

        return topics.create(self._admin, specs)

    def check_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Return every difference between the topics and what they must be; empty when all is well."""
        from streamsched.log.kafka import topics

        return topics.check(self._admin, specs)

    def close(self) -> None:
        """Release the clients of the log itself; readers, members and writers are closed by their users."""
        self._appender.flush(_FLUSH_S)
        self._positions.close()
        self._appender.close()
        self._watchdog.close()
