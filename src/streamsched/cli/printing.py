"""Printing: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Final

from streamsched.domain.visible import is_visible, visible

GAP: Final = 2
"""Between two columns."""
MEASURED: Final = 200
"""Rows of a table that are looked at before the first is printed."""


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


def plain(text: object, limit: int | None = 200) -> str:
    """Return one printable line of a user's or a handler's text, cut beyond ``limit`` characters."""
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


def columns(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, spare: Sequence[str] = (), cut: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the aligned lines of a table as its rows come, long cells cut and numbers to the right.

    The first MEASURED rows tell how wide the columns are. On a terminal each line fits: where the table is wider, the
    columns that are ``spare`` are left out, the first one first, then those to ``cut`` are cut to the width of their
    heads.
    """
    rows = iter(rows)
    first = list(islice(rows, MEASURED))
    widths = [max(map(len, column)) for column in zip(head, *map(_cells, first), strict=True)]
    right = [bool(first) and all(isinstance(row[at], int) for row in first) for at in range(len(head))]
    width, kept = terminal_width(), list(range(len(head)))
    over = 0 if width is None else sum(each + GAP for each in widths) - GAP - width
    for name in spare:
        if over > 0:
            kept.remove(head.index(name))
            over -= widths[head.index(name)] + GAP
    shortened = set[int]()
    for at in map(head.index, cut):
        if over > 0:
            shortened.add(at)
            narrow = max(len(head[at]), widths[at] - over)
            over -= widths[at] - narrow
            widths[at] = narrow
    for row in chain([head], map(_cells, chain(first, rows))):
        cells = []
        for at in kept:
            text = plain(row[at], widths[at]) if at in shortened else row[at]
            cells.append(text.rjust(widths[at]) if right[at] else text.ljust(widths[at]))
        yield plain((" " * GAP).join(cells).rstrip(), width)


def _cells(row: Sequence[object]) -> list[str]:
    return [f"{cell:,}" if isinstance(cell, int) else plain(cell) for cell in row]


def terminal_width() -> int | None:
    """Return how many columns the terminal has to which stdout goes; None where it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


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
