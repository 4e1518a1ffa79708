"""Records that the broker refuses: the transaction names the first of them, and is over at once."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import Append, AppendRefused, OutcomeUnknown, TopicMismatch, TopicSpec
from tests.kafka.harness import KafkaHarness
from tests.support.log_node import Node
from tools.broker import Broker


@pytest.fixture
def node(harness: KafkaHarness, topic: str) -> Node:
    found = Node(harness, harness.name("group"), topic)
    found.settle(4)
    return found


def made(harness: KafkaHarness, log: LogAdapter, **config: str) -> str:
    name = harness.name("out")
    log.create_topics([TopicSpec(name, 1, {key.replace("_", "."): value for key, value in config.items()})])
    return name


def test_a_record_above_the_limit_of_its_topic(harness: KafkaHarness, log: LogAdapter, node: Node) -> None:
    out = made(harness, log, max_message_bytes="10000")
    assert log.facts(out).limit_bytes == 10_000
    small, large = Append(out, 0, None, b"x", (), True), Append(out, 0, None, bytes(50_000), (), True)
    with pytest.raises(AppendRefused) as raised:
        node.writer.commit([small, large, small], {}, node.member)
    assert (raised.value.index, raised.value.missing) == (-1, False), "the broker refuses what was sent together"


def test_a_topic_that_was_deleted(harness: KafkaHarness, log: LogAdapter, node: Node, broker: Broker) -> None:
    out = made(harness, log)
    record = Append(out, 0, None, b"x", (), True)
    node.writer.commit([record], {}, node.member)
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.delete_topics([out])[out].result()
    with pytest.raises((AppendRefused, OutcomeUnknown)) as raised:  # by when the client hears of it
        node.writer.commit([Append(node.topic, 0, None, b"x", (), True), record], {}, node.member)
    if isinstance(raised.value, AppendRefused):
        assert (raised.value.index, raised.value.missing) == (-1, True), "the coordinator does not say which topic"
    with pytest.raises(TopicMismatch):
        log.facts(out)
