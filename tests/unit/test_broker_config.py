"""The broker in Docker and the one without are the same broker."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools.broker import DEFAULT_PORT, KAFKA, SHORT_TIMEOUTS, properties

pytestmark = pytest.mark.unit

COMPOSE = Path(__file__).parent.parent.parent / "docker-compose.kafka.yml"
MUST_DIFFER = {"listeners", "log.dirs"}  # in a container it listens on all addresses, and has its own folder


def test_compose_file_says_what_the_tool_says() -> None:
    service = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]
    composed = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value for name, value in service["environment"].items()
    }
    own = properties(port=DEFAULT_PORT, controller=DEFAULT_PORT + 1, logs=Path("/kafka"))
    assert composed.keys() == own.keys()
    assert {name for name in own if own[name] != composed[name]} == MUST_DIFFER
    assert service["image"] == f"apache/kafka:{KAFKA}"
    assert service["ports"] == [f"127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}"]


def test_stock_timeouts_leave_kafkas_own() -> None:
    stock = properties(port=1, controller=2, logs=Path("/kafka"), stock_timeouts=True)
    assert stock.keys().isdisjoint(SHORT_TIMEOUTS)
