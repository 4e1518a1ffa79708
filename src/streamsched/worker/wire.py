"""What travels between the pool and one executor: four bytes of length, then msgpack."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from streamsched.worker.jobs import Job, News

_LENGTH: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">IBI")  # length, then the head of a msgpack array of up to 2**32 items
_ARRAY: Final = 0xDD


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor is told when it starts, as JSON on its command line."""

    link: int
    page: int
    parent: int
    allow: tuple[str, ...]
    checkpoint_tick: float
    payload_limit: int
    output_path: str | None = None


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """Run these, one after the other."""

    jobs: list[Job]


class Stop(msgspec.Struct, frozen=True, array_like=True, tag="stop"):
    """Stop this job at its next safe point, or return it if it has not begun."""

    key: int


class Recall(msgspec.Struct, frozen=True, array_like=True, tag="recall"):
    """Return these jobs where they have not begun; ``None``: all that have not."""

    keys: frozenset[int] | None


class Confirm(msgspec.Struct, frozen=True, array_like=True, tag="confirm"):
    """Believe that this checkpoint is durable."""

    key: int
    number: int


class Quit(msgspec.Struct, frozen=True, array_like=True, tag="quit"):
    """Finish what is held, then end."""


Order = Begin | Stop | Recall | Confirm | Quit

_encoder: Final = msgspec.msgpack.Encoder()
encode_item: Final = _encoder.encode
decode_order: Final = msgspec.msgpack.Decoder(Order).decode
decode_news: Final = msgspec.msgpack.Decoder(list[News]).decode


def order_frame(order: Order) -> bytes:
    """Frame one order."""
    body = _encoder.encode(order)
    return _LENGTH.pack(len(body)) + body


def news_frame(items: bytes, count: int) -> bytes:
    """Frame so many items of news that are encoded one after the other."""
    return _HEAD.pack(len(items) + 5, _ARRAY, count) + items


def news_items(items: bytes, count: int) -> list[News]:
    """Decode items that never were framed."""
    return decode_news(news_frame(items, count)[_LENGTH.size :])


class Frames:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add what was read, and return what is whole."""
        rest = self._rest
        rest += data
        bodies: list[bytes] = []
        at = 0
        while len(rest) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(rest, at)
            end = at + _LENGTH.size + length
            if len(rest) < end:
                break
            bodies.append(bytes(rest[at + _LENGTH.size : end]))
            at = end
        del rest[:at]
        return bodies
