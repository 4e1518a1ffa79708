"""Commit metadata: what a commit writes beside its position, so that the next owner inherits everything.

Text of at most 4095 bytes: ``1 TRANSACTIONAL_ID EPOCH COUNTER STATE RANGES``. ``STATE`` is ``released`` when the owner
handed the partition over in order, else ``held``. ``RANGES`` holds the settled offsets above the position: lengths of
ranges, unsettled and settled in turn, as base64 of varints (LEB128), or ``-``.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

METADATA_LIMIT_BYTES: Final = 4095
"""What a broker takes through this client: one less than its ``offset.metadata.max.bytes``, as measured."""
RANGES_LIMIT_BYTES: Final = METADATA_LIMIT_BYTES - 400
"""What the ranges may take of it: the rest is for names and numbers."""


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """Who committed, in which ownership epoch, how many transactions into it."""

    transactional_id: str
    epoch: int
    counter: int
    released: bool
    settled_ranges: str = "-"

    def encode(self) -> str:
        """Write it as text."""
        state = "released" if self.released else "held"
        return f"1 {self.transactional_id} {self.epoch} {self.counter} {state} {self.settled_ranges}"


INITIAL: Final = CommitMetadata("-", 0, 0, released=True)
"""What ``topics create`` commits for every partition."""


class NewerMetadata(ValueError):
    """Metadata of a newer version of streamsched."""


def decode_metadata(metadata: str) -> CommitMetadata:
    """Read commit metadata back.

    Raises:
        NewerMetadata: written by a newer version.
        ValueError: written by something else, as the admin tools of Kafka do.

    """
    match metadata.split(" "):
        case ["1", transactional_id, epoch, counter, ("released" | "held") as state, settled_ranges]:
            return CommitMetadata(transactional_id, int(epoch), int(counter), state == "released", settled_ranges)
        case [version, *_] if version.isdecimal() and int(version) > 1:
            raise NewerMetadata(f"a commit of a newer version of streamsched: {metadata[:80]!r}")
    raise ValueError(f"not a commit of streamsched: {metadata[:80]!r}")


def encode_ranges(lengths: Iterable[int]) -> str:
    """Write lengths of ranges (unsettled first, in turn) as text."""
    out = bytearray()
    for length in lengths:
        rest = length
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return urlsafe_b64encode(out).decode() or "-"


def decode_ranges(text: str) -> Sequence[int]:
    """Read lengths of ranges back."""
    lengths: list[int] = []
    value = shift = 0
    for byte in b"" if text == "-" else urlsafe_b64decode(text):
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            lengths.append(value)
            value = shift = 0
    return lengths
