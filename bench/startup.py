"""How long commands take from the shell's point of view, and until nodes are ready."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Final

from bench.cluster import TEMPLATES, Bench, BenchError, Site
from bench.figures import Figures
from tools.broker import ROOT

LIMIT: Final = 60.0


def startup(bench: Bench) -> Iterator[Figures]:
    """Run ``submit`` and ``status`` some times, then start a node of each kind; medians in each repetition."""
    times = 3 if bench.quick else 10
    template = str(TEMPLATES / "noop.yaml")
    with bench.site() as site, site.client() as client:
        for _ in range(bench.repeats):
            task = client.submit(template, {"children": 1})
            client.wait(task.task_id, LIMIT)
            figures: dict[str, float] = {}
            for command in (["submit", template, "-p", "children=1"], ["status", task.task_id]):
                took = [_command(site, command) for _ in range(times)]
                figures[f"{command[0]}_ms"] = median(whole for whole, _ in took)
                figures[f"{command[0]}_own_ms"] = median(whole - broker for whole, broker in took)
            for role in ("scheduler", "worker"):
                figures[f"{role}_ready_ms"] = _node(site, role)
            yield figures


def _command(site: Site, command: list[str]) -> tuple[float, float]:
    """Return the milliseconds that a command took, and those of them that it waited for the broker."""
    file = site.folder / "waited"
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench.launch", str(file), *command],
        cwd=ROOT,
        env=site.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    whole = time.perf_counter() - begun
    if done.returncode != 0:
        raise BenchError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return 1000 * whole, 1000 * float(file.read_text())


def _node(site: Site, role: str) -> float:
    begun = time.perf_counter()
    node = site.start(role)
    node.await_ready()
    took = time.perf_counter() - begun
    site.nodes.remove(node)
    node.stop()
    return 1000 * took
