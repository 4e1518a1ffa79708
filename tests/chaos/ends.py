"""The ends of an installation's partitions, with and without open transactions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

LOOK_S: Final = 0.2
"""A live worker commits several times meanwhile."""


def stays_open(brokers: str, prefix: str) -> bool:
    """Tell whether a transaction stays open in topics whose names begin so: a stable end stands still below the end."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    places = [
        TopicPartition(name, partition)
        for name, topic in admin.list_topics(timeout=10).topics.items()
        if name.startswith(prefix)
        for partition in topic.partitions
    ]
    before = _ends(admin, places, IsolationLevel.READ_COMMITTED)
    time.sleep(LOOK_S)
    after = _ends(admin, places, IsolationLevel.READ_COMMITTED)
    last = _ends(admin, places, IsolationLevel.READ_UNCOMMITTED)
    return any(before[place] == after[place] < last[place] for place in places)


def _ends(admin: AdminClient, places: Sequence[TopicPartition], isolation: IsolationLevel) -> dict[TopicPartition, int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = admin.list_offsets(dict.fromkeys(places, latest), isolation_level=isolation)
    return {place: answer.result(10).offset for place, answer in asked.items()}
