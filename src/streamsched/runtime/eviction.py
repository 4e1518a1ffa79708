"""Eviction: takes a dead node out of its group, so that its partitions move at once."""

from __future__ import annotations

from streamsched.log.coordination import Coordination
from streamsched.log.port import Log
from streamsched.runtime.records import Records


def evict(
    log: Log, coordination: Coordination, records: Records, *, node: str, group: str, member: str, writer: str
) -> None:
    """Remove a member from its group, fence its writer (either may be empty), and take the node off the list."""
    if member:
        coordination.evict(group, member)
    if writer:
        coordination.fence(writer)
    log.post(records.beat(None, node))
