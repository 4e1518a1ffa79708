"""What real nodes cost on a real broker stays within its bounds: wake-ups without a task, transactions with one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest

from bench.cluster import Site
from bench.resources import SETTLE, wakes
from bench.sampling import node_roles
from streamsched.installation.site import Installation
from tests.guard.bounds import BATCHES, WAKES, check
from tests.guard.costs import CHILDREN
from tests.support.brokers import broker
from tests.support.evidence import read_topic
from tests.support.needs import LINUX

pytestmark = pytest.mark.kafka
IDLE: Final = 6.0
"""Seconds that nodes without a task are looked at."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    opened = Site(broker().address, tmp_path_factory.mktemp("nodes") / "guard")
    with closing(Installation(opened.settings)) as installation:
        installation.create_topics()
    try:
        opened.start("scheduler")
        opened.start("worker", "--slots", "2", "--allow", "streamsched.examples.*")
        for node in opened.nodes:
            node.await_ready()
        yield opened
    finally:
        opened.stop()


@pytest.fixture(scope="module")
def woken(site: Site) -> dict[str, float]:
    """Count how often the threads of each role are woken in a second without a task."""
    time.sleep(SETTLE)
    before, begun = wakes(node_roles(site)), time.monotonic()
    time.sleep(IDLE)
    after, seconds = wakes(node_roles(site)), time.monotonic() - begun
    return {f"wakes a second: {role}": (number - before[role]) / seconds for role, number in after.items()}


@LINUX
@pytest.mark.parametrize("figure", WAKES)
def test_nodes_without_a_task(woken: dict[str, float], figure: str) -> None:
    check(figure, WAKES[figure], woken[figure])


def test_transactions_of_a_task(site: Site) -> None:
    """Each one leaves an offset of the journal without a record: its marker."""
    with site.client() as client:
        site.run(client, "noop.yaml", children=CHILDREN)
    with closing(Installation(site.settings).discover()) as installation:
        ends = installation.log.end(installation.topics.journal())
    journal = read_topic(site.settings.brokers, f"{site.settings.prefix}.events")
    check("transactions", BATCHES["transactions"], sum(ends.values()) - len(journal))
