"""Nodes on a real broker, as the outside sees them: what they tell of a task, and alive while the broker is away."""

from __future__ import annotations

import math
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from streamsched.installation.settings import Settings
from tests.support import brokers
from tests.support.http_server import serving
from tests.support.nodes import Nodes, until
from tools.broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
ALLOW = "streamsched.examples.*"
AWAY_S = 6.0
"""The measured outage was longer than a minute; this one shows that no probe asks the broker."""

MARKER = 1
"""Offsets that the end of a transaction takes: a position that was committed before it was read stays before it."""
DECISION = 10
"""Offsets that the last decisions about a task take at most: what they write is behind the position they commit."""


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Broker]:
    own = brokers.start(tmp_path / "broker")
    yield own
    own.stop()


@pytest.fixture
def nodes(away: Broker, tmp_path: Path) -> Iterator[Nodes]:
    opened = Nodes(away.address, tmp_path)
    assert opened.run("topics", "create").returncode == 0
    yield opened
    opened.end()


class Probed:
    """A node with a port of its own."""

    def __init__(self, nodes: Nodes, *arguments: str) -> None:
        self._nodes = nodes
        self._process: subprocess.Popen[bytes] = nodes.start(*arguments, "--http-port", "0")
        until(lambda: "health and metrics at" in nodes.said_by(self._process), 60, nodes.said)
        found = re.search(r"http://[\d.:]+", nodes.said_by(self._process))
        assert found is not None
        self._where = found[0]

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"{self._where}/{path}", timeout=20) as answer:  # noqa: S310 - our own
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def value(self, name: str) -> float:
        """Sum a metric over its labels; not a number before it has a value."""
        lines = re.findall(rf"^{name}(?:{{.*}})? (.*)$", self.ask("metrics")[1], re.MULTILINE)
        return sum(map(float, lines)) if lines else math.nan


def surveyed(settings: Settings) -> dict[str, Any]:
    """Return what a server tells of positions once all that was done is committed."""
    with serving(settings) as ask:
        found: list[dict[str, Any]] = []

        def settled() -> bool:
            found.append(ask.get("/v1/system").json)
            return all(each["owner"] and each["lag"] <= MARKER for each in found[-1]["work_log"])

        until(settled, 60, lambda: str(found[-1]))
        return found[-1]


def test_nodes_are_seen_and_an_outage_kills_none(nodes: Nodes, away: Broker) -> None:
    scheduler, worker = Probed(nodes, "scheduler"), Probed(nodes, "worker", "--slots", "2", "--allow", ALLOW)
    for node in (scheduler, worker):
        until(lambda node=node: node.ask("readyz") == (200, "ready\n"), 60, nodes.said)  # type: ignore[misc]
    done = nodes.run("submit", "examples/print-numbers.yaml", "-p", "n=20000", "--wait")
    assert done.returncode == 0, done.stderr
    until(lambda: scheduler.value("streamsched_tasks_ended_total") == 1, 20, nodes.said)
    assert worker.value("streamsched_children_ended_total") == 20
    assert worker.value("streamsched_run_seconds_count") == 20
    assert worker.value("streamsched_slots") == 2
    assert scheduler.value("streamsched_partitions") == 16
    assert scheduler.value("streamsched_desired_slots") == 0
    until(lambda: scheduler.value("streamsched_journal_lag_records") == 0, 30, nodes.said)
    told = surveyed(Settings(brokers=away.address, data_dir=nodes.folder / "server"))
    assert {(each["role"], each["version"]) for each in told["nodes"]} == {
        ("scheduler", told["version"]), ("worker", told["version"]),
    }  # fmt: skip
    for part, role, most in (("journal", "scheduler", DECISION), ("work_log", "worker", MARKER)):
        assert {each["owner"] for each in told[part]} == {
            node["name"] for node in told["nodes"] if node["role"] == role
        }
        assert max(each["committed"] for each in told[part]) > 0
        assert max(each["lag"] for each in told[part]) <= most
    assert {each["folded_lag"] for each in told["journal"]} == {0}
    assert (told["hanging"], told["unknown"], told["trouble"]) == ([], [], "")
    away.pause()
    try:
        over = time.monotonic() + AWAY_S
        while time.monotonic() < over:
            assert [node.ask("livez")[0] for node in (scheduler, worker)] == [200, 200]
            time.sleep(0.5)
    finally:
        away.resume()
    again = nodes.run("submit", "examples/print-numbers.yaml", "-p", "n=20000", "--wait")
    assert again.returncode == 0, again.stderr
