"""What a topic of the user's holds, as committed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from streamsched.installation.settings import Settings
from streamsched.installation.writing import connect
from streamsched.log.port import Record, TopicPartition
from streamsched.log.scan import records


def consume(settings: Settings, name: str) -> Iterator[Record]:
    """Read what is there now, partition by partition or mixed; in order within each. Raise TopicMismatch, LogError."""
    with closing(connect(settings, create=False)) as site:
        places = [TopicPartition(name, number) for number in range(site.log.partitions(name))]
        yield from records(site.log, site.log.start(places), site.log.end(places))


def record_document(record: Record) -> dict[str, Any]:
    """Return a record as JSON says it: bytes that are no text as base64, under the name with ``_b64``."""
    document: dict[str, Any] = {"partition": record.partition, "offset": record.offset, "time": record.timestamp}
    document |= _named("key", record.key) | _named("value", record.value)
    headers = [{"name": name, **_named("value", value)} for name, value in record.headers]
    return document | ({"headers": headers} if headers else {})


def _named(name: str, data: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if data is None else data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_b64": b64encode(data or b"").decode()}
