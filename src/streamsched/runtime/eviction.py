"""Eviction: takes a dead node out of its group, so that its partitions move at once.

Its tombstone on the list of nodes names the writer that was fenced. So a successor need not wait for this writer.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from streamsched.log.codec import header
from streamsched.log.coordination import Coordination
from streamsched.log.port import Log, LogError, TopicPartition
from streamsched.log.scan import records as read
from streamsched.log.topics import Topics
from streamsched.runtime.records import Records

FENCED: Final = "fenced"
"""The header of a tombstone that names the writer which can write no more."""
LATEST: Final = 1_000
"""Offsets at the end of the list of nodes that are searched for it: two seconds of beats in the largest clusters."""
READ_S: Final = 1.0

logger = logging.getLogger(__name__)


def evict(
    log: Log, coordination: Coordination, records: Records, *, node: str, group: str, member: str, writer: str
) -> None:
    """Remove a member from its group, fence its writer (either may be empty), and take the node off the list."""
    coordination.evict(group, member, writer)
    tombstone = records.beat(None, node)
    log.post(replace(tombstone, headers=((FENCED, writer.encode()),)) if writer else tombstone)


def fenced(log: Log, topics: Topics) -> Collection[str]:
    """Return the writers that the latest evictions have fenced; none where the list of nodes cannot be read."""
    beats = TopicPartition(topics.workers, 0)
    try:
        end = log.end([beats])[beats]
        start = max(log.start([beats])[beats], end - LATEST)
        tombstones = [r for r in read(log, {beats: start}, {beats: end}, give_up_s=READ_S) if r.value is None]
    except LogError as error:
        logger.info("cannot look whether a predecessor is fenced: %s", error)
        return ()
    return {writer for record in tombstones if (writer := header(record.headers, FENCED))}
