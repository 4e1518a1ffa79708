"""How long a task of one child takes: one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.cluster import Bench
from bench.figures import Figures, percentile

WARM: Final = 1_500
"""Tasks until the broker's code is compiled: before, one commit in fifty takes 20 ms and more. ``cold`` measures it."""


def single(bench: Bench) -> Iterator[Figures]:
    """Submit tasks of one child one after the other; the time is from submit to the end that the client sees."""
    tasks, before = (100, 0) if bench.quick else (1_000, WARM)
    with bench.site() as site, site.client() as client:
        for _ in range(before):
            site.run(client, "noop.yaml", children=1)
        for _ in range(bench.repeats):
            took = [1000 * site.run(client, "noop.yaml", children=1).seconds for _ in range(tasks)]
            yield {"p50_ms": percentile(took, 0.5), "p99_ms": percentile(took, 0.99), "max_ms": max(took)}
