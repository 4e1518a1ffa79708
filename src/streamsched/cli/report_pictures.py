"""The pictures of a report, as SVG without a script or a style: children, shares, durations, throughput."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from streamsched.cli.markup import Markup, el, join
from streamsched.cli.printing import local_time
from streamsched.queries.durations import Bucket
from streamsched.queries.grid import STATES
from streamsched.queries.past import Past
from streamsched.queries.report import Cells

ROWS: Final = ((200, 20, 2.4), (1_000, 50, 2.0))
"""Up to so many cells: how many of them to a row, and how large each is beside those of more children."""
COLUMNS: Final = 100
"""Cells to a row where there are more."""
CELL: Final = 10
"""Units of a cell; a state takes whole ones."""
LEAST: Final = tuple(2 if state == "failed" else 1 for state in STATES)
"""Units that a state takes at least where there is any child in it."""
WIDTH: Final = COLUMNS * CELL
MARGIN: Final = 90
"""Units left of the cells, for the numbers of rows."""
NUMBERED: Final = 10
"""Rows that have their number at most."""
DOWN: Final = tuple(map(STATES.index, ("failed", "running", "queued", "cancelled", "waiting", "succeeded")))
"""How states lie in a cell, from above."""
BAR: Final = 8
HEIGHT: Final = 120
FEW: Final = 24
"""Bars for which there is room at least."""
_Layout = tuple[tuple[int, int, int], ...]
"""Of a cell: states, each with where it begins and how high it is."""


def children(cells: Cells) -> Markup:
    """Draw the children in rows of cells, few of them larger; neighbours that look the same are one piece."""
    paths: dict[int, list[str]] = {}
    fitting = ((columns, scale) for most, columns, scale in ROWS if len(cells.counts) <= most)
    columns, scale = next(fitting, (COLUMNS, 1.0))
    rows = -(-len(cells.counts) // columns)
    for row in range(rows):
        layouts = map(_layout, cells.counts[row * columns : (row + 1) * columns])
        at = 0
        for layout, same in groupby(layouts):
            wide = CELL * sum(1 for _ in same)
            for state, top, high in layout:
                piece = f"M{at} {row * CELL + top}h{wide}v{high}h-{wide}z"
                paths.setdefault(state, []).append(piece)
            at += wide
    step = max(1, -(-rows // NUMBERED))
    numbers = [
        el("text", f"{row * columns * cells.per:,}", x=-8, y=f"{(row + 0.5) * CELL * scale + 4:g}")
        for row in range(0, rows, step)
    ]  # fmt: skip
    down, across = rows * CELL, min(len(cells.counts), columns) * CELL
    rules = "".join(f"M{x} 0V{down}" for x in range(CELL, across, CELL))
    rules += "".join(f"M0 {y}H{across}" for y in range(CELL, down, CELL))
    pieces = [el("path", class_=STATES[state], d="".join(paths[state])) for state in sorted(paths)]
    drawn = el("g", *pieces, el("path", class_="rule", d=rules), transform=f"scale({scale:g})")
    return el(
        "svg", el("title", "The children in their order"), drawn, *numbers,
        viewBox=f"-{MARGIN} 0 {MARGIN + WIDTH} {max(CELL, down) * scale:g}", role="img", class_="grid",
    )  # fmt: skip


def shares(counts: Sequence[tuple[str, int]]) -> Markup:
    """Draw how many children there are in each state: true proportions, so that one of 100,000 is a thin line."""
    total, at, pieces = sum(count for _, count in counts) or 1, 0.0, []
    for state, count in counts:
        wide = count * WIDTH / total
        pieces.append(el("rect", class_=state, x=f"{at:.3f}", y=0, width=f"{wide:.3f}", height=16))
        at += wide
    title = el("title", ", ".join(f"{count:,} {state}" for state, count in counts if count))
    return el(
        "svg", title, *pieces, viewBox=f"0 0 {WIDTH} 16", preserveAspectRatio="none", role="img", class_="shares",
    )  # fmt: skip


def durations(buckets: Sequence[Bucket], kind: str) -> Markup:
    """Draw a bar for each bucket, those that are empty in between too, in the colour of this state."""
    low, high = buckets[0].to_ms.bit_length(), buckets[-1].to_ms.bit_length()
    counts = {bucket.to_ms.bit_length(): bucket.count for bucket in buckets}
    columns = [(counts.get(bits, 0),) for bits in range(low, high + 1)]
    return _columns(columns, (kind,), "How many children took how long")


def throughput(past: Past) -> Markup:
    """Draw how many attempts ended in each span of time."""
    columns = [(span.completed, span.failed, span.cancelled) for span in past.spans]
    return _columns(columns, ("succeeded", "failed", "cancelled"), "Attempts that ended, over time")


def times(past: Past) -> str:
    """Return when the first span begins, and the last one ends."""
    first, last = past.spans[0].begin, past.spans[-1].begin + past.width_ms
    return f"{local_time(first)} to {local_time(last)}"


def _columns(columns: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> Markup:
    most = max(1, *map(sum, columns))
    paths: list[list[str]] = [[] for _ in classes]
    for number, counts in enumerate(columns):
        below = float(HEIGHT)
        for path, count in zip(paths, counts, strict=True):
            if count:
                high = max(1.0, count * HEIGHT / most)
                below -= high
                path.append(f"M{number * BAR} {below:.1f}h{BAR - 1}v{high:.1f}h-{BAR - 1}z")
    pieces = [el("path", class_=name, d="".join(path)) for name, path in zip(classes, paths, strict=True) if path]
    wide = max(FEW, len(columns)) * BAR
    return el(
        "svg", el("title", title), *pieces, viewBox=f"0 0 {wide} {HEIGHT}", preserveAspectRatio="none", role="img",
        class_="columns",
    )  # fmt: skip


def _layout(counts: Sequence[int]) -> _Layout:
    return tuple(_slices(counts))


def _slices(counts: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    total = sum(counts)
    high = {state: max(LEAST[state], counts[state] * CELL // total) for state in DOWN if counts[state]}
    largest = max(high, key=lambda state: counts[state])
    high[largest] += CELL - sum(high.values())
    top = 0
    for state, units in high.items():
        yield state, top, units
        top += units


def legend(counts: Sequence[tuple[str, int]]) -> Markup:
    """Return what the colours mean, each with how many children are in that state."""
    total = sum(count for _, count in counts) or 1
    return el(
        "ul",
        *(
            el("li", el("svg", el("rect", width=10, height=10, class_=state), viewBox="0 0 10 10", class_="key"),
               join(f" {count:,} {state}", el("small", f" {count / total:.2%}")))
            for state, count in counts if count
        ),
        class_="legend",
    )  # fmt: skip
