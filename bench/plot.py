"""Throughput against children and against workers, as a picture, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.figures import series


def draw(document: Mapping[str, Any], path: Path) -> str:
    """Write the picture; returns what to tell about it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "no plot: matplotlib is not installed (pip install -e '.[bench]')"
    cases = document["cases"]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, points, label in (
        (left, series(cases, "noop_{}", "children_per_s"), "children of the task"),
        (right, series(cases, "sleeping", "workers_{}_children_per_s"), "workers, 2 slots each"),
    ):
        axes.set_xlabel(label)
        axes.set_ylabel("children per second")
        axes.set_xscale("log")
        axes.grid(visible=True, alpha=0.3)
        if points:
            counts, medians, least, largest = zip(*points, strict=True)
            axes.fill_between(counts, least, largest, alpha=0.2)
            axes.plot(counts, medians, marker="o", label="measured")
            axes.set_xticks(counts, [f"{count:,}" for count in counts])
            axes.minorticks_off()
    if "children_per_s" in cases.get("limit", {}):
        left.axhline(cases["limit"]["children_per_s"], linestyle="--", color="grey", label="the bare protocol")
    if workers := series(cases, "sleeping", "workers_{}_children_per_s"):
        one = workers[0][1] / workers[0][0]
        right.plot(
            [count for count, *_ in workers], [one * count for count, *_ in workers], "--", color="grey", label="linear"
        )
        right.set_yscale("log")
    left.set_title("Children that do nothing")
    right.set_title("Children that sleep one second")
    for axes in (left, right):
        axes.set_ylim(bottom=None if axes.get_yscale() == "log" else 0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.savefig(path, dpi=120)
    return f"plot: {path.name}"
