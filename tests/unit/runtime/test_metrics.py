"""Metrics: a table of names, values that go to a sink where there is one, and what real nodes set."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bench.cluster import TEMPLATES
from streamsched.commands.request import make_request, want
from streamsched.runtime import metrics
from streamsched.runtime.metrics import Counter, Gauge, Histogram, Metric, Recorded
from tests.support.mini_cluster import MiniCluster

TABLE = [value for value in vars(metrics).values() if isinstance(value, Metric)]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    sink = Recorded()
    metrics.use(sink)
    yield sink
    metrics.use(None)


def test_names_are_one_each_and_end_in_their_unit() -> None:
    assert len({metric.name for metric in TABLE}) == len(TABLE) > 0
    for metric in TABLE:
        assert re.fullmatch(r"streamsched(_[a-z]+)+", metric.name)
        assert metric.help.endswith(".")
        if isinstance(metric, Counter):
            assert metric.name.endswith("_total")
        if isinstance(metric, Histogram):
            assert metric.name.endswith(("_seconds", "_bytes", "_records"))


def test_without_a_sink_values_are_dropped_and_not_looked_at() -> None:
    def labels() -> Iterator[str]:
        raise AssertionError("looked at")
        yield ""

    Counter("a_total", "A.", ("label",)).tally(labels())
    Counter("a_total", "A.").add(1)


def test_a_sink_takes_each_kind(recorded: Recorded) -> None:
    counter, gauge = Counter("a_total", "A.", ("label",)), Gauge("b", "B.")
    counter.add(2, "x")
    counter.tally(["x", "y", "x"])
    gauge.set(3)
    gauge.set(1)
    Histogram("c_seconds", "C.").observe(0.5)
    assert recorded.values == {("a_total", "x"): 4, ("a_total", "y"): 1, ("b",): 1}
    assert recorded.observed == {("c_seconds",): [0.5]}


def test_nodes_tell_what_they_do(recorded: Recorded) -> None:
    mini = MiniCluster(2, 2, room=10)
    wanted = want(TEMPLATES / "noop.yaml", {"children": 30}, task_id="job")
    mini.log.append([mini.records.journal(make_request(mini.me, wanted, "test"), "job")])
    for _ in range(500):
        mini.turn(1)
        if mini.phase("job") == "succeeded":
            break
    assert mini.phase("job") == "succeeded"
    values = recorded.values
    assert values["streamsched_children_ended_total", "completed"] == 30
    assert values["streamsched_decisions_total",] >= 2
    assert values["streamsched_claims_total",] == 4
    assert values["streamsched_slots", "free"] + values["streamsched_slots", "used"] > 0
    assert len(recorded.observed["streamsched_commit_seconds",]) > 2
    assert {name for name, *_ in [*values, *recorded.observed]} <= {metric.name for metric in TABLE}
    assert {("streamsched_turn_seconds", role) for role in ("scheduler", "worker")} <= recorded.observed.keys()
