"""Records as they are kept: in chunks, each one run of consecutive offsets written at one time.

A chunk's value is its time, then one MessagePack array of (key, value, headers): one store access and one
decoder call serve up to thousands of records, and headers stay packed until they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple, cast

import msgspec

from streamsched.log.port import Headers

Item = tuple[bytes | None, bytes | None, Headers | msgspec.Raw]
CHUNK_BYTES: Final = 256 * 1024
_HEAD: Final = Struct(">QBI")
_ARRAY32: Final = 0xDD

pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[tuple[bytes | None, bytes | None, msgspec.Raw]]).decode
_unpack_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes]]).decode


class StoredRecord(NamedTuple):
    """One record as it was read; headers are unpacked when they are asked for."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    packed: Headers | msgspec.Raw

    @property
    def headers(self) -> Headers:
        """Unpack the headers."""
        packed = self.packed
        return _unpack_headers(packed) if isinstance(packed, msgspec.Raw) else packed


class Chunk:
    """A run of records of one partition: offsets ``base`` up to, not including, ``next``."""

    __slots__ = ("base", "items", "next", "size", "timestamp")

    def __init__(self, base: int, timestamp: int, items: Sequence[Item], size: int) -> None:
        self.base = base
        self.next = base + len(items)
        self.timestamp = timestamp
        self.items = items
        self.size = size

    def records(self, topic: str, partition: int, begin: int, end: int) -> list[StoredRecord]:
        """Make the records of the offsets ``begin`` up to ``end``."""
        timestamp, new, base = self.timestamp, tuple.__new__, self.base
        return [
            new(StoredRecord, (topic, partition, offset, timestamp, *item))
            for offset, item in enumerate(self.items[begin - base : end - base], begin)
        ]


def encode_chunk(timestamp: int, packed: Sequence[bytes]) -> bytes:
    """Join packed items to a chunk's value."""
    return _HEAD.pack(timestamp, _ARRAY32, len(packed)) + b"".join(packed)


def chunk_time(value: bytes) -> int:
    """Read the time of a chunk without unpacking it."""
    return cast("int", _HEAD.unpack_from(value)[0])


def decode_chunk(base: int, value: bytes) -> Chunk:
    """Unpack a chunk's value."""
    return Chunk(base, chunk_time(value), _unpack(memoryview(value)[8:]), len(value))
