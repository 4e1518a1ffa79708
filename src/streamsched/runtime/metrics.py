"""Metrics: all names with unit and help in one table, and the one sink of this process that takes their values.

A new metric is a line in the table and the line that sets it. Names end in their unit, as Prometheus recommends. Labels
never hold ids, hosts or texts of errors. Without a sink a value costs one call: set it once a turn or a transaction.
Gauges of what a fold has are not set at all: ``hosting/gauges.py`` reads them off it when somebody asks.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of metrics in the words of Prometheus."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A name, what it tells, the names of its labels, and values of them that are told from the start, as 0."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()


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

    def observe_all(self, values: Iterable[float], *labels: str) -> None:
        """Take note of many values at once."""
        if _sink is not None:
            _sink.record_all(self, values, labels)


Sample = tuple[Metric, tuple[str, ...], float]
"""A value of a gauge that was read when somebody asked, with its labels."""


class Sink(Protocol):
    """Takes values, from any thread. What a value means is up to the kind of its metric."""

    def record(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Take one value; ``labels`` are in the order of the metric's label names."""

    def record_all(self, metric: Histogram, values: Iterable[float], labels: tuple[str, ...]) -> None:
        """Take many values of a histogram."""


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

    def record_all(self, metric: Histogram, values: Iterable[float], labels: tuple[str, ...]) -> None:
        """Take many values."""
        for value in values:
            self.record(metric, value, labels)


_sink: Sink | None = None


def use(sink: Sink | None) -> None:
    """Let this sink take the values of this process; None: they are dropped, as at the start."""
    global _sink
    _sink = sink


def in_use() -> bool:
    """Return whether there is a sink, so that it is worth working a value out."""
    return _sink is not None


# fmt: off
# Set by nodes as they work:
COMMIT_SECONDS = Histogram("streamsched_commit_seconds", "Transactions that were written, by how long each took.")
FENCED = Counter("streamsched_fenced_writers_total", "Writers of this node that another node has fenced.")
CLAIMS = Counter("streamsched_claims_total", "Partitions that this node has claimed.")
TURN_SECONDS = Histogram("streamsched_turn_seconds", "The longest turn of a loop since its last beat.", ("role",))
DEAD_LETTERS = Counter(
    "streamsched_dead_letters_total", "Records that this node has set aside.", ("topic",), (("events",), ("children",)))
# ... schedulers
DECISIONS = Counter("streamsched_decisions_total", "Decisions of tasks and schedules that a scheduler has written.")
DECISIONS_REFUSED = Counter(
    "streamsched_decisions_refused_total", "Decisions of a task or schedule that stands still: none has had an effect.")
EVICTIONS = Counter(
    "streamsched_evictions_total", "Nodes that a scheduler has evicted.", ("role", "reason"),
    (("worker", "silent"), ("worker", "hanging"), ("scheduler", "silent"), ("scheduler", "hanging")))
TASKS_ENDED = Counter(
    "streamsched_tasks_ended_total", "Tasks that a scheduler has led to their end.", ("outcome",),
    (("succeeded",), ("failed",), ("cancelled",), ("refused",)))
TICKS = Counter(
    "streamsched_ticks_total", "Times of schedules that a scheduler has decided about.", ("outcome",),
    (("fired",), ("skipped",), ("dropped",), ("missed",), ("suppressed",), ("buffered",)))
TICK_DELAY_SECONDS = Histogram(
    "streamsched_tick_delay_seconds", "Times of schedules that were fired at once, by how long after they were due.")
FLUSH_SECONDS = Histogram("streamsched_view_flush_seconds", "Writes of a scheduler's view, by how long each took.")
LAG = Gauge("streamsched_journal_lag_records", "Offsets of the journal that a scheduler has not folded yet.")
STABLE_AGE = Gauge(
    "streamsched_stable_offset_age_seconds",
    "For how long an open transaction has held back the readers of one partition; the longest of all partitions.")
# ... workers
CHILDREN_ENDED = Counter(
    "streamsched_children_ended_total", "Dispatches that a worker has ended.", ("outcome",),
    (("completed",), ("failed",), ("cancelled",), ("returned",)))
RUN_SECONDS = Histogram("streamsched_run_seconds", "Dispatches that a worker has ended, by how long each ran.")
WAIT_SECONDS = Histogram(
    "streamsched_wait_seconds", "Dispatches that a worker has ended, by how long each waited for a slot.")
CHILDREN_LIVE = Gauge("streamsched_children_live", "Children that a worker holds and that have not ended.")
SLOTS = Gauge("streamsched_slots", "Slots of a worker, used and free.", ("state",))
# Read off the nodes when somebody asks (a scheduler tells of the partitions that it owns, so that sums are right):
BUILD = Gauge("streamsched_build_info", "The version that runs.", ("version",))
LOOP_AGE = Gauge("streamsched_loop_age_seconds", "The time since the last turn of a loop began.", ("role",))
PARTITIONS = Gauge("streamsched_partitions", "Partitions that this node owns.", ("role", "state"))
TASKS = Gauge("streamsched_tasks", "Tasks that have not ended.", ("state",))
CHILDREN = Gauge("streamsched_children", "Children of tasks that have not ended.", ("state", "template"))
WORK_SECONDS = Gauge("streamsched_remaining_work_seconds", "Work of the children that could run now.")
DESIRED_SLOTS = Gauge("streamsched_desired_slots", "Slots that would do the remaining work in five minutes.")
# Of a server, which tells of the whole installation: under the names of schedulers, a sum over all processes would
# count all of it twice.
SERVER_REQUEST_SECONDS = Histogram(
    "streamsched_server_request_seconds", "Requests to a server, by how long each took until its answer began.",
    ("path", "method", "status"))
SERVER_STREAMS = Gauge("streamsched_server_streams", "Streams of events that a server has open.")
SERVER_LAG = Gauge("streamsched_server_journal_lag_records", "Offsets of the journal that a server has not folded yet.")
SERVER_AGE = Gauge("streamsched_server_journal_age_seconds", "The time since a server could last follow the journal.")
SERVER_TASKS = Gauge("streamsched_server_tasks", "Tasks that have not ended, as a server has folded them.", ("state",))
SERVER_CHILDREN = Gauge(
    "streamsched_server_children", "Children of tasks that have not ended, as a server has folded them.",
    ("state", "template"))
SERVER_WORK_SECONDS = Gauge(
    "streamsched_server_remaining_work_seconds", "Work of the children that could run now, as a server has folded it.")
SERVER_DESIRED_SLOTS = Gauge(
    "streamsched_server_desired_slots", "Slots that would do in five minutes the remaining work that a server knows.")
# fmt: on
TABLE: Final = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
OF_SERVER: Final = tuple(each for each in TABLE if each.name.startswith("streamsched_server_"))
OF_NODES: Final = tuple(each for each in TABLE if each not in OF_SERVER)
