"""What a lag exporter reads of the groups: how far what they have committed lies behind the ends of their topics."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsched import Client
from streamsched.log.topics import Topics
from tests.support.nodes import Nodes, until

pytestmark = pytest.mark.kafka

TEMPLATE = """
name: many
split: {range: {first: 1, last: 200, size: 1}}
child: {handler: "streamsched.examples.bench:noop"}
"""


def test_a_group_that_has_nothing_to_do_does_not_lag(nodes: Nodes) -> None:
    nodes.start("scheduler")
    nodes.start("worker", "--slots", "2", "--allow", "streamsched.examples.*")
    template = nodes.folder / "many.yaml"
    template.write_text(TEMPLATE)
    brokers, prefix = nodes.env["STREAMSCHED_BROKERS"], nodes.env["STREAMSCHED_PREFIX"]
    topics = Topics(prefix)
    with Client(brokers=brokers, prefix=prefix, data_dir=nodes.folder / "client") as client:
        task = client.submit(template)
        assert client.wait(task.task_id, 60).state == "succeeded"
    until(lambda: lags(brokers, topics.scheduler_group) == [0] * topics.event_partitions, 60, nodes.said)
    until(lambda: lags(brokers, topics.worker_group) == [0] * topics.child_partitions, 60, nodes.said)


def lags(brokers: str, group: str) -> list[int]:
    """Ask the broker, as 'kafka-consumer-groups --describe' does."""
    admin = AdminClient({"bootstrap.servers": brokers})
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
    reader = Consumer({"bootstrap.servers": brokers, "group.id": group})
    try:
        return [_end(reader, each) - each.offset for each in asked.topic_partitions]
    finally:
        reader.close()


def _end(reader: Consumer, place: TopicPartition) -> int:
    _, end = reader.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=10)
    return int(end)
