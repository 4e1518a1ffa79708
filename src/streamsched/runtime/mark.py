"""The mark: what a commit writes beside its position, so that the next owner inherits everything.

Text of at most 4095 bytes: ``1 TRANSACTIONAL_ID EPOCH COUNTER STATE RUNS``. ``STATE`` is ``released`` when the owner
handed the partition over in order, else ``held``. ``RUNS`` holds the settled offsets above the position: lengths of
runs, unsettled and settled in turn, as base64 of varints (LEB128), or ``-``.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

LIMIT: Final = 4095
"""What a broker takes through this client: one less than its ``offset.metadata.max.bytes``, as measured."""
RUNS_LIMIT: Final = LIMIT - 400
"""What runs may take of it: the rest is for names and numbers."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Who committed, in which ownership epoch, how many transactions into it."""

    transactional_id: str
    epoch: int
    counter: int
    released: bool
    runs: str = "-"

    def encode(self) -> str:
        """Write the mark as commit metadata."""
        state = "released" if self.released else "held"
        return f"1 {self.transactional_id} {self.epoch} {self.counter} {state} {self.runs}"


INITIAL: Final = Mark("-", 0, 0, released=True)
"""What ``topics create`` commits for every partition."""


class NewerMark(ValueError):
    """A mark of a newer version of streamsched."""


def decode_mark(metadata: str) -> Mark:
    """Read commit metadata back.

    Raises:
        NewerMark: written by a newer version.
        ValueError: written by something else, as the admin tools of Kafka do.

    """
    match metadata.split(" "):
        case ["1", transactional_id, epoch, counter, ("released" | "held") as state, runs]:
            return Mark(transactional_id, int(epoch), int(counter), state == "released", runs)
        case [version, *_] if version.isdecimal() and int(version) > 1:
            raise NewerMark(f"a commit of a newer version of streamsched: {metadata[:80]!r}")
    raise ValueError(f"not a commit of streamsched: {metadata[:80]!r}")


def encode_runs(lengths: Iterable[int]) -> str:
    """Write lengths of runs (unsettled first, in turn) as text."""
    out = bytearray()
    for length in lengths:
        rest = length
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return urlsafe_b64encode(out).decode() or "-"


def decode_runs(text: str) -> Sequence[int]:
    """Read lengths of runs back."""
    lengths: list[int] = []
    value = shift = 0
    for byte in b"" if text == "-" else urlsafe_b64decode(text):
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            lengths.append(value)
            value = shift = 0
    return lengths
