"""The log as an executor has it: read, never written. Its imports are dear: an executor makes them when it needs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streamsched.worker.wire import Journal

if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter


def open_log(journal: Journal) -> LogAdapter:
    """Open the log that the pool named. Raise LogError."""
    if journal.brokers:
        from streamsched.log.kafka.log import KafkaLog

        return KafkaLog(journal.brokers, journal.kafka)
    from streamsched.log.embedded import EmbeddedLog

    return EmbeddedLog(Path(journal.folder), read_only=True)
