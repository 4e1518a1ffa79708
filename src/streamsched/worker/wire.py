"""What travels between the pool and one executor: four bytes of length, then msgpack.

An executor runs the code of users, which can write to its link: what comes from there is decoded against bounds, and
whatever does not fit is ``LinkBroken``.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from streamsched.domain import values
from streamsched.worker.context import PAYLOAD_LIMIT
from streamsched.worker.jobs import Job, JobCompleted, News, TopicAsked, TopicTold

_LENGTH: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">IBI")  # length, then the head of a msgpack array of up to 2**32 items
_ARRAY: Final = 0xDD
MAX_NEWS: Final = 4 * 1024 * 1024
"""Bytes of the largest frame of news: a page of endings, a checkpoint and what was recalled fit in half of it."""
LINK_LOST: Final = 70
"""The exit code of an executor that cannot speak to its pool."""


class LinkBroken(Exception):
    """What an executor sent, or left on its page, cannot be from our own code."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor is told when it starts, as JSON on its command line."""

    link: int
    page: int
    allow: tuple[str, ...]
    checkpoint_tick: float
    payload_limit: int
    output_path: str | None = None
    copy_path: str | None = None
    reuse: int = 0
    plan_limit: int = 256 * 1024 * 1024


class Journal(msgspec.Struct, frozen=True, array_like=True, tag="journal"):
    """Where the journal is, and a folder for what is read from it; sent before the first job that reads it.

    ``brokers`` and ``kafka`` (settings, secrets too) are for Kafka; without brokers it is the embedded log ``folder``.
    """

    brokers: str
    kafka: dict[str, str]
    folder: str
    prefix: str
    partitions: int
    scratch: str


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """Run these, one after the other."""

    jobs: list[Job]


class Stop(msgspec.Struct, frozen=True, array_like=True, tag="stop"):
    """Stop this job at its next safe point, or return it if it has not begun."""

    key: int


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Cancel the coroutine of this job, where it is async and runs."""

    key: int


class Recall(msgspec.Struct, frozen=True, array_like=True, tag="recall"):
    """Return these jobs where they have not begun; ``None``: all that have not."""

    keys: frozenset[int] | None


class Confirm(msgspec.Struct, frozen=True, array_like=True, tag="confirm"):
    """Note that this checkpoint is durable."""

    key: int
    number: int


class Quit(msgspec.Struct, frozen=True, array_like=True, tag="quit"):
    """Finish what is held, then end."""


Order = Journal | Begin | Stop | Cancel | Recall | Confirm | TopicTold | Quit
Said = News | TopicAsked

_encoder: Final = msgspec.msgpack.Encoder()
encode_item: Final = _encoder.encode
decode_order: Final = msgspec.msgpack.Decoder(Order).decode
_decode_news: Final = msgspec.msgpack.Decoder(list[Said]).decode
_check_json: Final = msgspec.json.Decoder(msgspec.Raw).decode


def order_frame(order: Order) -> bytes:
    """Frame one order."""
    body = _encoder.encode(order)
    return _LENGTH.pack(len(body)) + body


def news_frame(items: bytes, count: int) -> bytes:
    """Frame so many items of news that are encoded one after the other."""
    return _HEAD.pack(len(items) + 5, _ARRAY, count) + items


def decode_news(body: bytes) -> list[Said]:
    """Decode the news of one frame.

    Raises:
        LinkBroken: it is not news, or more than an event can hold.

    """
    try:
        news = _decode_news(body)
        for item in news:
            if item.state is not None:
                _check_payload(item.state)
            if type(item) is JobCompleted and item.result is not None:
                _check_payload(item.result)
    except (ValueError, RecursionError) as error:
        raise LinkBroken(f"it sent an invalid message: {error}"[:500]) from error
    return news


READY: Final = news_frame(b"", 0)
"""What an executor says before anything else."""


def news_items(items: bytes, count: int) -> list[Said]:
    """Decode items that never were framed; raises as ``decode_news``."""
    return decode_news(news_frame(items, count)[_LENGTH.size :])


def _check_payload(text: str) -> None:
    if len(text) * 4 > PAYLOAD_LIMIT and len(text.encode()) > PAYLOAD_LIMIT:
        raise ValueError(f"a payload above {PAYLOAD_LIMIT:,} bytes")
    try:
        _check_json(text)  # without a look at what it says
    except ValueError:
        values.read(text)  # which knows halves of characters


class Frames:
    """Cuts a stream of bytes into the bodies of its frames, each of at most ``limit`` bytes."""

    def __init__(self, limit: int | None = None) -> None:
        self._rest = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """Add what was read, and return what is whole.

        Raises:
            LinkBroken: a frame is larger than the limit.

        """
        rest = self._rest
        rest += data
        bodies: list[bytes] = []
        at = 0
        while len(rest) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(rest, at)
            if self._limit is not None and length > self._limit:
                raise LinkBroken(f"it sent a frame of {length:,} bytes, above the limit of {self._limit:,}")
            end = at + _LENGTH.size + length
            if len(rest) < end:
                break
            bodies.append(bytes(rest[at + _LENGTH.size : end]))
            at = end
        del rest[:at]
        return bodies
