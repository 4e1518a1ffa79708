"""From the moment when a worker is lost, or told to go, until its children run at another."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from bench.cluster import ALLOW, TEMPLATES, Bench, BenchError, Node, Site
from bench.figures import Figures, percentile
from streamsched.client import Client

CHILDREN: Final = 4
STAY: Final = 90.0
SLOW: Final = 5.0
"""Seconds between the checkpoints of the one child that the others must not wait for."""
LIMIT: Final = 60.0
LOG_TIME: Final = "%Y-%m-%d %H:%M:%S,%f"
"""How a line of a node's log begins."""


class Attempt(NamedTuple):
    """When and in which process an attempt began, and when it stopped by itself (0: it did not)."""

    began: float
    pid: int
    stopped: float = 0.0


Attempts = dict[int, list[Attempt]]
"""All attempts of each child."""


def kill_node(worker: Node) -> None:
    """Kill the node; its parent, which lives on, is the one to notice."""
    worker.tree()[1].kill()


def kill_tree(node: Node) -> None:
    """Kill the parent, the node and the executors: a scheduler has to notice."""
    for process in node.tree():
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


def recovery(bench: Bench, *, busy: bool = False) -> Iterator[Figures]:
    """Strike one of two workers that have children running, and see when the other has begun them again.

    ``busy``: the children wait for one durable checkpoint after the other, so that the worker is nearly always in the
    middle of a transaction.
    """
    options = ("--checkpoint-interval", "0") if busy else ()
    params = {"every": 0.0, "wait": True} if busy else {}
    with bench.site(workers=2, slots=CHILDREN, options=options) as site, site.client() as client:
        for repetition in range(bench.repeats):
            figures: dict[str, float] = {}
            for name, strike in STRIKES.items():
                folder = site.folder / f"{name}-{repetition}"
                attempts, lost, begun = _strike(site, client, folder, strike, **params)
                again = [attempts[child][1].began - begun for child in lost]
                figures |= {f"{name}_first_ms": 1000 * min(again), f"{name}_all_ms": 1000 * max(again)}
                figures[f"{name}_children"] = len(lost)
                if strike is kill_tree:
                    figures |= _phases(site, begun, max(again), f"{name}_")
                site.start("worker", "--slots", str(CHILDREN), *ALLOW, *options).await_ready()
                site.warm_up(client, 2 * CHILDREN)
            yield figures


def two_killed(bench: Bench) -> Iterator[Figures]:
    """Kill one of two workers and one of two schedulers at once, each with its parent, as when a machine goes."""
    with bench.site(workers=2, slots=CHILDREN) as site, site.client() as client:
        site.start("scheduler").await_ready()
        for repetition in range(bench.repeats):
            scheduler = next(node for node in site.nodes if node.role == "scheduler")

            def strike(worker: Node, scheduler: Node = scheduler) -> None:
                kill_tree(worker)
                kill_tree(scheduler)
                site.nodes.remove(scheduler)

            attempts, lost, begun = _strike(site, client, site.folder / f"two-{repetition}", strike)
            again = [attempts[child][1].began - begun for child in lost]
            yield {
                "first_ms": 1000 * min(again), "all_ms": 1000 * max(again), **_phases(site, begun, max(again))
            }  # fmt: skip
            site.start("scheduler").await_ready()
            site.start("worker", "--slots", str(CHILDREN), *ALLOW).await_ready()
            site.warm_up(client, 2 * CHILDREN)


def _phases(site: Site, begun: float, again: float, prefix: str = "") -> Figures:
    """Return when the last eviction since ``begun`` was done, by the schedulers' logs, and the rest of the time."""
    struck = time.time() - (time.monotonic() - begun)
    lines = [line for node in site.nodes if node.role == "scheduler" for line in node.said().splitlines()]
    done = [datetime.strptime(line[:23], LOG_TIME).timestamp() for line in lines if ": evicted " in line]  # noqa: DTZ007
    last = max([at - struck for at in done if at > struck], default=0.0)
    return {f"{prefix}evicted_ms": 1000 * last, f"{prefix}after_eviction_ms": 1000 * (again - last)} if last else {}


def hand_over(bench: Bench) -> Iterator[Figures]:
    """Drain one of two workers; for each child the time from the checkpoint at which it stopped until it runs again.

    One child comes to its next checkpoint seconds after the others.
    """
    with bench.site(workers=2, slots=CHILDREN) as site, site.client() as client:
        for repetition in range(bench.repeats):
            folder = site.folder / f"hand-over-{repetition}"
            attempts, lost, begun = _strike(site, client, folder, drain, every=0.2, slow=SLOW)
            took = {child: attempts[child][1].began - attempts[child][0].stopped for child in lost}
            quick = [attempts[child][1].began - begun for child in lost if child]
            yield {
                "from_checkpoint_p50_ms": 1000 * percentile(list(took.values()), 0.5),
                "from_checkpoint_max_ms": 1000 * max(took.values()),
                "from_signal_but_slowest_ms": 1000 * max(quick),
                "children": len(lost),
            }
            site.start("worker", "--slots", str(CHILDREN), *ALLOW).await_ready()
            site.warm_up(client, 2 * CHILDREN)


def _strike(
    site: Site, client: Client, folder: Path, strike: Callable[[Node], None], **params: object
) -> tuple[Attempts, list[int], float]:
    """Have children run, strike a worker, and wait until those it had run again; tells which, and when it was."""
    folder.mkdir()
    given = {"children": CHILDREN, "seconds": STAY, "folder": str(folder), **params}
    task = client.submit(TEMPLATES / "stay.yaml", given)
    attempts = _until(folder, lambda attempts: len(attempts) == CHILDREN)
    victim, lost = _choose(site, attempts)
    begun = time.monotonic()
    strike(victim)
    attempts = _until(folder, lambda attempts: all(len(attempts[child]) > 1 for child in lost))
    victim.process.wait(LIMIT)
    client.cancel(task.task_id)
    client.wait(task.task_id, LIMIT)
    site.nodes.remove(victim)
    return attempts, lost, begun


def _choose(site: Site, attempts: Attempts) -> tuple[Node, list[int]]:
    """Find the worker that runs the most of these children, and which they are."""
    found = []
    for node in site.nodes:
        pids = {process.pid for process in node.tree()}
        found.append((node, [child for child, made in attempts.items() if made[0].pid in pids]))
    return max(found, key=lambda pair: len(pair[1]))


def _until(folder: Path, enough: Callable[[Attempts], bool]) -> Attempts:
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        attempts = {int(path.name): _attempts(path) for path in folder.iterdir()}
        attempts = {child: made for child, made in attempts.items() if made}
        if enough(attempts):
            return attempts
        time.sleep(0.005)
    raise BenchError(f"the children did not begin in {LIMIT:.0f} s: {attempts}")


def _attempts(path: Path) -> list[Attempt]:
    made: list[Attempt] = []
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            what, at, pid = line.split()
            if what == "began":
                made.append(Attempt(float(at), int(pid)))
            else:
                made = [a._replace(stopped=float(at)) if a.pid == int(pid) and not a.stopped else a for a in made]
    return made
