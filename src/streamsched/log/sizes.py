"""The numbers of partitions that an installation was made with, kept where adding partitions does not change them.

A task's home is a hash of its id over the journal's partitions: with one more of them, its events would be written
elsewhere. The record is in the compacted topic of templates, under a key that is not a template's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from streamsched.log.port import Append, Log, TopicPartition
from streamsched.log.scan import records
from streamsched.log.topics import Topics

KEY: Final = b"streamsched.partitions"
_READ_S: Final = 10.0


class Sizes(msgspec.Struct, frozen=True):
    """Partitions of the journal and of the work log."""

    events: int
    children: int


def recorded(log: Log, topics: Topics) -> Sizes | None:
    """Read what was recorded last; None where nothing was.

    Raises:
        NotAllowed: the topic may not be read.
        LogUnreachable: it cannot be read to its end.
    """
    place = TopicPartition(topics.templates, 0)
    found = None
    for record in records(log, log.start([place]), log.end([place]), give_up_s=_READ_S):
        if record.key == KEY:
            with suppress(msgspec.MsgspecError):  # rubbish says nothing
                found = msgspec.json.decode(record.value, type=Sizes) if record.value else None
    return found


def record(log: Log, topics: Topics) -> None:
    """Record the sizes that the topics have now."""
    sizes = Sizes(topics.event_partitions, topics.child_partitions)
    log.append([Append(topics.templates, 0, KEY, msgspec.json.encode(sizes))])


def difference(topics: Topics, made_with: Sizes) -> str:
    """Return how the topics differ from what they were made with, and the remedy; empty where they do not."""
    if topics.event_partitions != made_with.events:
        return (
            f"topic {topics.events} has {topics.event_partitions} partitions and was made with {made_with.events}: "
            "tasks would no longer be found where they were written, and Kafka takes no partitions away. "
            "Nothing was lost so far: put back a topic of the old size with its records, or begin anew under another "
            "--prefix with 'streamsched topics create'"
        )
    if topics.child_partitions != made_with.children:
        return (
            f"topic {topics.children} has {topics.child_partitions} partitions and was made with {made_with.children}: "
            "stop all workers and schedulers, then take the new number into use: STREAMSCHED_CHILD_PARTITIONS="
            f"{topics.child_partitions} streamsched topics create"
        )
    return ""
