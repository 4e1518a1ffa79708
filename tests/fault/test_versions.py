"""The brokers that streamsched is tested with, as they are shipped; and those that it refuses, with the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamsched.log.kafka.version import NEW_GROUPS, OLDEST
from tests.fault.test_eviction import kill_tree
from tests.support import brokers
from tests.support.nodes import Nodes, until
from tests.support.site import WORKER, Site
from tools.broker import KAFKA, Broker

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(400)]
TESTED = ("3.7.2", "3.9.1", "4.1.0", KAFKA)


def of(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def begin(version: str, folder: Path) -> Broker:
    own = Broker(folder / "broker", version=version, stock_timeouts=True)
    brokers.start_own(own)
    return own


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    own = begin(request.param, tmp_path)
    yield own
    own.stop()


def config(folder: Path, protocol: str) -> tuple[str, str]:
    path = folder / "settings.toml"
    path.write_text(f'[kafka]\n"group.protocol" = "{protocol}"\n')
    return "--config", str(path)


def test_the_oldest_is_among_them() -> None:
    assert of(TESTED[0]) == OLDEST


@pytest.mark.parametrize(
    ("broker", "protocol"),
    [(version, "classic") for version in TESTED]
    + [(version, "consumer") for version in TESTED if of(version) >= NEW_GROUPS],
    indirect=["broker"],
)
def test_a_task_outlives_its_worker(broker: Broker, protocol: str, tmp_path: Path) -> None:
    site = Site(tmp_path, broker.address)
    options = config(tmp_path, protocol)
    try:
        site.start("scheduler", *options, name="s1")
        doomed = site.start(*WORKER, *options, name="w1")
        site.start(*WORKER, *options, name="w2")
        site.submit(60)
        site.until_noted(20)
        kill_tree(doomed)
        until(lambda: site.evicted() == ["worker w1"], 60, site.nodes.said)
        site.finish()
        checked = site.nodes.run("topics", "check")
        assert checked.returncode == 0, checked.stdout
        audited = site.nodes.run("audit", "verify")
        assert audited.returncode == 0, audited.stdout
        assert "CONFWARN" not in site.nodes.said()
    finally:
        site.end()


@pytest.mark.parametrize("broker", ["3.9.1"], indirect=True)
def test_the_new_group_protocol_is_refused_where_the_broker_has_none(broker: Broker, tmp_path: Path) -> None:
    site = Site(tmp_path, broker.address)
    options = config(tmp_path, "consumer")
    for command in (["scheduler", *options], [*WORKER, *options]):
        refused = site.nodes.run(*command)
        assert refused.returncode == 3
        assert "is of version 3.9, which has no group.protocol=consumer" in refused.stderr
    site.end()


@pytest.mark.parametrize("broker", ["3.6.2"], indirect=True)
def test_a_broker_that_is_too_old_is_refused(broker: Broker, tmp_path: Path) -> None:
    refused = Nodes(broker.address, tmp_path).run("topics", "create")
    assert refused.returncode == 3
    assert "is of version 3.6, and streamsched needs 3.7 or later: upgrade the brokers" in refused.stderr
