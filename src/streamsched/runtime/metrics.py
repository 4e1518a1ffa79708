"""Metrics: all names with unit and help in one table, and the one sink of this process that takes their values.

A new metric is a line in the table and the line that sets it. Names end in their unit, as Prometheus recommends. Labels
never hold ids, hosts or texts of errors. Without a sink a value costs one call: set it once a turn or a transaction.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Metric:
    """A name, what it tells, and the names of its labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Counter(Metric):
    """Only ever grows."""

    def add(self, amount: float, *labels: str) -> None:
        """Add to it."""
        if _sink is not None:
            _sink.record(self, amount, labels)

    def tally(self, labels: Iterable[str]) -> None:
        """Add one for each of these values of its only label; without a sink they are not looked at."""
        if _sink is not None:
            for label, count in Tally(labels).items():
                _sink.record(self, count, (label,))


class Gauge(Metric):
    """Goes up and down."""

    def set(self, value: float, *labels: str) -> None:
        """Set it."""
        if _sink is not None:
            _sink.record(self, value, labels)


class Histogram(Metric):
    """Tells how values are spread."""

    def observe(self, value: float, *labels: str) -> None:
        """Take note of one value."""
        if _sink is not None:
            _sink.record(self, value, labels)


class Sink(Protocol):
    """Takes values, from any thread. What a value means is up to the kind of its metric."""

    def record(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Take one value; ``labels`` are in the order of the metric's label names."""


class Recorded:
    """A sink in memory: sums of counters, last values of gauges, all values of histograms, by name and labels."""

    def __init__(self) -> None:
        self.values: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self.observed: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)

    def record(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Take one value."""
        assert len(labels) == len(metric.labels), (metric, labels)  # noqa: S101 - a slip of the line that sets it
        key = (metric.name, *labels)
        if isinstance(metric, Histogram):
            self.observed[key].append(value)
        else:
            self.values[key] = value + (self.values[key] if isinstance(metric, Counter) else 0)


_sink: Sink | None = None


def use(sink: Sink | None) -> None:
    """Let this sink take the values of this process; None: they are dropped, as at the start."""
    global _sink
    _sink = sink


# fmt: off
COMMIT_SECONDS = Histogram("streamsched_commit_seconds", "Transactions that were written, by how long each took.")
FENCED = Counter("streamsched_fenced_writers_total", "Writers of this node that another node has fenced.")
CLAIMS = Counter("streamsched_claims_total", "Partitions that this node has claimed.")
TURN_SECONDS = Histogram("streamsched_turn_seconds", "The longest turn of a loop since its last beat.", ("role",))
DECISIONS = Counter("streamsched_decisions_total", "Decisions of tasks and schedules that a scheduler has written.")
EVICTIONS = Counter("streamsched_evictions_total", "Silent nodes that a scheduler has evicted.", ("role",))
CHILDREN_ENDED = Counter("streamsched_children_ended_total", "Dispatches that a worker has ended.", ("outcome",))
CHILDREN_LIVE = Gauge("streamsched_children_live", "Children that a worker holds and that have not ended.")
SLOTS = Gauge("streamsched_slots", "Slots of a worker, used and free.", ("state",))
# fmt: on
