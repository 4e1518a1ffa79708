"""Whom the slots go to: small tasks behind a large one, and two tenants of different weights."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import yaml

from bench.cluster import TASK_LIMIT, TEMPLATES, Bench
from bench.figures import Figures, percentile
from streamsched.client import Client

SLOTS: Final = 8
SETTLE: Final = 10.0
"""Seconds until both tenants are measured by their lengths and fill their parts of the slots."""
SHORT, MIDDLE, LONG = 0.010, 0.050, 3.0
"""How long children sleep, in seconds."""
LENGTHS: Final = {
    "equal": (MIDDLE, MIDDLE),
    "light_short": (SHORT, LONG),
    "light_long": (LONG, SHORT),
}
"""For each figure the length of the children of the tenant of weight 1, and of the one of weight 3."""
CHILDREN: Final = 60_000
"""More than any tenant gets done."""


def fairness(bench: Bench) -> Iterator[Figures]:
    """Measure both; the tenant of weight 1 is the light one."""
    for _ in range(bench.repeats):
        yield {**behind_a_large_task(bench), **tenants(bench)}


def behind_a_large_task(bench: Bench) -> Figures:
    """Submit tasks of one child, one after the other, while a large task runs; the time is from submit to its start."""
    tasks, children = (20, 100_000) if bench.quick else (100, 1_000_000)
    with bench.site() as site, site.client() as client:
        large = client.submit(TEMPLATES / "noop.yaml", {"children": children})
        while client.status(large.task_id).children.succeeded < children // 100:
            time.sleep(0.05)
        waited = []
        for _ in range(tasks):
            begun = datetime.now(UTC)
            small = site.run(client, "noop.yaml", children=1)
            (child,) = client.children(small.task_id)
            assert child.started_at is not None
            waited.append((child.started_at - begun) / timedelta(milliseconds=1))
        left = client.status(large.task_id).children.waiting
        _cancel(client, large.task_id)
    return {
        "small_start_p50_ms": percentile(waited, 0.5),
        "small_start_p99_ms": percentile(waited, 0.99),
        "large_left_pct": 100 * left / children,
    }


def tenants(bench: Bench) -> Figures:
    """Have two tenants compete for the slots of one worker, with children of equal and of different lengths."""
    window = 15.0 if bench.quick else 60.0
    figures = {}
    with bench.site(slots=SLOTS) as site, site.client() as client:
        for name, lengths in LENGTHS.items():
            light, heavy = _slots(client, lengths, window)
            figures[f"{name}_light_pct"] = 100 * light / (light + heavy)
            figures[f"{name}_light_slots"] = light
            figures[f"{name}_heavy_slots"] = heavy
    return figures


def _slots(client: Client, lengths: tuple[float, float], window: float) -> tuple[float, float]:
    """Return how many slots ran children of each tenant, on average."""
    tasks = [
        client.submit(_weighted(weight), {"children": CHILDREN, "seconds": seconds, "tenant": f"weight-{weight}"})
        for weight, seconds in zip((1, 3), lengths, strict=True)
    ]
    time.sleep(SETTLE)
    begin = datetime.now(UTC)
    time.sleep(window)
    end = datetime.now(UTC)
    time.sleep(2 * LONG)  # what ran at the end of the window has an end of its own then
    for task in tasks:
        _cancel(client, task.task_id)
    light, heavy = (_slot_seconds(client, task.task_id, begin, end) / window for task in tasks)
    return light, heavy


def _weighted(weight: int) -> Mapping[str, Any]:
    template: dict[str, Any] = yaml.safe_load((TEMPLATES / "tenant.yaml").read_text())
    return {**template, "fairness": {**template["fairness"], "weight": weight}}


def _slot_seconds(client: Client, task_id: str, begin: datetime, end: datetime) -> float:
    """Sum up how long children of the task ran in this window."""
    seconds = 0.0
    for state in ("succeeded", "cancelled"):
        for child in client.children(task_id, state):
            if child.started_at is not None and child.finished_at is not None:
                inside = min(child.finished_at, end) - max(child.started_at, begin)
                seconds += max(0.0, inside.total_seconds())
    return seconds


def _cancel(client: Client, task_id: str) -> None:
    client.cancel(task_id)
    client.wait(task_id, TASK_LIMIT)
