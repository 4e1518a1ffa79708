"""Figures of a run: percentiles, medians with their spread, ratios, and the JSON document."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

Figures = Mapping[str, float]
"""What one repetition of a case measured, by name; the name ends with the unit."""

REQUIRED: Final = {
    "limit": ("children_per_s",),
    "noop_10000": ("children_per_s", "ratio_to_limit"),
    "embedded_noop_10000": ("children_per_s",),
    "single": ("p50_ms", "p99_ms"),
}
"""What every whole run has."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share (0 to 1) of the values does not exceed."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def summary(runs: Sequence[Figures]) -> dict[str, Any]:
    """Join the repetitions of one case: the median of each figure, and its least and largest."""
    names = dict.fromkeys(name for run in runs for name in run)
    values = {name: [run[name] for run in runs if name in run] for name in names}
    return {
        **{name: _rounded(median(found)) for name, found in values.items()},
        "spread": {name: [_rounded(min(found)), _rounded(max(found))] for name, found in values.items()},
        "repetitions": max(map(len, values.values()), default=0),
    }


def add_ratios(cases: dict[str, dict[str, Any]]) -> None:
    """Hold every Kafka case's children per second against the bare protocol of the same run."""
    limit = cases.get("limit", {}).get("children_per_s")
    for name, case in cases.items():
        if limit and name.startswith("noop_") and "children_per_s" in case:
            case["ratio_to_limit"] = round(case["children_per_s"] / limit, 3)


def series(
    cases: Mapping[str, Mapping[str, Any]], case_form: str, figure_form: str
) -> list[tuple[int, float, float, float]]:
    """Collect one figure over a count that stands at ``{}`` in the name of the case or of the figure.

    Returns:
        The count, the median, the least and the largest, by count.

    """
    case_pattern, figure_pattern = (re.compile(form.replace("{}", "([0-9]+)")) for form in (case_form, figure_form))
    points = []
    for name, case in cases.items():
        for figure, (least, largest) in case.get("spread", {}).items():
            in_case, in_figure = case_pattern.fullmatch(name), figure_pattern.fullmatch(figure)
            if in_case and in_figure:
                count = int((*in_case.groups(), *in_figure.groups())[0])
                points.append((count, case[figure], least, largest))
    return sorted(points)


def missing(document: Mapping[str, Any]) -> list[str]:
    """Name what a whole run must have and this one has not."""
    cases = document.get("cases", {})
    return [
        f"cases.{case}.{figure}"
        for case, figures in REQUIRED.items()
        for figure in figures
        if not isinstance(cases.get(case, {}).get(figure), int | float)
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
