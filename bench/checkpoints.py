"""Checkpoints: how many calls handlers get through, and how many become durable."""

from __future__ import annotations

from collections.abc import Iterator

from bench.cluster import Bench, Site
from bench.figures import Figures
from streamsched.api.client import Client
from streamsched.domain.events import ChildCheckpointed


def coalesced(bench: Bench) -> Iterator[Figures]:
    """Let two handlers take checkpoints without ever waiting, at a worker as it comes."""
    with bench.site() as site, site.client() as client:
        for _ in range(bench.repeats):
            yield _rates(site, client, children=2, seconds=2 if bench.quick else 5)


def every_10_ms(bench: Bench) -> Iterator[Figures]:
    """Let 16 handlers take one each 10 ms, at a worker that makes each that it hears of durable."""
    with bench.site(slots=16, options=("--checkpoint-interval", "0")) as site, site.client() as client:
        for _ in range(bench.repeats):
            yield _rates(site, client, children=16, seconds=2 if bench.quick else 5, pause=0.01)


def durable(bench: Bench) -> Iterator[Figures]:
    """Let two handlers take one after the other, each waiting until it is durable."""
    with bench.site(options=("--checkpoint-interval", "0")) as site, site.client() as client:
        for _ in range(bench.repeats):
            rates = _rates(site, client, children=2, seconds=2 if bench.quick else 5, wait=True)
            yield {**rates, "wait_ms": 2000 / rates["taken_per_s"]}


def _rates(site: Site, client: Client, **params: object) -> Figures:
    task_id = site.run(client, "checkpoints.yaml", **params).task_id
    results = [child.result for child in client.results(task_id)]
    written = sum(isinstance(event, ChildCheckpointed) for _, event in client.history(task_id))
    seconds = max(result["seconds"] for result in results)
    return {
        "taken_per_s": sum(result["calls"] for result in results) / seconds,
        "durable_per_s": written / seconds,
    }
