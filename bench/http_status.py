"""A hundred clients that ask a server for the status of tasks, while nothing runs and while children do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import psutil

from bench.again import written_again
from bench.cluster import READY_LIMIT, TEMPLATES, Bench, BenchError, Site
from bench.figures import Figures, percentile
from bench.http_server import BUSY_CHILDREN, answer, serving, until_running
from tools.broker import ROOT

CLIENTS: Final = 100
PAUSE_S: Final = 0.2
"""Between two requests of a client: 500 a second together, less the time of the answers."""
ELSEWHERE_PER_S: Final = 20_000
"""Children a second of nodes on other machines."""
LEAD_S: Final = 10.0
"""Seconds of the copy beyond those that are measured."""


def http_status(bench: Bench) -> Iterator[Figures]:
    """Ask for the status of a task that has ended and of one that runs: in peace, under load, and without a pause."""
    seconds = 5.0 if bench.quick else 20.0
    with bench.site() as site, site.client() as client, serving(site) as (server, port):
        ended = site.run(client, "noop.yaml", children=100).task_id
        for _ in range(bench.repeats):
            figures = _asked("idle", server, port, seconds, PAUSE_S, [ended])
            figures |= _asked("flat_out", server, port, seconds, 0.0, [ended])
            big = client.submit(TEMPLATES / "noop.yaml", {"children": BUSY_CHILDREN}).task_id
            until_running(port, big)
            figures |= _asked_while_running(server, port, seconds, [big, ended])
            client.cancel(big, kill=True)
            client.wait(big, READY_LIMIT)
            yield figures


def http_status_elsewhere(bench: Bench) -> Iterator[Figures]:
    """Ask for the status of a task whose children run on other machines: its events are copied at a fixed pace."""
    seconds = 5.0 if bench.quick else 20.0
    children = int(ELSEWHERE_PER_S * (seconds + LEAD_S))
    with bench.site() as source, source.client() as client:
        task = source.run(client, "noop.yaml", children=children).task_id
    for _ in range(bench.repeats):
        with (
            bench.empty_site(bench.broker.address) as site,
            serving(site) as (server, port),
            written_again(source, site, task, children, ELSEWHERE_PER_S),
        ):
            until_running(port, task)
            yield _asked_while_running(server, port, seconds, [task])


def http_status_embedded(bench: Bench) -> Iterator[Figures]:
    """Ask for the status of the task of a ``run`` on the embedded log, at a server beside it."""
    seconds = 5.0 if bench.quick else 20.0
    for repetition in range(bench.repeats):
        site = Site("", bench.folder / f"http-status-{repetition}")
        try:
            run = site.start("run", str(TEMPLATES / "noop.yaml"), "--param", f"children={BUSY_CHILDREN}")
            run.await_said(b"running: ")
            with serving(site) as (server, port):
                (task,) = answer(port, "/v1/tasks")["items"]
                until_running(port, task["task_id"])
                yield _asked_while_running(server, port, seconds, [task["task_id"]])
        finally:
            site.stop()


def _asked_while_running(server: psutil.Process, port: int, seconds: float, tasks: list[str]) -> dict[str, float]:
    """Have the clients ask; the first of the tasks runs meanwhile, and it counts how fast."""
    address = f"/v1/tasks/{tasks[0]}"
    before, begun = answer(port, address)["children"]["succeeded"], time.monotonic()
    figures = _asked("busy", server, port, seconds, PAUSE_S, tasks)
    done = answer(port, address)["children"]["succeeded"] - before
    return figures | {"busy_children_per_s": done / (time.monotonic() - begun)}


def _asked(
    name: str, server: psutil.Process, port: int, seconds: float, pause: float, tasks: list[str]
) -> dict[str, float]:
    """Have the clients ask; returns how long answers took, how many there were, and what the server used for it."""
    command = [sys.executable, "-m", "bench.http_clients", *map(str, (port, CLIENTS, seconds, pause))]
    times, begun = server.cpu_times(), time.monotonic()
    done = subprocess.run(
        [*command, *(f"/v1/tasks/{task}" for task in tasks)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"the clients failed: {done.stderr[-500:]}")
    spent, lasted = server.cpu_times(), time.monotonic() - begun
    told: dict[str, Any] = json.loads(done.stdout)
    if told["odd"]:
        raise BenchError(f"the server answered {told['odd']}")
    took = told["took"]
    return {
        f"{name}_p50_ms": 1000 * percentile(took, 0.5),
        f"{name}_p99_ms": 1000 * percentile(took, 0.99),
        f"{name}_requests_per_s": len(took) / told["seconds"],
        f"{name}_server_cpu_pct": 100 * (spent.user + spent.system - times.user - times.system) / lasted,
    }
