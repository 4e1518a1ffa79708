"""Identity: task ids (UUIDv7, RFC 9562), event ids, the partition of a key, fencing tokens."""

from __future__ import annotations

import os
import re
import uuid
from itertools import count
from typing import Final

MASK: Final = 0xFFFFFFFF
_TASK_ID: Final = re.compile(r"[^\x00-\x20\x7f]{1,200}")
TASK_ID_LIMIT: Final = 200
_KNOWN_LIMIT: Final = 4096
_known: Final[set[str]] = set()
"""Task ids that were looked at already: each event has one, and a set is asked without a call."""
NAME_LIMIT: Final = 1_000
"""Characters of a handler's name and of a trace's parent, which many records repeat."""
SCHEDULE_ID_LIMIT: Final = 160
"""Characters of a schedule's id: the ids of its tasks add the time."""


def uuid7(now_ms: int) -> str:
    """Make a new UUIDv7: 48 bits of time in milliseconds, then randomness, so that ids sort by their birth."""
    value = (now_ms & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | int.from_bytes(os.urandom(10)) & ((1 << 76) - 1)
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


CAUSES: Final = 1
"""The level of nodes that can read the cause and the output of a failure."""
WRITER_LEVEL: Final = CAUSES
"""What this version can read beyond the first one: its event ids say so, to those who answer its events."""


class EventIds:
    """Event ids of one process: 8 random bytes, chosen once, its level, and a counter. Unique across processes."""

    __slots__ = ("_counter", "_prefix")

    def __init__(self, prefix: bytes | None = None) -> None:
        self._prefix = os.urandom(8) if prefix is None else prefix
        self._counter = count(WRITER_LEVEL << 56)

    def __call__(self) -> bytes:
        """Make the next id."""
        return self._prefix + next(self._counter).to_bytes(8)


def event_id_of(key: bytes, content: bytes) -> bytes:
    """Make the event id of what is asked for under a key of 8 bytes; ``content`` is a digest of that."""
    return key + bytes([WRITER_LEVEL]) + content[:7]


def writer_level(event_id: bytes) -> int:
    """Return the level of the node that made an event id: 0 for the first version, which counted from 0."""
    return event_id[8] if len(event_id) == 16 else 0


def murmur2(data: bytes) -> int:
    """Hash as Kafka's Java client does (32 bits, seed 0x9747b28c), so that any client finds a key's partition."""
    length = len(data)
    m = 0x5BD1E995
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & MASK
        k = (k ^ k >> 24) * m & MASK
        h = (h * m & MASK) ^ k
    tail = data[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & MASK
    h = (h ^ h >> 13) * m & MASK
    return h ^ h >> 15


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a keyed topic that holds ``key``, as Kafka's default partitioner would."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def is_task_id(text: str) -> bool:
    """Return whether a text can be a task id: 1 to 200 characters, neither blank nor control."""
    if text in _known:
        return True
    if len(text) > TASK_ID_LIMIT or _TASK_ID.fullmatch(text) is None:
        return False
    if len(_known) >= _KNOWN_LIMIT:
        _known.clear()
    _known.add(text)
    return True


def is_schedule_id(text: str) -> bool:
    """Return whether a text can be a schedule's id: its tasks' ids must be ids too."""
    return is_task_id(text) and len(text) <= SCHEDULE_ID_LIMIT


def fencing_token(ordinal: int, epoch: int) -> int:
    """Join ordinal and ownership epoch into one integer that grows over the whole life of a child."""
    return ordinal << 32 | epoch
