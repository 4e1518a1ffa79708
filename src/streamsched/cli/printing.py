"""Printing: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any


def out(text: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{text}\n")


def out_json(document: Any) -> None:
    """Print one document, on one line, in ASCII: it is valid whatever the locale."""
    out(json.dumps(document))


def note(text: str) -> None:
    """Tell the person in front of the screen."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def plain(text: object, limit: int = 200) -> str:
    """Make one printable line of what a user or a handler wrote."""
    line = "".join(sign if sign.isprintable() else " " if sign.isspace() else "?" for sign in str(text))
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def compact(value: object, limit: int = 200) -> str:
    """Write a JSON value for people."""
    return plain(json.dumps(value, ensure_ascii=False), limit)


def columns(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Line up rows that fit into memory; numbers to the right."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    numeric = [all(isinstance(cell, int) for cell in column) for column in zip(*rows[1:], strict=True)]
    for row in texts:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric or [False] * len(row), strict=True)
        ]
        yield "  ".join(cells).rstrip()


def local_time(millis: int | None) -> str:
    """Write a time in the local zone, for people."""
    if millis is None:
        return "-"
    return datetime.fromtimestamp(millis / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ranges(numbers: Sequence[int]) -> str:
    """Write sorted numbers as ranges: ``0-3,7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
    return text if len(text) <= 40 else f"{len(numbers)} partitions"
