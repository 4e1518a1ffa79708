"""What is left of a run: a table for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def show(console: Console, document: Mapping[str, Any]) -> None:
    """Print the table of all figures."""
    table = Table("case", "figure", "median", "least", "largest", box=None, header_style="bold")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, case in document["cases"].items():
        if "error" in case:
            console.print(f"{name} failed: {case['error']}", style="red", markup=False)
        title = name
        for figure, value in case.items():
            if isinstance(value, int | float) and figure != "repetitions":
                least, largest = case["spread"].get(figure, ("", ""))
                table.add_row(title, figure, number(value), number(least), number(largest))
                title = ""
    console.print(table)
    before, after = document["busy"], document["busy_after"]
    console.print(
        f"commit {document['commit'][:12]}{' with changes' if document['changed'] else ''}, "
        f"{document['machine']['cores']} cores, load {before['load_1m']} before and {after['load_1m']} after, "
        f"{before['cpu_pct']:.0f} % of the processors taken by others before",
        style="dim",
    )


def number(value: float | str) -> str:
    """Write a figure with three or four digits that matter."""
    if isinstance(value, str):
        return value
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write the JSON document, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=2) + "\n")
    fresh.replace(path)
