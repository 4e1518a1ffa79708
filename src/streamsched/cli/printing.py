"""Printing: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from streamsched.domain.visible import is_visible, visible


def out(*cells: str) -> None:
    """Print a line of the result: one text, or several separated by tabs. Control characters are made visible."""
    sys.stdout.write("\t".join(map(visible, cells)) + "\n")


def out_json(document: Any) -> None:
    """Print one document on one line, in ASCII, so that it is valid in any locale."""
    out(json.dumps(document))


def note(text: str) -> None:
    """Print a line for people on stderr; errors of writing are ignored."""
    with suppress(OSError):
        sys.stderr.write(f"{visible(text)}\n")
        sys.stderr.flush()


def plain(text: object, limit: int = 200) -> str:
    """Return one printable line of a user's or a handler's text."""
    return visible(str(text), limit)


def compact(value: object, limit: int = 200) -> str:
    """Return a JSON value for people, cut if it is long."""
    return plain(whole(value), limit)


def whole(value: object) -> str:
    """Return a JSON value for people and programs: JSON, with invisible characters escaped."""
    if (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        return json.dumps(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if is_visible(text) else "".join(sign if is_visible(sign) else json.dumps(sign)[1:-1] for sign in text)


def columns(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield aligned rows, long cells cut and numbers to the right."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    numeric = [all(isinstance(cell, int) for cell in column) for column in zip(*rows[1:], strict=True)]
    for row in texts:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric or [False] * len(row), strict=True)
        ]
        yield "  ".join(cells).rstrip()


def local_time(at: datetime | int | None) -> str:
    """Return a time (a number: milliseconds since the epoch) as text in the local zone."""
    if at is None:
        return "-"
    time = at if isinstance(at, datetime) else datetime.fromtimestamp(at / 1000, UTC)
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers as ranges: ``0-3,7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
    return text if len(text) <= 40 else f"{len(numbers)} partitions"
