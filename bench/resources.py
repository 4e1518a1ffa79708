"""What nodes cost that have nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import psutil

from bench.cluster import Bench
from bench.figures import Figures
from bench.sampling import roles, sampled

SETTLE = 2.0
"""Seconds after which a node that was busy has nothing left to tidy up."""


def idle(bench: Bench) -> Iterator[Figures]:
    """Look at one scheduler and one worker without tasks: memory, processor time, and how often they wake."""
    seconds = 6.0 if bench.quick else 30.0
    with bench.site() as site:
        time.sleep(SETTLE)
        for _ in range(bench.repeats):
            before = wakes(roles(bench, site))
            with sampled(bench, site) as samples:
                time.sleep(seconds)
            after = wakes(roles(bench, site))
            woken = {f"{role}_wakes_per_s": (after[role] - before[role]) / samples.seconds for role in after}
            yield {
                name: value
                for name, value in {**samples.memory(), **samples.load(), **woken}.items()
                if not name.startswith("client_")
            }


def wakes(processes: Iterable[tuple[str, psutil.Process]]) -> dict[str, int]:
    """Count how often all threads of each role have been woken so far."""
    found: dict[str, int] = {}
    for role, process in processes:
        for thread in process.threads():
            with suppress(psutil.Error, OSError):
                switches = psutil.Process(thread.id).num_ctx_switches().voluntary
                found[role] = found.get(role, 0) + switches
    return found
