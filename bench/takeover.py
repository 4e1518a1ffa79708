"""From the moment when a scheduler is lost until another one dispatches in its place, with a long history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil

from bench.cluster import TEMPLATES, Bench, BenchError, Node, Site
from bench.figures import Figures
from bench.recovery import kill_tree
from streamsched.api.client import Client
from streamsched.api.wiring import Installation
from streamsched.domain.ids import partition_of

TASKS: Final = 16
LIMIT: Final = 60.0
LOOKS: Final = 300
STAND_BY: Final = 300.0
"""Seconds that a new scheduler has to fold the whole journal."""


def takeover(bench: Bench, events: int = 1_000_000) -> Iterator[Figures]:
    """Kill one of two schedulers with its parent, and see when a child of a task in each of its partitions runs."""
    children = (events // 50 if bench.quick else events) // TASKS
    with bench.site(workers=1, slots=4) as site, site.client() as client:
        tasks = [client.submit(TEMPLATES / "noop.yaml", {"children": children}).task_id for _ in range(TASKS)]
        for task_id in tasks:
            client.wait(task_id, 900.0)
        schedulers = [node for node in site.nodes if node.role == "scheduler"]
        schedulers.append(_stand_by(site))
        there = _events(site)
        for repetition in range(bench.repeats):
            victim = schedulers.pop(0)
            folder = site.folder / f"takeover-{repetition}"
            folder.mkdir()
            begun = time.monotonic()
            kill_tree(victim)
            site.nodes.remove(victim)
            began = sorted(_begun(site, client, folder).values())
            yield {
                "first_ms": 1000 * (began[0] - begun),
                "all_ms": 1000 * (began[-1] - begun),
                "events": there,
            }
            schedulers.append(_stand_by(site))


def _begun(site: Site, client: Client, folder: Path) -> dict[str, float]:
    """Submit a task to each partition of the journal; tells when the child of each began."""
    with closing(Installation(site.settings).discover()) as here:
        partitions = here.topics.event_partitions
    wanted = dict.fromkeys(range(partitions), "")
    number = 0
    while not all(wanted.values()):
        task_id = f"{folder.name}-{number}"
        number += 1
        wanted[partition_of(task_id, partitions)] = task_id
    for task_id in wanted.values():
        (folder / task_id).mkdir()
        params = {"children": 1, "seconds": 0, "folder": str(folder / task_id)}
        client.submit(TEMPLATES / "stay.yaml", params, task_id=task_id)
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        files = {task_id: folder / task_id / "0" for task_id in wanted.values()}
        lines = {task_id: file.read_text() for task_id, file in files.items() if file.exists()}
        if len(lines) == partitions and all("\n" in text for text in lines.values()):
            return {task_id: float(text.split()[1]) for task_id, text in lines.items()}
        time.sleep(0.005)
    raise BenchError(f"of {partitions} tasks only {len(lines)} began in {LIMIT:.0f} s")


def _stand_by(site: Site) -> Node:
    """Start a scheduler and wait until it has folded the journal, and rests."""
    node = site.start("scheduler")
    node.await_ready()
    limit = time.monotonic() + STAND_BY
    process = node.tree()[1]
    while time.monotonic() < limit:
        # Not the time that it gets: on a busy machine that is little though it has much to do.
        runs = 0
        for _ in range(LOOKS):
            time.sleep(0.01)
            runs += process.status() == psutil.STATUS_RUNNING
        if runs < LOOKS / 10:
            return node
    raise BenchError(f"the standby did not come to rest in {STAND_BY:.0f} s")


def _events(site: Site) -> int:
    with closing(Installation(site.settings).discover()) as here:
        return sum(here.log.end(here.topics.journal()).values())
