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
from streamsched.commands.request import make_request, record_of, want
from streamsched.domain.events import TaskRequested
from streamsched.installation.site import Installation

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
            began = _begun(site, folder)
            yield {
                "first_ms": 1000 * (began[0] - begun),
                "all_ms": 1000 * (began[-1] - begun),
                "events": there,
            }
            schedulers.append(_stand_by(site))


def _begun(site: Site, folder: Path) -> list[float]:
    """Request a task in each partition of the journal; tells when the child of each began, in order.

    Under ids of our own making: for one that is given, submit would read its whole partition.
    """
    with closing(Installation(site.settings).discover()) as here:
        me = here.identity("client", "bench")
        wanted: dict[int, TaskRequested] = {}
        while len(wanted) < here.topics.event_partitions:
            inside = folder / str(len(wanted))
            inside.mkdir(exist_ok=True)
            params = {"children": 1, "seconds": 0, "folder": str(inside)}
            request = make_request(me, want(TEMPLATES / "stay.yaml", params), "submit")
            wanted.setdefault(here.topics.journal_of(request.task_id).partition, request)
        here.log.append([record_of(here, request, request.task_id, None) for request in wanted.values()])
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        texts = [path.read_text() for path in folder.glob("*/0")]
        if len(texts) == len(wanted) and all("\n" in text for text in texts):
            return sorted(float(text.split()[1]) for text in texts)
        time.sleep(0.005)
    raise BenchError(f"of {len(wanted)} tasks only {len(texts)} began in {LIMIT:.0f} s")


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
