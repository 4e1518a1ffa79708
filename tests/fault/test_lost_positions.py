"""Positions that an administrator has set: their partitions stop with the remedy, what was live there runs again."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsched.domain import events as e
from tests.support.brokers import broker
from tests.support.evidence import Job, check, read_notes, read_topic
from tests.support.nodes import Nodes, until

pytestmark = pytest.mark.kafka
CHILDREN, STEPS, PARTITIONS = 24, 30, 8
TEMPLATE = f"""
name: steps
params:
  folder: {{type: string}}
split:
  range: {{first: 1, last: {CHILDREN}, size: 1}}
child:
  handler: tests.support.handlers:steps
  args: {{count: {STEPS}, seconds: 0.1, folder: "${{folder}}"}}
"""
WORKER = ("worker", "--slots", "4", "--allow", "tests.support.handlers", "--checkpoint-interval", "0.1")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    started = Nodes(broker().address, tmp_path)
    started.env["STREAMSCHED_PREFIX"] = tmp_path.name.replace("_", "-")
    started.env["STREAMSCHED_CHILD_PARTITIONS"] = str(PARTITIONS)
    started.env["STREAMSCHED_CONFIG"] = str(tmp_path / "settings.toml")
    (tmp_path / "settings.toml").write_text('[kafka]\n"session.timeout.ms" = 10000\n')
    made = started.run("topics", "create")
    assert made.returncode == 0, made.stderr
    yield started
    started.end()


def test_children_that_were_live_where_the_position_was_set(nodes: Nodes, tmp_path: Path) -> None:
    prefix = nodes.env["STREAMSCHED_PREFIX"]
    notes = tmp_path / "notes"
    notes.mkdir()
    (tmp_path / "steps.yaml").write_text(TEMPLATE)
    running = [nodes.start("scheduler"), nodes.start(*WORKER), nodes.start(*WORKER)]
    submitted = nodes.run("submit", str(tmp_path / "steps.yaml"), "-p", f"folder={notes}", "--task-id", "job")
    assert submitted.returncode == 0, submitted.stderr
    until(lambda: len(read_notes(notes)) >= 60, 90, nodes.said)
    running[0].send_signal(signal.SIGTERM)
    running[0].wait(60)
    for process in running[1:]:
        process.send_signal(signal.SIGKILL)  # what ran stays in the work log
    live = _live(prefix)
    assert live, "nothing was live, so nothing would be lost"

    lost = sorted(set(live.values()))[: max(1, len(set(live.values())) // 2)]
    places = [f"{prefix}.children-{partition}:" for partition in lost] + [f"{prefix}.events-{p}:" for p in (0, 1)]

    def set_back() -> bool:
        if not (
            _set_back(f"{prefix}.workers", f"{prefix}.children", lost)
            and _set_back(f"{prefix}.schedulers", f"{prefix}.events", [0, 1])
        ):
            return False
        checked = nodes.run("topics", "check")
        return checked.returncode == 1 and all(place in checked.stdout for place in places)

    until(set_back, 60, nodes.said)  # not before the sessions of the dead are over

    # Nodes that are started all the same leave these partitions alone, and say what to do.
    running = [nodes.start("scheduler"), nodes.start(*WORKER)]
    until(
        lambda: nodes.said().count("run 'streamsched topics repair'; until then these stand still") >= 2, 60, nodes.said
    )
    assert all(process.poll() is None for process in running), nodes.said()
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
    for process in running:
        process.wait(60)

    repaired = nodes.run("topics", "repair", timeout=90)
    assert repaired.returncode == 0, repaired.stderr
    assert len(repaired.stdout.splitlines()) == len(lost) + 2
    assert nodes.run("topics", "check").returncode == 0
    nodes.start("scheduler")
    nodes.start(*WORKER)
    nodes.start(*WORKER)
    until(lambda: _state(nodes) == "succeeded", 120, nodes.said)

    journal = read_topic(broker().address, f"{prefix}.events")
    check(journal, read_notes(notes), Job("job", CHILDREN, STEPS))
    again = {child for child, partition in live.items() if partition in lost}
    ordinals = {event.child: event.ordinal for event in journal if isinstance(event, e.ChildCompleted)}
    assert again
    assert all(ordinals[child] > 1 for child in again), "they were not dispatched anew"
    past = str(tmp_path / "view-at-20")
    for command in (
        ["audit", "export", str(tmp_path / "history.jsonl")],
        ["replay", "--view", past, "--until", "20"],
        ["audit", "verify", "--view", past],
    ):
        done = nodes.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == len(journal)


def _state(nodes: Nodes) -> str:
    answer = nodes.run("status", "job", "--json")
    assert answer.returncode == 0, answer.stderr
    return str(json.loads(answer.stdout)["state"])


def _live(prefix: str) -> dict[int, int]:
    """Find the live children of the task, each with the partition of its dispatch."""
    live: dict[int, int] = {}
    for event in read_topic(broker().address, f"{prefix}.events"):
        if isinstance(event, e.ChildrenDispatched):
            for release in event.releases:
                live |= dict.fromkeys(range(release.first, release.last + 1), release.partition)
        elif isinstance(event, e.ChildCompleted | e.ChildFailed | e.ChildCancelled | e.ChildReturned):
            live.pop(event.child, None)
    return live


def _set_back(group: str, topic: str, partitions: list[int]) -> bool:
    """Set positions, as ``kafka-consumer-groups --reset-offsets`` does; False while the group has members."""
    places = [TopicPartition(topic, partition, 0) for partition in partitions]
    admin = AdminClient({"bootstrap.servers": broker().address})
    answer = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group]
    try:
        return all(place.error is None for place in answer.result(10).topic_partitions)
    except KafkaException:
        return False
