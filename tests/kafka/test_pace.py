"""What would make the client wait: a transaction that begins too early, and a consumer that has asked for no topic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamsched.log.kafka import reader as reading
from streamsched.log.kafka import writer as writing
from streamsched.log.kafka.config import make
from streamsched.log.port import Append, TopicPartition
from tests.kafka.conftest import make_node
from tests.kafka.harness import KafkaHarness
from tests.support.log_harness import until


def test_a_transaction_begins_when_the_markers_of_the_last_one_are_written(
    harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node(harness)
    now, slept = [100.0], list[float]()
    monkeypatch.setattr(writing, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=slept.append))
    for later in (1.0, 0.0, 0.001, 1.0):
        now[0] += later
        node.write(0, b"record")
    assert slept == pytest.approx([0.0, 0.003, 0.002, 0.0])


def test_a_reader_makes_its_consumer_with_its_first_partitions(
    harness: KafkaHarness, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def noted(kind: Any, settings: dict[str, Any]) -> Any:
        made.append(kind)
        return make(kind, settings)

    monkeypatch.setattr(reading, "make", noted)
    log = harness.connect()
    log.append([Append(topic, 0, None, b"record")])
    reader = log.reader()
    reader.assign({})
    assert not reader.poll(1, 0.0)
    assert not made
    reader.assign({TopicPartition(topic, 0): 0})
    until(harness, lambda: bool(reader.poll(1, 0.1)), what="the record")
    assert len(made) == 1
    reader.close()
    log.reader().close()
