"""The sums of all metrics of this process, as somebody asks for them: a sink that keeps no single value."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Final

from streamsched.runtime.metrics import OF_NODES, Counter, Histogram, Metric

BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
"""The upper bounds of the histograms' buckets: from a transaction to a child that takes hours."""
Labels = tuple[str, ...]


class Spread:
    """How values of a histogram are spread: how many are in each bucket, the last without a bound, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total = 0.0

    def add(self, ends: Iterable[int], total: float) -> None:
        """Add values: how many of them are at most each bound, then all; and their sum."""
        before = 0
        for bucket, end in enumerate(ends):
            self.counts[bucket] += end - before
            before = end
        self.total += total

    def cumulated(self) -> list[tuple[str, float]]:
        """Return how many values are at most each bound."""
        so_far, found = 0, []
        for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], self.counts, strict=True):
            so_far += count
            found.append((bound, float(so_far)))
        return found


class Totals:
    """Takes values from any thread. What a counter may count is there from the start, so that its first one is seen."""

    def __init__(self, table: Sequence[Metric] = OF_NODES) -> None:
        self._lock = Lock()
        self._table = table
        self._values: dict[str, dict[Labels, float]] = {}
        self._spreads: dict[str, dict[Labels, Spread]] = {}
        for metric in table:
            known = metric.known or (() if metric.labels else ((),))
            if isinstance(metric, Histogram):
                self._spreads[metric.name] = {labels: Spread() for labels in known}
            else:
                self._values[metric.name] = dict.fromkeys(known, 0.0) if isinstance(metric, Counter) else {}

    def record(self, metric: Metric, value: float, labels: Labels) -> None:
        """Take one value."""
        if isinstance(metric, Histogram):
            self.record_all(metric, (value,), labels)
            return
        with self._lock:
            values = self._values[metric.name]
            values[labels] = value + (values.get(labels, 0.0) if isinstance(metric, Counter) else 0.0)

    def record_all(self, metric: Histogram, values: Iterable[float], labels: Labels) -> None:
        """Take many values of a histogram."""
        ordered = sorted(values)
        if not ordered:
            return
        if ordered[0] < 0:  # two clocks
            ordered = [max(0.0, value) for value in ordered]
        ends = [bisect_right(ordered, bound) for bound in BOUNDS_S]  # a few searches, however many values there are
        with self._lock:
            self._spreads[metric.name].setdefault(labels, Spread()).add([*ends, len(ordered)], sum(ordered))

    def values(self) -> Iterator[tuple[Metric, Labels, float]]:
        """Yield what counters and gauges have."""
        for metric in self._table:
            with self._lock:
                found = list(self._values.get(metric.name, {}).items())
            yield from ((metric, labels, value) for labels, value in found)

    def spreads(self) -> Iterator[tuple[Metric, Labels, list[tuple[str, float]], float]]:
        """Yield what histograms have: counts by bound, and the sum."""
        for metric in self._table:
            with self._lock:
                found = [
                    (labels, spread.cumulated(), spread.total)
                    for labels, spread in self._spreads.get(metric.name, {}).items()
                ]
            yield from ((metric, *each) for each in found)
