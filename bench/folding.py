"""How fast a view is rebuilt from history."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.cluster import Bench
from bench.figures import Figures


def fold(bench: Bench) -> Iterator[Figures]:
    """Run one task, then fold all events that there are into new views."""
    children = 10_000 if bench.quick else 1_000_000
    with bench.site() as site, site.client() as client:
        site.run(client, "noop.yaml", children=children)
        for repetition in range(bench.repeats):
            begun = time.perf_counter()
            events = client.rebuild(site.folder / f"rebuilt-{repetition}", None)
            yield {"events_per_s": events / (time.perf_counter() - begun), "events": events}
