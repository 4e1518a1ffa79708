"""The summary of many rounds, for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.table import Table

from tests.chaos.round import Result

COUNTED = {"lost": ("lost", "stuck"), "doubled": ("doubled", "late"), "repeated": ("repeated", "sequence")}


def summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one row for each kind and group protocol: rounds, violations, recovery in seconds."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        surroundings = f"{result.protocol}, stock" if result.stock else result.protocol
        groups.setdefault((result.kind, surroundings), []).append(result)
    return [{"kind": kind, "group": group, **_row(rounds)} for (kind, group), rounds in sorted(groups.items())]


def table(results: Sequence[Result]) -> Table:
    """Draw the summary, with its totals."""
    drawn = Table(title="chaos", title_justify="left")
    for column in ("kind", "group"):
        drawn.add_column(column)
    for column in ("rounds", *COUNTED, "other", "min", "median", "max"):
        drawn.add_column(column, justify="right")
    rows = summary(results)
    for index, row in enumerate(rows):
        drawn.add_row(*map(_text, row.values()), end_section=index == len(rows) - 1)
    drawn.add_row("all", "", *map(_text, _row(results).values()))
    return drawn


def _row(rounds: Sequence[Result]) -> dict[str, Any]:
    seconds = [result.recovery for result in rounds if result.recovery is not None]
    counts = {name: sum(result.count(*promises) for result in rounds) for name, promises in COUNTED.items()}
    violations = sum(len(result.violations) for result in rounds)
    return {
        "rounds": len(rounds),
        **counts,
        "other": violations - sum(counts.values()),
        "min": min(seconds, default=None),
        "median": median(seconds) if seconds else None,
        "max": max(seconds, default=None),
    }


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
