"""Each test of this folder runs once for every adapter; Kafka's part only where its harness and a broker are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import TopicSpec
from streamsched.log.topics import RECORD_LIMIT
from tests.contract.local import open_embedded, open_memory
from tests.support.log_harness import Harness
from tests.support.log_node import Node

PARTITIONS = 4
CONFIG = {"max.message.bytes": str(RECORD_LIMIT), "cleanup.policy": "delete", "retention.ms": "-1"}


def open_kafka(folder: Path) -> AbstractContextManager[Harness]:
    """Import lazily: only this part of the suite needs the Kafka client and a broker."""
    module = importlib.import_module("tests.kafka.harness")
    opened: AbstractContextManager[Harness] = module.open_harness(folder)
    return opened


OPEN: dict[str, Callable[[Path], AbstractContextManager[Harness]]] = {
    "memory": open_memory,
    "embedded": open_embedded,
    "kafka": open_kafka,
}


@pytest.fixture(params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    with OPEN[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def log(harness: Harness) -> LogAdapter:
    return harness.connect()


@pytest.fixture
def topic(harness: Harness, log: LogAdapter) -> str:
    name = harness.name("topic")
    log.create_topics([TopicSpec(name, PARTITIONS, CONFIG)])
    return name


@pytest.fixture
def group(harness: Harness, log: LogAdapter, topic: str) -> str:
    return harness.name("group")


@pytest.fixture
def join(harness: Harness, group: str, topic: str) -> Callable[[], Node]:
    """Make one more node of the group; it joins when it is served."""
    return lambda: Node(harness, group, topic)


@pytest.fixture
def node(harness: Harness, join: Callable[[], Node]) -> Node:
    """Make the only member of the group, with all partitions."""
    alone = join()
    alone.settle(PARTITIONS)
    return alone
