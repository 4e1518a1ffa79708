"""Write the Grafana dashboard, from its panels below.

python -m tools.dashboard
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

DASHBOARD: Final = Path(__file__).resolve().parent.parent / "deploy" / "grafana" / "streamsched.json"
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
JOB: Final = 'job=~"$job"'
WIDTH: Final = 8
HEIGHT: Final = 7
JOBS: Final = "label_values(streamsched_build_info, job)"


class Panel(NamedTuple):
    """A panel: its queries by their legends."""

    title: str
    about: str
    queries: dict[str, str]
    unit: str = "short"
    stacked: bool = False


def total(metric: str, by: str = "", more: str = "") -> str:
    """Sum a gauge over all nodes."""
    return f"sum{_by(by)} ({metric}{{{', '.join(filter(None, (JOB, more)))}}})"


def rate(metric: str, by: str = "") -> str:
    """Tell how much a counter has grown a second."""
    return f"sum{_by(by)} (rate({metric}{{{JOB}}}[$__rate_interval]))"


def growth(metric: str, by: str = "") -> str:
    """Tell how much a counter has grown in each interval."""
    return f"sum{_by(by)} (increase({metric}{{{JOB}}}[$__rate_interval]))"


def quantiles(metric: str, what: str = "", by: str = "") -> dict[str, str]:
    """Tell what half of all values of a histogram, and 99 of 100, are below."""
    buckets = rate(f"{metric}_bucket", ", ".join(filter(None, ("le", by))))
    of = f"{what}, " if what else ""
    return {
        f"{of}half": f"histogram_quantile(0.5, {buckets})",
        f"{of}99 of 100": f"histogram_quantile(0.99, {buckets})",
    }


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


ROWS: Final[dict[str, list[Panel]]] = {
    "Work": [
        Panel("Children of tasks that have not ended", "As the schedulers' fold counts them.",
              {"{{state}}": total("streamsched_children", "state")}, stacked=True),
        Panel("Waiting, by template", "The hundred templates that were met first have their names.",
              {"{{template}}": total("streamsched_children", "template", 'state="waiting"')}, stacked=True),
        Panel("Attempts that ended", "Dispatches a second, by how each ended.",
              {"{{outcome}}": rate("streamsched_children_ended_total", "outcome")}, "cps", stacked=True),
        Panel("Tasks that have not ended", "", {"{{state}}": total("streamsched_tasks", "state")}, stacked=True),
        Panel("Tasks that ended", "In each interval.",
              {"{{outcome}}": growth("streamsched_tasks_ended_total", "outcome")}, stacked=True),
        Panel("Run and wait", "How long attempts ran, and how long they waited for a slot before.",
              {**quantiles("streamsched_run_seconds", "run"), **quantiles("streamsched_wait_seconds", "wait")}, "s"),
    ],
    "Capacity": [
        Panel("Slots", "Those of all workers, and those that would do the remaining work in five minutes.",
              {"{{state}}": total("streamsched_slots", "state"), "desired": total("streamsched_desired_slots")}),
        Panel("Remaining work", "Slot seconds of the children that could run now.",
              {"remaining": total("streamsched_remaining_work_seconds")}, "s"),
        Panel("Held by workers", "Children that workers hold and that have not ended.",
              {"held": total("streamsched_children_live")}),
    ],
    "Schedules": [
        Panel("Times decided about", "In each interval.",
              {"{{outcome}}": growth("streamsched_ticks_total", "outcome")}, stacked=True),
        Panel("Delay of ticks", "How long after they were due they were fired.",
              quantiles("streamsched_tick_delay_seconds"), "s"),
        Panel("Decisions", "Of schedulers, a second.",
              {"decisions": rate("streamsched_decisions_total"),
               "without effect": rate("streamsched_decisions_refused_total")}, "cps"),
    ],
    "Log": [
        Panel("Transactions", "How long each took.", quantiles("streamsched_commit_seconds"), "s"),
        Panel("Journal lag", "Records that a scheduler has not folded yet.",
              {"{{job}}": f"max by (job) (streamsched_journal_lag_records{{{JOB}}})"}),
        Panel("Age of the last stable offset", "For how long an open transaction has held readers back.",
              {"age": f"max(streamsched_stable_offset_age_seconds{{{JOB}}})"}, "s"),
        Panel("View", "How long each write of a scheduler's view took.",
              quantiles("streamsched_view_flush_seconds"), "s"),
        Panel("Dead letters", "Records that were set aside, in each interval.",
              {"{{topic}}": growth("streamsched_dead_letters_total", "topic")}),
        Panel("Fenced writers and claims", "In each interval.",
              {"fenced": growth("streamsched_fenced_writers_total"), "claims": growth("streamsched_claims_total")}),
    ],
    "Nodes": [
        Panel("Partitions", "Those that are owned: all of a topic should be ready somewhere.",
              {"{{role}} {{state}}": total("streamsched_partitions", "role, state")}),
        Panel("Turns", "The longest turns of the loops, and their age now.",
              {**quantiles("streamsched_turn_seconds", "{{role}}", "role"),
               "{{role}}, now": f"max by (role) (streamsched_loop_age_seconds{{{JOB}}})"}, "s"),
        Panel("Evictions", "In each interval.",
              {"{{role}} {{reason}}": growth("streamsched_evictions_total", "role, reason")}),
        Panel("Versions", "Nodes, by the version that they run.",
              {"{{version}}": f"count by (version) (streamsched_build_info{{{JOB}}})"}),
        Panel("Memory", "Of the nodes, without their executors.",
              {"{{job}}": total("process_resident_memory_bytes", "job")}, "bytes"),
        Panel("Processors", "What the nodes use, without their executors.",
              {"{{job}}": rate("process_cpu_seconds_total", "job")}),
    ],
    "Servers": [
        Panel("Requests", "A second, by how each was answered.",
              {"{{status}}": rate("streamsched_server_request_seconds_count", "status")}, "reqps", stacked=True),
        Panel("Answers", "How long requests took until their answers began. One that waits counts whole.",
              quantiles("streamsched_server_request_seconds"), "s"),
        Panel("Streams", "Streams of events that are open.", {"open": total("streamsched_server_streams")}),
        Panel("Journal of servers", "Records that a server has not folded yet, and seconds since it could.",
              {"records": f"max(streamsched_server_journal_lag_records{{{JOB}}})",
               "seconds": f"max(streamsched_server_journal_age_seconds{{{JOB}}})"}),
        Panel("What servers see", "Each server has folded all of the installation.",
              {"{{state}}": f"max by (state) (sum by (instance, state) (streamsched_server_children{{{JOB}}}))",
               "tasks": f"max(sum by (instance) (streamsched_server_tasks{{{JOB}}}))"}),
        Panel("Slots that servers ask for", "For five minutes; and the work that is left, in hours.",
              {"desired": f"max(streamsched_server_desired_slots{{{JOB}}})",
               "hours": f"max(streamsched_server_remaining_work_seconds{{{JOB}}}) / 3600"}),
    ],
}  # fmt: skip


def document() -> dict[str, Any]:
    """Make the dashboard."""
    return {
        "uid": "streamsched",
        "title": "streamsched",
        "tags": ["streamsched"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [_datasource(), _job()]},
        "panels": _panels(),
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source", "current": {},
        "hide": 0,
    }  # fmt: skip


def _job() -> dict[str, Any]:
    return {
        "name": "job", "type": "query", "label": "Job", "datasource": SOURCE, "definition": JOBS,
        "query": {"query": JOBS, "refId": "job"}, "includeAll": True, "multi": True, "allValue": ".*",
        "current": {"text": "All", "value": "$__all"}, "refresh": 2, "sort": 1, "hide": 0,
    }  # fmt: skip


def _panels() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for title, panels in ROWS.items():
        place = {"x": 0, "y": top, "w": 3 * WIDTH, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place})
        top += 1
        for number, panel in enumerate(panels):
            left, down = WIDTH * (number % 3), HEIGHT * (number // 3)
            place = {"x": left, "y": top + down, "w": WIDTH, "h": HEIGHT}
            made.append({"id": len(made) + 1, **_panel(panel), "gridPos": place})
        top += HEIGHT * -(-len(panels) // 3)
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    custom: dict[str, Any] = {"lineWidth": 1, "showPoints": "never", "fillOpacity": 20 if panel.stacked else 5}
    if panel.stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"datasource": SOURCE, "expr": query, "legendFormat": legend, "refId": "ABCDEF"[number]}
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(document(), indent=2) + "\n"


def main() -> int:
    """Rewrite the file."""
    DASHBOARD.parent.mkdir(parents=True, exist_ok=True)
    DASHBOARD.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
