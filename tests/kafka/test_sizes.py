"""Partitions that an administrator adds, and how many copies new topics have: on real brokers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log import sizes
from streamsched.log.port import Append
from tests.kafka.harness import KafkaHarness
from tests.support import brokers
from tests.support.log_harness import Harness, until
from tests.support.nodes import Nodes
from tools.broker import Broker
from tools.cluster import Cluster

pytestmark = pytest.mark.timeout(240)
TEMPLATE = "name: t\nsplit:\n  range: {first: 1, last: 4, size: 1}\nchild:\n  handler: streamsched.examples:noop\n"


@pytest.fixture
def nodes(broker: Broker, tmp_path: Path) -> Iterator[Nodes]:
    started = Nodes(broker.address, tmp_path)
    started.env["STREAMSCHED_PREFIX"] = f"sizes-{uuid.uuid4().hex[:8]}"
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    yield started
    started.end()


def add(broker: Broker, nodes: Nodes, harness: Harness, topic: str, total: int) -> None:
    """Add partitions, as ``kafka-topics --alter --partitions`` does."""
    name = f"{nodes.env['STREAMSCHED_PREFIX']}.{topic}"
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_partitions([NewPartitions(name, total)])[name].result(30)
    until(harness, lambda: len(admin.list_topics(name, 10).topics[name].partitions) == total)


def open_(nodes: Nodes) -> Installation:
    env = nodes.env
    return Installation(
        Settings(brokers=env["STREAMSCHED_BROKERS"], prefix=env["STREAMSCHED_PREFIX"], data_dir=nodes.folder)
    )


def forget(nodes: Nodes) -> None:
    """Make it an installation of before the numbers were recorded."""
    with closing(open_(nodes)) as site:
        site.log.append([Append(site.topics.templates, 0, sizes.KEY, b"")])


@pytest.mark.parametrize("old", [False, True])
def test_partitions_added_to_the_journal_are_refused_by_nodes_and_clients(
    old: bool, broker: Broker, nodes: Nodes, harness: KafkaHarness
) -> None:
    assert nodes.run("topics", "create").returncode == 0
    template = str(nodes.folder / "t.yaml")
    submitted = nodes.run("submit", template, "--task-id", "before")
    assert submitted.returncode == 0, submitted.stderr
    if old:
        forget(nodes)
    add(broker, nodes, harness, "events", 24)
    for command in (
        ["submit", template],
        ["status", "before"],
        ["list"],
        ["cancel", "before"],
        ["scheduler"],
        ["worker", "--allow", "streamsched.examples"],
        ["topics", "create"],
        ["topics", "repair"],
    ):
        refused = nodes.run(*command)
        assert refused.returncode == 3, (command, refused)
        said = refused.stderr.strip()
        assert "24" in said, (command, said)
        assert "16" in said, (command, said)
        assert "--prefix" in said or "topic" in said
        assert "Traceback" not in said
    checked = nodes.run("topics", "check")
    assert checked.returncode == 1
    assert "24 partitions" in checked.stdout


def test_partitions_added_to_the_work_log_are_taken_into_use_by_a_new_creation(
    broker: Broker, nodes: Nodes, harness: KafkaHarness
) -> None:
    nodes.env["STREAMSCHED_CHILD_PARTITIONS"] = "4"
    assert nodes.run("topics", "create").returncode == 0
    add(broker, nodes, harness, "children", 6)
    for role in (["scheduler"], ["worker", "--allow", "streamsched.examples"]):
        refused = nodes.run(*role)
        assert refused.returncode == 3
        assert "STREAMSCHED_CHILD_PARTITIONS=6 streamsched topics create" in refused.stderr
    nodes.env["STREAMSCHED_CHILD_PARTITIONS"] = "6"
    made = nodes.run("topics", "create")
    assert made.returncode == 0, made.stderr
    with closing(open_(nodes)) as site:
        assert sizes.recorded(site.log, site.topics) == sizes.Sizes(16, 6)


def test_an_old_installation_is_recorded_by_the_first_node(nodes: Nodes) -> None:
    assert nodes.run("topics", "create").returncode == 0
    forget(nodes)
    with closing(open_(nodes)) as site:
        assert sizes.recorded(site.log, site.topics) is None
        site.discover().check_sizes()
        assert sizes.recorded(site.log, site.topics) == sizes.Sizes(16, 64)


def test_one_broker_holds_one_copy_and_says_so(nodes: Nodes) -> None:
    refused = nodes.run("topics", "create", "--replication", "3")
    assert refused.returncode == 2
    assert "there are 1" in refused.stderr
    refused = nodes.run("topics", "create", "--replication", "1", "--min-insync", "2")
    assert refused.returncode == 2
    made = nodes.run("topics", "create")
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1] == "replication factor 1, min.insync.replicas 1 (1 broker)"
    assert nodes.run("topics", "create").stdout.splitlines() == ["all topics are there and as they must be"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    own = brokers.start_cluster(tmp_path / "cluster")
    yield own
    own.stop()


def test_three_brokers_hold_three_copies_and_one_copy_is_warned_of(cluster: Cluster, nodes: Nodes) -> None:
    nodes.env["STREAMSCHED_BROKERS"] = cluster.address
    made = nodes.run("topics", "create")
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1] == "replication factor 3, min.insync.replicas 2 (3 brokers)"
    checked = nodes.run("topics", "check")
    assert (checked.returncode, "warning" in checked.stdout) == (0, False), checked.stdout
    nodes.env["STREAMSCHED_PREFIX"] = "lonely"
    made = nodes.run("topics", "create", "--replication", "1")
    assert made.stdout.splitlines()[-1] == "replication factor 1, min.insync.replicas 1 (3 brokers)"
    checked = nodes.run("topics", "check")
    assert checked.returncode == 0
    assert checked.stdout.count("warning: topic lonely.") == 6
