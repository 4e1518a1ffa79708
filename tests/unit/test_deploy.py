"""Dashboard, alert rules and runbook are held against the table of metrics, and against each other."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from streamsched.runtime import metrics
from streamsched.runtime.metrics import Histogram
from tests.support.http_server import BODY, serving
from tests.support.needs import PROMTOOL, WITH_PROMTOOL
from tools import dashboard

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text()
METRICS: Final = {metric.name: metric for metric in metrics.TABLE}
OF_PROMETHEUS: Final = {"le", "job", "instance"}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    for panel in json.loads(dashboard.DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def named(query: str) -> Iterator[tuple[str, str]]:
    """Yield the names of our metrics in a query, each with what stands in braces behind it."""
    yield from re.findall(r"\b(streamsched_\w+)(?:\{([^}]*)\})?", query)


def metric_of(name: str) -> metrics.Metric | None:
    if name in METRICS:
        return None if isinstance(METRICS[name], Histogram) else METRICS[name]  # it has no value of its own
    found = METRICS.get(re.sub(r"_(bucket|count|sum)$", "", name))
    return found if isinstance(found, Histogram) else None


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_what_a_query_names_is_there(query: str) -> None:
    by = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")}
    for name, selector in named(query):
        metric = metric_of(name)
        assert metric is not None, name
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', selector):
            assert label in {*metric.labels, *OF_PROMETHEUS}
            known = [labels[metric.labels.index(label)] for labels in metric.known] if label in metric.labels else []
            assert not known or set(values.split("|")) <= set(known)
        assert by <= {*metric.labels, *OF_PROMETHEUS} or len(list(named(query))) > 1


def test_a_query_that_is_wrong_is_found() -> None:
    assert metric_of("streamsched_moons") is None
    assert metric_of("streamsched_run_seconds") is None
    assert metric_of("streamsched_claims_total_bucket") is None


def test_every_metric_is_on_the_dashboard() -> None:
    text = dashboard.DASHBOARD.read_text()
    assert [name for name in METRICS if name not in text] == []


def test_the_dashboard_is_what_its_panels_give() -> None:
    assert dashboard.text() == dashboard.DASHBOARD.read_text(), "run: python -m tools.dashboard"
    places = [tuple(panel["gridPos"].values()) for panel in dashboard.document()["panels"]]
    assert len(set(places)) == len(places)


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == names, "in the same order"
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


@WITH_PROMTOOL
def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run([PROMTOOL, "check", "rules", RULES], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@WITH_PROMTOOL
def test_prometheus_takes_the_metrics_of_nodes() -> None:
    from streamsched.hosting import gauges
    from streamsched.hosting.exposition import Exposition
    from streamsched.runtime.totals import Totals

    totals = Totals()
    for metric in metrics.OF_NODES:
        totals.record(metric, 1.5, tuple("x" for _ in metric.labels))
    check_metrics(Exposition(totals, [gauges.of_process]).text())


@WITH_PROMTOOL
def test_prometheus_takes_the_metrics_of_a_server(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as ask:
        assert ask("PUT", "/v1/tasks/mine", BODY).status == 201
        check_metrics(ask.get("/metrics").data)


def check_metrics(text: bytes) -> None:
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
