"""From the moment when a worker is lost, or told to go, until its children run at another."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from bench.cluster import TEMPLATES, Bench, BenchError, Node, Site
from bench.figures import Figures
from streamsched.api.client import Client

CHILDREN: Final = 4
STAY: Final = 90.0
LIMIT: Final = 60.0
Starts = dict[int, list[tuple[float, int]]]
"""For each child when, and in which process, its attempts began."""


def kill_node(worker: Node) -> None:
    """Kill the node; its parent, which lives on, is the one to notice."""
    worker.tree()[1].kill()


def kill_tree(worker: Node) -> None:
    """Kill the parent, the node and the executors: a scheduler has to notice."""
    for process in worker.tree():
        with suppress(psutil.NoSuchProcess):
            process.kill()


def drain(worker: Node) -> None:
    """Ask the worker to go."""
    worker.process.send_signal(signal.SIGTERM)


STRIKES: Final[dict[str, Callable[[Node], None]]] = {
    "node_killed": kill_node,
    "tree_killed": kill_tree,
    "drained": drain,
}


def recovery(bench: Bench) -> Iterator[Figures]:
    """Strike one of two workers that have children running, and see when the other has begun them again."""
    with bench.site(workers=2, slots=CHILDREN) as site, site.client() as client:
        for repetition in range(bench.repeats):
            figures: dict[str, float] = {}
            for name, strike in STRIKES.items():
                folder = site.folder / f"{name}-{repetition}"
                folder.mkdir()
                struck = _strike(site, client, folder, strike)
                figures |= {f"{name}_{figure}": value for figure, value in struck.items()}
                site.start("worker", "--slots", str(CHILDREN), "--allow", "bench").await_ready()
                site.warm_up(client, 2 * CHILDREN)
            yield figures


def _strike(site: Site, client: Client, folder: Path, strike: Callable[[Node], None]) -> Figures:
    params = {"children": CHILDREN, "seconds": STAY, "folder": str(folder)}
    task = client.submit(TEMPLATES / "stay.yaml", params)
    starts = _until(folder, lambda starts: len(starts) == CHILDREN)
    victim, lost = _choose(site, starts)
    begun = time.monotonic()
    strike(victim)
    starts = _until(folder, lambda starts: all(len(starts[child]) > 1 for child in lost))
    again = [starts[child][1][0] - begun for child in lost]
    victim.process.wait(LIMIT)
    client.cancel(task.task_id)
    client.wait(task.task_id, LIMIT)
    site.nodes.remove(victim)
    return {"first_ms": 1000 * min(again), "all_ms": 1000 * max(again), "children": len(lost)}


def _choose(site: Site, starts: Starts) -> tuple[Node, list[int]]:
    """Find the worker that runs the most of these children, and which they are."""
    found = []
    for node in site.nodes:
        pids = {process.pid for process in node.tree()}
        found.append((node, [child for child, attempts in starts.items() if attempts[0][1] in pids]))
    return max(found, key=lambda pair: len(pair[1]))


def _until(folder: Path, enough: Callable[[Starts], bool]) -> Starts:
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        starts: Starts = {}
        for path in folder.iterdir():
            lines = [line.split() for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            if lines:
                starts[int(path.name)] = [(float(at), int(pid)) for at, pid in lines]
        if enough(starts):
            return starts
        time.sleep(0.005)
    raise BenchError(f"the children did not begin in {LIMIT:.0f} s: {starts}")
