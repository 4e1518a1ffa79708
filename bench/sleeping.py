"""Children that sleep, on more and more workers: what the scheduler adds where the machine is not the limit."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

from bench.cluster import Bench
from bench.figures import Figures

WORKERS: Final = (1, 2, 4, 8, 16)
SLOTS: Final = 2
SECONDS: Final = 1.0


def sleeping(bench: Bench) -> Iterator[Figures]:
    """Give each slot as many children of one second, and hold the rate against one worker's and the ideal."""
    rounds = 2 if bench.quick else 10
    of_one = 0.0
    for workers in (1, 4) if bench.quick else WORKERS:
        children = workers * SLOTS * rounds
        rates = []
        with bench.site(workers=workers, slots=SLOTS) as site, site.client() as client:
            for _ in range(bench.repeats):
                done = site.run(client, "sleep.yaml", children=children, seconds=SECONDS)
                rates.append(children / done.seconds)
                of_one = median(rates) if workers == 1 else of_one
                yield {
                    f"workers_{workers}_children_per_s": rates[-1],
                    f"workers_{workers}_of_linear_pct": 100 * rates[-1] / (workers * of_one),
                    f"workers_{workers}_of_ideal_pct": 100 * rates[-1] * SECONDS / (workers * SLOTS),
                }
