"""The first minutes: a broker and an installation that have done nothing yet, as users meet them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench import limit
from bench.cluster import Bench
from bench.figures import Figures, percentile

TASKS: Final = 200
FAN_OUTS: Final = (1_000, 10_000, 100_000)


def cold(bench: Bench) -> Iterator[Figures]:
    """Submit the first tasks of one child, then the first larger ones; the bare protocol on another new broker."""
    for _ in range(bench.repeats):
        fan_outs = FAN_OUTS[:-1] if bench.quick else FAN_OUTS
        with bench.new_broker() as broker, bench.new_site(broker.address) as site, site.client() as client:
            took = [1000 * site.run(client, "noop.yaml", children=1).seconds for _ in range(TASKS)]
            figures = {
                "first_ms": took[0],
                "p50_ms": percentile(took, 0.5),
                "p99_ms": percentile(took, 0.99),
                "max_ms": max(took),
            }
            for children in fan_outs:
                seconds = site.run(client, "noop.yaml", children=children).seconds
                figures[f"noop_{children}_children_per_s"] = children / seconds
        with bench.new_broker() as broker:
            for children in fan_outs:
                figures[f"limit_{children}_children_per_s"] = limit.children_per_s(broker.address, children)
        yield figures
