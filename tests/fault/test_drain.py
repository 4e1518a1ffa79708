"""Real workers that are told to go: their children go on elsewhere, no attempt is burnt, and the exit code is 0."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.support.nodes import until
from tests.support.site import WORKER, Site

pytestmark = pytest.mark.kafka


def test_drained_in_the_middle_of_a_rebalance(site: Site) -> None:
    """One worker joins, one is told to go, and a moment later another one, twice."""
    site.start("scheduler", name="s1")
    one, two = (site.nodes.start(*WORKER, "--name", name) for name in ("w1", "w2"))
    site.submit(60)
    site.until_noted(50)
    three = site.nodes.start(*WORKER, "--name", "w3")
    one.send_signal(signal.SIGTERM)
    until(lambda: "w3 ready" in site.nodes.said_by(three), 60, site.nodes.said)
    two.send_signal(signal.SIGTERM)
    site.until_noted(1)
    two.send_signal(signal.SIGTERM)
    assert (one.wait(60), two.wait(60)) == (0, 0), site.nodes.said()
    site.finish()
    assert site.evicted() == []


def test_a_handler_that_never_checkpoints_is_killed_at_the_end_of_the_time(site: Site) -> None:
    """Two workers drained one after the other: its children begin anew each time, always with their first attempt."""
    site.start("scheduler", name="s1")
    site.submit(4, handler="deaf", steps=1)
    for name in ("w1", "w2"):
        worker = site.nodes.start(*WORKER, "--drain-timeout", "2", "--name", name)
        site.until_noted(4)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0, site.nodes.said()
    site.nodes.start(*WORKER, "--name", "w3")
    site.until_noted(4)
    (site.notes / "go").touch()
    site.finish()
    assert site.noted() == 12


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_a_node_that_is_told_again_to_its_last_moment_exits_with_0(site: Site, role: str) -> None:
    node = site.start(role, name="n1")
    while node.is_running() and node.status() != psutil.STATUS_ZOMBIE:
        node.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    assert site.nodes.codes() == [0]


@pytest.mark.long
def test_drained_under_full_load(site: Site) -> None:
    """Every worker is replaced in turn while all cores compute something else."""
    for name in ("s1", "s2"):
        site.start("scheduler", name=name)
    workers = [site.nodes.start(*WORKER, "--name", name) for name in ("w1", "w2", "w3")]
    site.submit(300)
    burn = "import time; end = time.monotonic() + 40\nwhile time.monotonic() < end: pass"
    burning = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(2 * (psutil.cpu_count() or 1))]
    try:
        for number, worker in enumerate(workers):
            site.until_noted(100)
            worker.send_signal(signal.SIGTERM)
            site.nodes.start(*WORKER, "--name", f"w{number + 4}")
            assert worker.wait(60) == 0, site.nodes.said()
        site.finish()
    finally:
        for process in burning:
            process.kill()
            process.wait()
    assert site.evicted() == []


@pytest.mark.long
def test_the_only_worker_is_drained_and_the_next_one_goes_on(site: Site) -> None:
    site.start("scheduler", name="s1")
    worker = site.nodes.start(*WORKER, "--name", "w1")
    site.submit(30)
    for number in range(2, 5):
        site.until_noted(30)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0, site.nodes.said()
        worker = site.nodes.start(*WORKER, "--name", f"w{number}")
    site.finish()


@pytest.mark.long
def test_scheduler_and_worker_are_replaced_at_the_same_moment(site: Site) -> None:
    scheduler = site.nodes.start("scheduler", "--name", "s1")
    worker = site.nodes.start(*WORKER, "--name", "w1")
    site.submit(100)
    site.until_noted(50)
    scheduler.send_signal(signal.SIGTERM)
    worker.send_signal(signal.SIGTERM)
    site.start("scheduler", name="s2")
    site.start(*WORKER, name="w2")
    assert (scheduler.wait(60), worker.wait(60)) == (0, 0), site.nodes.said()
    site.finish()
    assert site.evicted() == []
