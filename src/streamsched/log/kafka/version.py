"""Which brokers will do: asked for by the versions of the requests that they know, which only kafka-python tells."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from importlib import import_module
from typing import Any, Final

from streamsched.log.kafka import eviction
from streamsched.log.port import CannotEvict, LogError, LogUnreachable

OLDEST: Final = (3, 7)
"""The oldest version of Kafka that streamsched is tested with."""
NEW_GROUPS: Final = (4, 0)
"""From which version on brokers know ``group.protocol=consumer``: a member waits for an older one without a word."""


def check(brokers: str, kafka: Mapping[str, Any]) -> None:
    """Raise ``LogError`` for a broker too old, as such or for this protocol; skip where kafka-python cannot ask."""
    try:
        eviction.check(kafka)
    except CannotEvict:
        return
    try:
        with closing(eviction.connect(brokers, kafka)) as client:
            version: tuple[int, ...] = client._manager.broker_version  # noqa: SLF001  # the package tells it nowhere else
    except import_module("kafka.errors").KafkaError as failure:
        raise LogUnreachable(f"cannot ask Kafka at {brokers} for its version: {failure}") from None
    refuse(brokers, version, str(kafka.get("group.protocol", "classic")))


def refuse(brokers: str, version: tuple[int, ...], protocol: str) -> None:
    """Raise ``LogError`` where this version is too old."""
    is_ = f"Kafka at {brokers} is of version {'.'.join(map(str, version))}"
    if version < OLDEST:
        raise LogError(f"{is_}, and streamsched needs {'.'.join(map(str, OLDEST))} or later: upgrade the brokers")
    if protocol.lower() == "consumer" and version < NEW_GROUPS:
        raise LogError(
            f"{is_}, which has no group.protocol=consumer; that begins with {'.'.join(map(str, NEW_GROUPS))}: "
            "leave it out of the [kafka] table, or upgrade the brokers"
        )
