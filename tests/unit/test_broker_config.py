"""The broker in Docker and the one without are the same broker."""

from __future__ import annotations

from pathlib import Path

import yaml

from tools.broker import KAFKA, SHORT_TIMEOUTS, Seat, properties
from tools.cluster import DEFAULT_PORT

COMPOSE = Path(__file__).parent.parent.parent / "docker-compose.kafka.yml"
MUST_DIFFER = {"listeners", "log.dirs"}  # in a container it listens on all addresses, and has its own folder


def test_compose_file_says_what_the_tool_says() -> None:
    service = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]
    composed = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value for name, value in service["environment"].items()
    }
    own = properties(port=DEFAULT_PORT, seat=Seat(1, {1: DEFAULT_PORT + 1}), logs=Path("/kafka"))
    assert composed.keys() == own.keys()
    assert {name for name in own if own[name] != composed[name]} == MUST_DIFFER
    assert service["image"] == f"apache/kafka:{KAFKA}"
    assert service["ports"] == [f"127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}"]


def test_stock_timeouts_leave_kafkas_own() -> None:
    stock = properties(port=1, seat=Seat(1, {1: 2}), logs=Path("/kafka"), stock_timeouts=True)
    assert stock.keys().isdisjoint(SHORT_TIMEOUTS)


def test_a_cluster_survives_the_loss_of_one() -> None:
    settings = properties(port=1, seat=Seat(2, {1: 4, 2: 5, 3: 6}), logs=Path("/kafka"))
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:4,2@127.0.0.1:5,3@127.0.0.1:6"
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:5"
    copies = {name for name in settings if name.endswith("replication.factor")}
    in_sync = {name for name in settings if name.endswith(("min.isr", "min.insync.replicas"))}
    assert {settings[name] for name in copies} == {"3"}
    assert {settings[name] for name in in_sync} == {"2"}
