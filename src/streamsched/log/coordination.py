"""The port to the log's coordinators: groups and their positions, fenced writers, transactions that never end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from streamsched.log.port import Committed, Hanging, Listener, Member, TopicPartition


class Coordination(Protocol):
    """Who may work on which partitions, and up to where they have. How to fence is the adapter's business."""

    def member(self, group: str, topic: str, listener: Listener) -> Member:
        """Join a group, while it is polled."""

    def members(self, group: str) -> int:
        """Count the members of a group."""

    def committed(
        self, group: str, partitions: Collection[TopicPartition], *, stable: bool, timeout: float = 10.0
    ) -> Mapping[TopicPartition, Committed | None]:
        """Read the group's positions. ``stable`` waits for open transactions to end; without it they are ignored.

        Raises:
            LogUnreachable: a stable read was not answered in time.
        """

    def commit_initial(self, group: str, partitions: Collection[TopicPartition], metadata: str) -> None:
        """Commit position 0 with this metadata where the group has no commit yet. The group must have no members."""

    def fence(self, transactional_id: str) -> None:
        """Abort what the writer of this id has open and make its later calls fail with ``WriterFenced``."""

    def check_eviction(self) -> None:
        """Raise ``CannotEvict`` where ``evict`` cannot be used; else load what it needs, so that it is quick."""

    def evict(self, group: str, member_id: str, transactional_id: str = "") -> None:
        """Remove a dead member from its group, so that its partitions move at once, and fence its writer.

        Either may be empty. It is done when it returns: the writer has nothing open, and never will have.
        """

    def hanging(self, places: Mapping[TopicPartition, int]) -> Sequence[Hanging]:
        """Find out which of the transactions at these places will never end: the log has forgotten them."""

    def end_hanging(self, hanging: Hanging) -> bool:
        """End it in its partition, as it was decided; returns whether that was still to be done."""
