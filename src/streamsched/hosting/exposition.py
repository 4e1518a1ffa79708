"""Metrics in the words of Prometheus. Imports prometheus-client, which only those need who ask for metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import PROCESS_COLLECTOR, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from streamsched.runtime.metrics import Counter, Metric, Sample
from streamsched.runtime.totals import Totals

Source = Callable[[], Iterable[Sample]]
"""Reads gauges off a node."""


class Exposition(Collector):
    """All that this process can tell: the totals, what the sources read now, and what the system knows of it."""

    def __init__(self, totals: Totals, sources: Sequence[Source]) -> None:
        self._totals = totals
        self._sources = sources

    def text(self) -> bytes:
        """Write it."""
        return generate_latest(self)

    def collect(self) -> Iterator[Family]:
        """Yield a family for each metric that has a value."""
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for metric, labels, value in [*self._totals.values(), *(each for source in self._sources for each in source())]:
            families.setdefault(metric.name, _family(metric)).add_metric(labels, value)
        yield from families.values()
        spreads: dict[str, HistogramMetricFamily] = {}
        for metric, labels, buckets, total in self._totals.spreads():
            empty = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            spreads.setdefault(metric.name, empty).add_metric(labels, buckets, total)
        yield from spreads.values()
        yield from PROCESS_COLLECTOR.collect()


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    if isinstance(metric, Counter):
        return CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
