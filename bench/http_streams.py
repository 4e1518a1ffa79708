"""What readers of a task's stream cost a server: none, one, and two hundred, while the task's children run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import psutil

from bench.cluster import READY_LIMIT, TEMPLATES, Bench, BenchError
from bench.figures import Figures
from bench.http_server import BUSY_CHILDREN, serving, until_running
from tools.broker import ROOT

READERS: Final = (0, 1, 200)


def http_streams(bench: Bench) -> Iterator[Figures]:
    """Have so many readers follow one task that runs."""
    seconds = 5.0 if bench.quick else 20.0
    with bench.site() as site, site.client() as client, serving(site) as (server, port):
        for _ in range(bench.repeats):
            task = client.submit(TEMPLATES / "noop.yaml", {"children": BUSY_CHILDREN}).task_id
            until_running(port, task)
            before, begun = client.status(task).children.succeeded, time.monotonic()
            figures: dict[str, float] = {}
            for readers in READERS:
                figures |= _read(f"readers_{readers}", server, port, readers, seconds, f"/v1/tasks/{task}/events")
            done = client.status(task).children.succeeded - before
            figures["children_per_s"] = done / (time.monotonic() - begun)
            client.cancel(task, kill=True)
            client.wait(task, READY_LIMIT)
            yield figures


def _read(name: str, server: psutil.Process, port: int, readers: int, seconds: float, path: str) -> dict[str, float]:
    """Have readers read; returns what the server used meanwhile, and how many messages each reader had."""
    command = [sys.executable, "-m", "bench.http_readers", *map(str, (port, readers, seconds, path))]
    times, begun = server.cpu_times(), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    spent, lasted = server.cpu_times(), time.monotonic() - begun
    if done.returncode:
        raise BenchError(f"the readers failed: {done.stderr[-500:]}")
    told: dict[str, float] = json.loads(done.stdout)
    if told["cut_off"]:
        raise BenchError(f"{told['cut_off']} of {readers} readers were cut off")
    figures = {f"{name}_server_cpu_pct": 100 * (spent.user + spent.system - times.user - times.system) / lasted}
    if readers:
        figures[f"{name}_messages_per_s"] = told["messages"] / readers / told["seconds"]
        figures[f"{name}_least_messages_per_s"] = told["least"] / told["seconds"]
        figures[f"{name}_message_bytes"] = told["bytes"] / max(1, told["messages"])
    return figures | {"server_rss_mb": server.memory_info().rss / 1e6}
