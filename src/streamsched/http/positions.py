"""Positions in headers: ``partition:offset`` of the journal, several joined by commas; the offset is the next one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from streamsched.domain.errors import InputError

LONGEST: Final = 4_000
"""Characters of positions in a header or a parameter."""
_PART: Final = re.compile(r"(\d{1,5}):(\d{1,18})", re.ASCII)
Positions = Mapping[int, int]
"""The next offset of each partition; one that is not named is at 0."""


def write(positions: Positions) -> str:
    """Write positions, without those at 0; ``0:0`` where nothing is in the journal."""
    return (
        ",".join(f"{partition}:{positions[partition]}" for partition in sorted(positions) if positions[partition])
        or "0:0"
    )


def read(text: str, source: str) -> dict[int, int]:
    """Read positions. Raise InputError."""
    found: dict[int, int] = {}
    for part in text.split(",") if len(text) <= LONGEST else ("",):
        match = _PART.fullmatch(part.strip())
        if match is None:
            remedy = "give a Streamsched-Position as it was answered, such as 3:1734"
            raise InputError(f"{text[:100]!r} is not a position", remedy, source=source)
        found[int(match[1])] = int(match[2])
    return found


def reached(now: Positions, wanted: Positions) -> bool:
    """Return whether all that stands before ``wanted`` was folded."""
    return all(now.get(partition, 0) >= offset for partition, offset in wanted.items())


def tag(position: str, content: bytes = b"") -> str:
    """Return an ETag: the position, and a digest of what may change without one, such as what nodes tell."""
    return f'"{position}/{digest(content)}"' if content else f'"{position}"'


def digest(content: bytes) -> str:
    """Return the digest that stands in an ETag."""
    return sha256(content).hexdigest()[:12]


def matches(header: str, etag: str) -> bool:
    """Return whether If-None-Match names this ETag."""
    return any(each.strip().removeprefix("W/") in ("*", etag) for each in header.split(","))


def of_tag(header: str) -> tuple[dict[int, int], str] | None:
    """Return the position and the digest, empty without one, in an If-Match; None for ``*``. Raise InputError."""
    text = header.strip().removeprefix("W/").strip('"')
    position, _, content = text.partition("/")
    return None if text == "*" else (read(position, "If-Match"), content)
