"""Memory and processor time of every process of an installation, sampled while something runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import psutil

from bench.cluster import Bench, Site

EVERY: Final = 0.5
MB: Final = 1_000_000


@dataclass(slots=True)
class Samples:
    """For each role the resident memory over time, in bytes, and the processor time spent, in seconds.

    ``busy`` is the processor time of the whole machine.
    """

    seconds: float = 0.0
    busy: float = 0.0
    rss: dict[str, list[int]] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    def memory(self) -> dict[str, float]:
        """Return the largest resident memory of each role."""
        return {f"{role}_rss_mb": max(values) / MB for role, values in self.rss.items()}

    def growth(self) -> dict[str, float]:
        """Return the mean resident memory of each role in the first and in the last tenth of the time."""
        figures = {}
        for role, values in self.rss.items():
            tenth = max(1, len(values) // 10)
            figures[f"{role}_rss_first_tenth_mb"] = sum(values[:tenth]) / tenth / MB
            figures[f"{role}_rss_last_tenth_mb"] = sum(values[-tenth:]) / tenth / MB
        return figures

    def load(self) -> dict[str, float]:
        """Return the share of one core that each role took, in percent; executors together.

        ``others`` is what has nothing to do with the run: with much of it, the figures say little.
        """
        others = max(0.0, self.busy - sum(self.cpu.values()))
        return {
            f"{role}_cpu_pct": 100 * spent / self.seconds for role, spent in (self.cpu | {"others": others}).items()
        }


def roles(bench: Bench, site: Site) -> list[tuple[str, psutil.Process]]:
    """Name every process: the broker, this client, and those of the nodes."""
    return [("broker", psutil.Process(bench.broker.pid)), ("client", psutil.Process(os.getpid())), *node_roles(site)]


def node_roles(site: Site) -> list[tuple[str, psutil.Process]]:
    """Name the processes of the nodes: each one's parent, itself and its executors."""
    return [
        ((f"{node.role}_parent", node.role, "executor")[min(place, 2)], process)
        for node in site.nodes
        for place, process in enumerate(node.tree())
    ]


@contextmanager
def sampled(bench: Bench, site: Site) -> Iterator[Samples]:
    """Sample until the block ends. Of several processes of one role the largest memory counts."""
    samples = Samples()
    processes = roles(bench, site)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(EVERY):
            _take(samples, processes)

    before, busy = _spent(processes), _busy()
    begun = time.monotonic()
    _take(samples, processes)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        done.set()
        watcher.join()
        _take(samples, processes)
        samples.seconds = time.monotonic() - begun
        after = _spent(processes)
        samples.busy = _busy() - busy
        samples.cpu = {role: spent - before.get(role, 0.0) for role, spent in after.items()}


def _take(samples: Samples, processes: list[tuple[str, psutil.Process]]) -> None:
    largest: dict[str, int] = {}
    for role, process in processes:
        with suppress(psutil.Error):
            largest[role] = max(largest.get(role, 0), process.memory_info().rss)
    for role, size in largest.items():
        samples.rss.setdefault(role, []).append(size)


def _spent(processes: list[tuple[str, psutil.Process]]) -> dict[str, float]:
    spent: dict[str, float] = {}
    for role, process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            spent[role] = spent.get(role, 0.0) + times.user + times.system
    return spent


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
