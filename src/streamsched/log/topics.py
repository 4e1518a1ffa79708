"""The six topics: names, partitions, settings (design section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamsched.domain.ids import partition_of
from streamsched.log.port import Log, TopicPartition, TopicSpec

RECORD_LIMIT: Final = 2 * 1024 * 1024
PAYLOAD_LIMIT: Final = 256 * 1024
EVENT_PARTITIONS: Final = 16
CHILD_PARTITIONS: Final = 64
_COMMON: Final = {
    "max.message.bytes": str(RECORD_LIMIT),
    "message.timestamp.type": "CreateTime",
    # The broker unpacks what it is given and holds it against the limit above, so that no reader has to unpack
    # gigabytes out of a few kilobytes. Our own clients pack nothing.
    "compression.type": "uncompressed",
}
_FOREVER: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_OUTPUT: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(3 * 86_400_000),
    "retention.bytes": str(64 * 1024 * 1024),  # of each partition
    "segment.bytes": str(8 * 1024 * 1024),  # whole ones are deleted
    "message.timestamp.type": "LogAppendTime",  # it is read from a time on
}


@dataclass(frozen=True, slots=True)
class Topics:
    """Names and sizes of the topics of one installation."""

    prefix: str = "streamsched"
    event_partitions: int = EVENT_PARTITIONS
    child_partitions: int = CHILD_PARTITIONS

    @property
    def events(self) -> str:
        """The journal."""
        return f"{self.prefix}.events"

    @property
    def children(self) -> str:
        """The work log."""
        return f"{self.prefix}.children"

    @property
    def templates(self) -> str:
        """Template versions."""
        return f"{self.prefix}.templates"

    @property
    def workers(self) -> str:
        """Beats of the nodes."""
        return f"{self.prefix}.workers"

    @property
    def dead_letters(self) -> str:
        """Records that could not be handled."""
        return f"{self.prefix}.dead-letters"

    @property
    def output(self) -> str:
        """What handlers print. No node needs it: older installations have none."""
        return f"{self.prefix}.output"

    @property
    def scheduler_group(self) -> str:
        """The consumer group of the schedulers, on the journal."""
        return f"{self.prefix}.schedulers"

    @property
    def worker_group(self) -> str:
        """The consumer group of the workers, on the work log."""
        return f"{self.prefix}.workers"

    def journal_id(self, log: Log) -> str:
        """Return which journal this is: views of one never serve another, of the same cluster and name either."""
        return f"{log.cluster_id} {log.topic_id(self.events)}"

    def journal_of(self, task_id: str) -> TopicPartition:
        """Find the journal partition that holds all events of this task."""
        return TopicPartition(self.events, partition_of(task_id, self.event_partitions))

    def journal(self) -> list[TopicPartition]:
        """Name all partitions of the journal."""
        return [TopicPartition(self.events, p) for p in range(self.event_partitions)]

    def work_log(self) -> list[TopicPartition]:
        """Name all partitions of the work log."""
        return [TopicPartition(self.children, p) for p in range(self.child_partitions)]

    def groups(self) -> dict[str, list[TopicPartition]]:
        """Name all partitions of each group."""
        return {self.scheduler_group: self.journal(), self.worker_group: self.work_log()}

    def specs(self) -> list[TopicSpec]:
        """Return the settings that every topic must have."""
        compact = {**_COMMON, "cleanup.policy": "compact"}
        return [
            TopicSpec(self.events, self.event_partitions, {**_COMMON, **_FOREVER}),
            TopicSpec(self.children, self.child_partitions, {**_COMMON, **_FOREVER, "segment.bytes": "67108864"}),
            TopicSpec(self.templates, 1, compact),
            # Nodes learn from their own beats what time it is by the broker's clock.
            TopicSpec(self.workers, 1, {**compact, "segment.ms": "600000", "message.timestamp.type": "LogAppendTime"}),
            TopicSpec(self.dead_letters, 1, {**_COMMON, "cleanup.policy": "delete", "retention.ms": "2419200000"}),
            TopicSpec(self.output, self.event_partitions, {**_COMMON, **_OUTPUT}),
        ]
