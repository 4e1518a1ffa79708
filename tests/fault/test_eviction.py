"""Who falls silent is evicted once, who does not is never; and nothing is lost or done twice.

Nodes are frozen (SIGSTOP) and killed; judged from what the schedulers say, from the topics and from side effects.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from tests.support.nodes import until
from tests.support.site import WORKER, Site

pytestmark = pytest.mark.kafka


def node_of(parent: psutil.Process) -> psutil.Process:
    """Return the node below its parent process."""
    (node,) = parent.children()
    return node


def freeze(process: psutil.Process, seconds: float) -> None:
    """Stop a process for so long."""
    process.suspend()
    time.sleep(seconds)
    process.resume()


def kill_tree(parent: psutil.Process) -> None:
    """Kill a node with everything around it: nobody is left to notice."""
    for process in [parent, *parent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it dies with the one before
            process.kill()


def test_a_short_freeze_is_no_death_and_a_killed_tree_is_one(site: Site) -> None:
    site.start("scheduler", name="s1")
    one, two = (node_of(site.start(*WORKER, name=name)) for name in ("w1", "w2"))
    site.submit(60)
    site.until_noted(20)
    freeze(one, 1.0)
    site.until_noted(40)
    assert site.evicted() == []
    kill_tree(two.parent() or two)
    site.finish()
    assert site.evicted() == ["worker w2"]


def test_a_thawed_zombie_joins_anew_and_nothing_is_done_twice(site: Site) -> None:
    """Frozen until it is evicted, it wakes while its children run elsewhere; its executors never slept."""
    site.start("scheduler", name="s1")
    one = node_of(site.start(*WORKER, name="w1"))
    site.start(*WORKER, name="w2")
    site.submit(60)
    site.until_noted(20)
    one.suspend()
    until(lambda: site.evicted() == ["worker w1"], 60, site.nodes.said)
    site.until_noted(20)
    one.resume()
    until(lambda: len(site.members("w1")) == 2, 60, site.nodes.said)
    site.until_back("w1")
    site.finish()
    assert site.evicted() == ["worker w1"]
    assert len(site.members("w1")) == 2
    assert len({beat.transactional_id for beat in site.beats("w1")}) >= 2


@pytest.mark.long
@pytest.mark.parametrize(("seconds", "least"), [(3.0, 0), (20.0, 1)])
def test_one_freeze_is_at_most_one_eviction(site: Site, seconds: float, least: int) -> None:
    for name in ("s1", "s2"):
        site.start("scheduler", name=name)
    one = node_of(site.start(*WORKER, name="w1"))
    site.start(*WORKER, name="w2")
    site.submit(round(100 + 8 * seconds))
    site.until_noted(20)
    freeze(one, seconds)
    site.until_back("w1")
    site.until_noted(100)
    # Both schedulers may have seen the same silence; the second then evicts a member that is gone.
    assert least <= len(site.evicted()) <= 2
    assert set(site.evicted()) <= {"worker w1"}
    site.finish()
    assert 1 + least <= len(site.members("w1")) <= 2, "it joined anew once for each eviction"


@pytest.mark.long
def test_a_scheduler_that_was_frozen_accuses_nobody(site: Site) -> None:
    """The only judge sleeps through three silences: it finds them all alive."""
    judge = node_of(site.start("scheduler", name="s1"))
    for name in ("w1", "w2", "w3"):
        site.start(*WORKER, name=name)
    site.submit(400)
    site.until_noted(20)
    for seconds in (2.5, 8.0, 20.0):
        freeze(judge, seconds)
        site.until_noted(60)
        assert site.evicted() == []
    site.finish()
    assert site.evicted() == []


@pytest.mark.long
def test_a_frozen_scheduler_is_evicted_by_the_other_and_thawed_evicts_nobody(site: Site) -> None:
    frozen = node_of(site.start("scheduler", name="s1"))
    site.start("scheduler", name="s2")
    for name in ("w1", "w2"):
        site.start(*WORKER, name=name)
    site.submit(400)
    site.until_noted(20)
    freeze(frozen, 20.0)
    site.until_back("s1")
    site.finish()
    assert site.evicted() == ["scheduler s1"]


@pytest.mark.long
def test_under_full_load_nobody_is_evicted(site: Site) -> None:
    """More processes than cores that do nothing but compute, for half a minute."""
    for name in ("s1", "s2"):
        site.start("scheduler", name=name)
    for name in ("w1", "w2"):
        site.start(*WORKER, name=name)
    burn = "import time; end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
    site.submit(300)
    burning = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(2 * (psutil.cpu_count() or 1))]
    for process in burning:
        process.wait(120)
    site.finish()
    assert site.evicted() == []


@pytest.mark.long
def test_a_killed_scheduler_is_evicted_and_the_other_goes_on(site: Site) -> None:
    doomed = site.start("scheduler", name="s1")
    site.start("scheduler", name="s2")
    site.start(*WORKER, name="w1")
    site.submit(60)
    site.until_noted(20)
    kill_tree(doomed)
    until(lambda: site.evicted() == ["scheduler s1"], 60, site.nodes.said)
    site.finish()


@pytest.mark.long
def test_a_node_that_leaves_in_order_is_not_evicted(site: Site) -> None:
    leaving = site.start("scheduler", name="s1"), site.start(*WORKER, name="w1")
    site.start("scheduler", name="s2")
    site.start(*WORKER, name="w2")
    site.submit(60)
    site.until_noted(20)
    for parent in leaving:
        parent.send_signal(signal.SIGTERM)
    for parent in leaving:
        parent.wait(60)
    site.finish()
    assert site.evicted() == []
