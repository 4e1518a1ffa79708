"""What the log core needs of a key-value store, and how it lays its data out there.

========================  ====================================================================
``f``                     version of this layout
``i``                     cluster id
``t`` topic               MessagePack: number, partitions, settings
``p`` number, partition   start and end offset
``g`` group NUL n, p      MessagePack: committed position and metadata
``r`` n, p, offset        a chunk: the records of one transaction in one partition (``chunks``)
========================  ====================================================================

Numbers are big-endian, so that keys sort as the log does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, Protocol

FORMAT: Final = b"1"
FORMAT_KEY: Final = b"f"
CLUSTER_KEY: Final = b"i"
TOPICS: Final = b"t"
_PARTITION: Final = Struct(">cHI")
_CHUNK: Final = Struct(">cHIQ")
_PLACE: Final = Struct(">HI")
BOUNDS: Final = Struct(">QQ")


class Store(Protocol):
    """An ordered key-value store whose writes are atomic."""

    def get(self, key: bytes) -> bytes | None:
        """Read one value."""

    def scan(self, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with ``begin <= key < end``, in order."""

    def floor(self, begin: bytes, key: bytes) -> tuple[bytes, bytes] | None:
        """Find the last pair with ``begin <= its key <= key``."""

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Put these pairs and delete these ranges (begin, end): all of it, or nothing."""

    def refresh(self) -> None:
        """See what another process has written meanwhile; nothing to do where there is no other."""

    def close(self) -> None:
        """Release the store."""


def topic_key(topic: str) -> bytes:
    """Make the key of a topic's description."""
    return TOPICS + topic.encode()


def bounds_key(number: int, partition: int) -> bytes:
    """Make the key of a partition's start and end."""
    return _PARTITION.pack(b"p", number, partition)


def group_key(group: str, number: int, partition: int) -> bytes:
    """Make the key of a group's committed position."""
    return b"g" + group.encode() + b"\0" + _PLACE.pack(number, partition)


def chunk_key(number: int, partition: int, offset: int) -> bytes:
    """Make the key of the chunk that begins at this offset."""
    return _CHUNK.pack(b"r", number, partition, offset)


def chunk_offset(key: bytes) -> int:
    """Take the offset out of a chunk's key."""
    offset: int = _CHUNK.unpack(key)[3]
    return offset
