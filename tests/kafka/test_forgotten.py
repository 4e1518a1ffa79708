"""Positions that a group has forgotten on a real broker: nodes begin anew, and nothing is lost or done twice."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from streamsched.domain import events as e
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from tests.fault.test_eviction import kill_tree, node_of
from tests.support import brokers
from tests.support.nodes import until
from tests.support.site import WORKER, Site
from tools.broker import Broker

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start a broker that forgets the positions of a group without members after a minute."""
    settings = {"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "5000"}
    own = Broker(tmp_path_factory.mktemp("forgetful"), settings=settings)
    brokers.start_own(own)
    yield own
    own.stop()


def delete_groups(site: Site) -> None:
    """Do what ``kafka-consumer-groups --delete`` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kafka.admin import KafkaAdminClient  # type: ignore[import-untyped]

    with closing(KafkaAdminClient(bootstrap_servers=site.brokers)) as admin:
        admin.delete_groups([f"{site.prefix}.workers", f"{site.prefix}.schedulers"])


def positions(site: Site) -> set[bool]:
    """Tell whether there are positions, and whether there are none."""
    with closing(Installation(Settings(brokers=site.brokers, prefix=site.prefix, data_dir=site.folder))) as here:
        topics = here.discover().topics
        return {
            position is not None
            for group, places in topics.groups().items()
            for position in here.log.committed(group, places, stable=True).values()
        }


def stop(site: Site, *processes: object) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)  # type: ignore[attr-defined]
    for process in processes:
        process.wait(90)  # type: ignore[attr-defined]


def goes_on(site: Site, zombie: psutil.Process | None = None) -> None:
    """Start nodes where no position is left, and see the task to its end; the zombie wakes in the middle of it."""
    assert positions(site) == {False}
    site.start("scheduler", name="s2")
    site.start(*WORKER, name="w2")
    site.until_noted(20)
    if zombie is not None:
        zombie.resume()
    site.finish()
    said = "".join(path.read_text() for path in site.folder.glob("*.log"))
    assert f"group {site.prefix}.workers has forgotten its positions" in said
    assert f"group {site.prefix}.schedulers has forgotten its positions" in said
    assert "stand still" not in said
    assert any(isinstance(event, e.PartitionReset) for event in site.journal())
    assert positions(site) == {True}
    audited = site.nodes.run("audit", "verify")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    checked = site.nodes.run("topics", "check")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("frozen", [False, True])
def test_a_group_that_was_deleted_begins_anew_with_what_was_live(tmp_path: Path, frozen: bool) -> None:
    """The worker that had it is dead, or frozen in the middle of its work until another has taken over."""
    site = Site(tmp_path)
    try:
        nodes = site.start("scheduler", name="s1"), site.start(*WORKER, name="w1")
        site.submit(24, steps=20)
        site.until_noted(40)
        nodes[0].send_signal(signal.SIGTERM)
        nodes[0].wait(90)
        zombie = node_of(nodes[1])
        if frozen:
            zombie.suspend()
        else:
            kill_tree(nodes[1])  # what ran stays in the work log
        with closing(Installation(Settings(brokers=site.brokers, prefix=site.prefix, data_dir=tmp_path))) as here:
            beats = site.beats("w1")
            here.discover().log.evict(here.topics.worker_group, beats[-1].member_id)
            here.log.fence(beats[-1].transactional_id)
        delete_groups(site)
        goes_on(site, zombie if frozen else None)
    finally:
        site.end()


@pytest.mark.long
def test_a_group_whose_positions_expired_begins_anew(forgetful: Broker, tmp_path: Path) -> None:
    """The installation is left alone, with a task that waits, until the broker has forgotten where it was."""
    site = Site(tmp_path, forgetful.address)
    try:
        stop(site, site.start("scheduler", name="s1"), site.start(*WORKER, name="w1"))
        site.submit(24, steps=5)
        until(lambda: positions(site) == {False}, 200, site.nodes.said)
        goes_on(site)
    finally:
        site.end()


@pytest.mark.long
def test_an_installation_that_is_first_used_long_after_it_was_made(forgetful: Broker, tmp_path: Path) -> None:
    site = Site(tmp_path, forgetful.address)
    try:
        until(lambda: positions(site) == {False}, 200, site.nodes.said)
        site.submit(24, steps=5)
        goes_on(site)
    finally:
        site.end()
