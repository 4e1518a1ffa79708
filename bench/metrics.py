"""What metrics cost: the same task on nodes with a port that is scraped each second, and on nodes without one."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from http.client import HTTPConnection, HTTPException
from typing import Final

from bench.cluster import Bench, BenchError, Site
from bench.figures import Figures

EVERY_S: Final = 1.0
"""Between two scrapes of a node."""
PORT: Final = {"STREAMSCHED_HTTP_PORT": "0"}
"""What nodes are started with that tell their metrics at a port of their own."""
_PLACE: Final = re.compile(r"metrics at http://127\.0\.0\.1:(\d+)")


def metrics(bench: Bench) -> Iterator[Figures]:
    """Run one task on each kind of nodes, in turn, on the same broker."""
    children = 20_000 if bench.quick else 200_000
    for repetition in range(bench.repeats):
        names = ("plain", "scraped") if repetition % 2 == 0 else ("scraped", "plain")
        rates = {name: _rate(bench, children, scraped=name == "scraped") for name in names}
        yield {
            **{f"{name}_children_per_s": rate for name, rate in rates.items()},
            "scraped_of_plain_pct": 100 * rates["scraped"] / rates["plain"],
        }


def _rate(bench: Bench, children: int, *, scraped: bool) -> float:
    address = bench.broker.address
    with bench.new_site(address, environment=PORT if scraped else None) as site, site.client() as client:
        site.warm_up(client, 2)
        with scraping(site) if scraped else nullcontext():
            return children / site.run(client, "noop.yaml", children=children).seconds


@contextmanager
def scraping(site: Site) -> Iterator[None]:
    """Ask each node for its metrics, again and again."""
    found = [_PLACE.search(node.said()) for node in site.nodes]
    ports = [int(place[1]) for place in found if place is not None]
    if len(ports) != len(site.nodes):
        raise BenchError("a node does not say where its metrics are")
    done = threading.Event()
    failed: list[str] = []

    def scrape() -> None:
        while not done.wait(EVERY_S):
            for port in ports:
                try:
                    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                        connection.request("GET", "/metrics")
                        answer = connection.getresponse()
                        if answer.status != 200 or b"streamsched_build_info" not in answer.read():
                            failed.append(str(answer.status))
                except (OSError, HTTPException) as error:
                    failed.append(repr(error))

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if failed:
        raise BenchError(f"metrics were not answered: {failed[:5]}")
