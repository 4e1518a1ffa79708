"""Topics of users: made, and written to line by line. On the embedded log no other process may have it meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from streamsched.domain.errors import InputError
from streamsched.domain.ids import murmur2
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.installation.writing import Tenure, open_to_work
from streamsched.log.port import Append, Headers, TopicSpec

BATCH: Final = 1_000
"""Records written at once."""


class Line(NamedTuple):
    """A record to write; ``partition`` None: that of the key, or without one by turns."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


@contextmanager
def opened(settings: Settings, name: str, command: str) -> Iterator[Installation]:
    """Open the log to write to a topic of the user's. Raise InputError for one of our own, LogTaken beside a run."""
    if name.startswith(f"{settings.prefix}."):
        raise InputError(f"topic {name!r} is of streamsched's own", "choose a name with another prefix", source="NAME")
    with ExitStack() as stack:
        if settings.brokers:
            site = Installation(settings)
        else:
            stack.callback(Tenure(settings, command).close)
            site = open_to_work(settings)
        stack.callback(site.close)
        yield site


def create(settings: Settings, name: str, partitions: int) -> bool:
    """Make a topic; return whether it is new. Raise TopicMismatch where it has other partitions."""
    with opened(settings, name, "topic create") as site:
        return bool(site.log.create_topics([TopicSpec(name, partitions, {})]))


def produce(settings: Settings, name: str, lines: Iterable[Line]) -> int:
    """Write records, in order within each partition; return their number. Raise TopicMismatch for an unknown topic."""
    written = 0
    with opened(settings, name, "topic produce") as site:
        partitions = site.log.partitions(name)
        batch: list[Append] = []
        for number, line in enumerate(lines):
            place = number if line.key is None else murmur2(line.key) & 0x7FFFFFFF
            partition = place % partitions if line.partition is None else line.partition
            batch.append(Append(name, partition, line.key, line.value, line.headers))
            if len(batch) == BATCH:
                written += len(site.log.append(batch))
                batch.clear()
        return written + (len(site.log.append(batch)) if batch else 0)
