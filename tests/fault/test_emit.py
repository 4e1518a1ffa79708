"""Handlers that emit to real topics: workers are killed, a topic is deleted; read by a client of its own."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.nodes import Nodes, until

pytestmark = pytest.mark.kafka
CHILDREN, RECORDS = 24, 1_000

TEMPLATE = """
name: emits
params: {{children: {{type: integer}}, seconds: {{type: number, default: 0.2}}}}
split: {{range: {{first: 1, last: "${{children}}", size: 1}}}}
child:
  handler: tests.support.handlers:emits
  args: {{topic: {topic}, count: 1000, seconds: "${{seconds}}"}}
  retry: {{max_attempts: 1}}
"""


def read(brokers: str, topic: str, partitions: int) -> list[str]:
    """Read the keys of a topic as anyone may, of committed records only."""
    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": "outside", "isolation.level": "read_committed",
        "enable.partition.eof": True,
    })  # fmt: skip
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    found: list[str] = []
    ended = 0
    while ended < partitions:
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            ended += 1
        else:
            found.append((message.key() or b"").decode())
    consumer.close()
    return found


def start(nodes: Nodes, folder: Path, topic: str, *more: str) -> list[str]:
    template = folder / "emits.yaml"
    template.write_text(TEMPLATE.format(topic=topic))
    made = nodes.run("topic", "create", topic, "--partitions", "3")
    assert made.returncode == 0, made.stderr
    nodes.env["STREAMSCHED_EMIT_TOPICS"] = "out-*"
    nodes.start("scheduler")
    submitted = nodes.run("submit", str(template), "--task-id", "job", *more)
    assert submitted.returncode == 0, submitted.stderr
    return ["worker", "--slots", "2", "--allow", "tests.support.handlers", "--checkpoint-interval", "0.2"]


def children(nodes: Nodes) -> dict[str, int]:
    found: dict[str, int] = json.loads(nodes.run("status", "job", "--json").stdout)["children"]
    return found


def test_each_record_is_there_once_whatever_is_killed(nodes: Nodes, tmp_path: Path) -> None:
    topic = f"out-{nodes.env['STREAMSCHED_PREFIX']}"
    worker = start(nodes, tmp_path, topic, "-p", f"children={CHILDREN}")
    workers = [nodes.start(*worker) for _ in range(2)]
    for least in (3, 9, 15):
        until(lambda least=least: children(nodes)["succeeded"] >= least, 90, nodes.said)  # type: ignore[misc]
        workers.pop(0).send_signal(signal.SIGKILL)
        workers.append(nodes.start(*worker))
    until(lambda: children(nodes)["succeeded"] == CHILDREN, 150, nodes.said)
    found = read(nodes.env["STREAMSCHED_BROKERS"], topic, 3)
    assert len(found) == CHILDREN * RECORDS
    assert set(found) == {f"{child}-{number}" for child in range(CHILDREN) for number in range(RECORDS)}


def test_a_topic_that_is_deleted_fails_the_children_that_emit_and_no_worker(nodes: Nodes, tmp_path: Path) -> None:
    topic = f"out-{nodes.env['STREAMSCHED_PREFIX']}"
    worker = start(nodes, tmp_path, topic, "-p", "children=2", "-p", "seconds=2")
    running = nodes.start(*worker)
    until(lambda: children(nodes)["running"] == 2, 60, nodes.said)
    admin = AdminClient({"bootstrap.servers": nodes.env["STREAMSCHED_BROKERS"]})
    admin.delete_topics([topic])[topic].result()
    until(lambda: children(nodes)["failed"] >= 1, 90, nodes.said)
    failed = json.loads(nodes.run("children", "job", "--state", "failed", "--json").stdout.splitlines()[0])
    assert failed["error_type"] == "EmitRefused"
    assert running.poll() is None, nodes.said()
