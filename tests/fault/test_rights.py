"""Nodes that have the least rights: what a right is missing for is said once, and the dead are evicted all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.fault.test_emit import TEMPLATE
from tests.fault.test_eviction import kill_tree
from tests.support import brokers
from tests.support.nodes import until
from tests.support.site import WORKER, Site
from tools.broker import Broker, Seat, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
ALLOWED = (
    (ResourceType.TOPIC, AclOperation.READ),
    (ResourceType.TOPIC, AclOperation.WRITE),
    (ResourceType.TOPIC, AclOperation.DELETE),
    (ResourceType.GROUP, AclOperation.READ),
    (ResourceType.TRANSACTIONAL_ID, AclOperation.WRITE),
)
"""On what begins with the prefix; nothing on the broker's own topics or on the cluster."""


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Broker, str]]:
    """Start a broker that asks for a name at a second address, and lets names do what they were granted."""
    own, named, controller = (free_port() for _ in range(3))
    settings = {
        "listeners": f"PLAINTEXT://127.0.0.1:{own},NAMED://127.0.0.1:{named},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{own},NAMED://127.0.0.1:{named}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,NAMED:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.named.plain.sasl.jaas.config": f'{LOGIN} required user_node="secret";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    broker = Broker(tmp_path / "broker", port=own, seat=Seat(1, {1: controller}), settings=settings)
    brokers.start_own(broker)
    yield broker, f"127.0.0.1:{named}"
    broker.stop()


def granted(broker: Broker, prefix: str, rights: Sequence[tuple[Any, Any]]) -> AdminClient:
    """Let the node do this to what begins with the prefix."""
    admin = AdminClient({"bootstrap.servers": broker.address})
    grant = [
        AclBinding(kind, prefix, ResourcePatternType.PREFIXED, "User:node", "*", right, AclPermissionType.ALLOW)
        for kind, right in rights
    ]
    for answer in admin.create_acls(grant).values():
        answer.result(30)
    return admin


def named_options(named: str, folder: Path) -> tuple[str, ...]:
    """Return the options of a node that has the name."""
    config = folder / "settings.toml"
    config.write_text(
        f'brokers = "{named}"\n[kafka]\n"security.protocol" = "SASL_PLAINTEXT"\n"sasl.mechanism" = "PLAIN"\n'
        '"sasl.username" = "node"\n"sasl.password" = "secret"\n[emit]\ntopics = ["out-*"]\n'
    )
    return ("--config", str(config), "--brokers", named)


def test_a_dead_worker_is_evicted_though_its_group_may_not_be_looked_into(
    guarded: tuple[Broker, str], tmp_path: Path
) -> None:
    broker, named = guarded
    site = Site(tmp_path, broker.address)
    granted(broker, site.prefix, ALLOWED)
    options = named_options(named, tmp_path)
    try:
        site.start("scheduler", *options, name="s1")
        doomed = site.start(*WORKER, *options, name="w1")
        site.start(*WORKER, *options, name="w2")
        site.submit(60)
        site.until_noted(20)
        until(lambda: "are not looked for" in site.nodes.said(), 60, site.nodes.said)
        kill_tree(doomed)
        until(lambda: site.evicted() == ["worker w1"], 60, site.nodes.said)
        site.finish()
        said = "\n".join(line for line in site.nodes.said().splitlines() if " job[" not in line)
        assert said.count("are not looked for") == 1, said
        assert "__consumer_offsets" in said
        assert "will start again" not in said, said
    finally:
        site.end()


def test_a_right_to_a_topic_that_is_taken_away_fails_what_emits_there_and_no_worker(
    guarded: tuple[Broker, str], tmp_path: Path
) -> None:
    broker, named = guarded
    site = Site(tmp_path, broker.address)
    granted(broker, site.prefix, ALLOWED)
    write = (ResourceType.TOPIC, AclOperation.WRITE)
    admin = granted(broker, "out-", [write, (ResourceType.TOPIC, AclOperation.DESCRIBE_CONFIGS)])
    options = named_options(named, tmp_path)
    template = tmp_path / "emits.yaml"
    template.write_text(TEMPLATE.format(topic="out-x"))

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(site.nodes.run("status", "job", "--json").stdout)
        return found

    try:
        assert site.nodes.run("topic", "create", "out-x").returncode == 0
        site.start("scheduler", *options, name="s1")
        worker = site.start(*WORKER, *options, name="w1")
        submitted = site.nodes.run("submit", str(template), "--task-id", "job", "-p", "children=1", "-p", "seconds=1")
        assert submitted.returncode == 0, submitted.stderr
        until(lambda: status()["children"]["running"] == 1, 60, site.nodes.said)
        until(lambda: bool(site.nodes.run("topic", "consume", "out-x").stdout), 60, site.nodes.said)
        kind, right = write
        gone = AclBindingFilter(
            kind, "out-", ResourcePatternType.PREFIXED, "User:node", "*", right, AclPermissionType.ALLOW
        )
        for answer in admin.delete_acls([gone]).values():
            answer.result(30)
        until(lambda: status()["state"] == "failed", 90, site.nodes.said)
        failed = json.loads(site.nodes.run("children", "job", "--json").stdout.splitlines()[0])
        assert failed["error_type"] == "EmitRefused", failed
        assert worker.is_running(), site.nodes.said()
    finally:
        site.end()
