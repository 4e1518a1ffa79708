"""Checkpoints: how many calls handlers get through, and how many become durable."""

from __future__ import annotations

from collections.abc import Iterator

from bench.cluster import Bench, Site
from bench.figures import Figures
from streamsched.client import Client
from streamsched.domain.events import ChildCheckpointed


def coalesced(bench: Bench) -> Iterator[Figures]:
    """Let two handlers take checkpoints without ever waiting, at a worker as it comes."""
    with bench.site() as site, site.client() as client:
        for _ in range(bench.repeats):
            yield _rates(site, client, children=2, seconds=2 if bench.quick else 5)


def durable(bench: Bench) -> Iterator[Figures]:
    """Make every checkpoint durable that the worker hears of: 16 handlers that take 100 a second, two that wait."""
    seconds = 1 if bench.quick else 5
    with bench.site(slots=16, options=("--checkpoint-interval", "0")) as site, site.client() as client:
        for _ in range(bench.repeats):
            often = _rates(site, client, children=16, seconds=seconds, pause=0.01)
            waiting = _rates(site, client, children=2, seconds=seconds, wait=True)
            yield {
                "every_10ms_taken_per_s": often["taken_per_s"],
                "every_10ms_durable_per_s": often["durable_per_s"],
                "waiting_durable_per_s": waiting["durable_per_s"],
                "waiting_ms": 2 * 1000 / waiting["taken_per_s"],
            }


def _rates(site: Site, client: Client, **params: object) -> Figures:
    task_id = site.run(client, "checkpoints.yaml", **params).task_id
    results = [child.result for child in client.results(task_id)]
    written = sum(isinstance(event, ChildCheckpointed) for _, event in client.history(task_id))
    seconds = max(result["seconds"] for result in results)
    return {
        "taken_per_s": sum(result["calls"] for result in results) / seconds,
        "durable_per_s": written / seconds,
    }
