"""Tasks that are paused while every node dies, and tasks that yield, on real nodes: nothing runs, nothing is lost."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import pytest

from streamsched.domain import events as e
from tests.fault.test_eviction import kill_tree
from tests.support.nodes import tell, until
from tests.support.site import WORKER, Site

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(600)]
STILL_S: Final = 5.0
"""Seconds in which nothing may happen."""


def counts(site: Site) -> dict[str, Any]:
    """Return the numbers of children by state, and the state of the task."""
    status = json.loads(site.nodes.run("status", "job", "--json").stdout)
    return {**status["children"], "state": status["state"]}


def live(site: Site) -> int:
    found = counts(site)
    return int(found["queued"] + found["running"])


def change(site: Site, *command: str) -> None:
    done = site.nodes.run(*command)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("quiet", [True, False], ids=["when nothing runs", "at once"])
def test_every_node_is_killed_while_the_task_is_paused(site: Site, quiet: bool) -> None:
    killed = [site.start("scheduler", name="s1"), *(site.start(*WORKER, name=f"w{n}") for n in (1, 2))]
    site.submit(2_000, steps=2, seconds=0.02)
    site.until_noted(1_600)
    change(site, "pause", "job")
    if quiet:
        until(lambda: live(site) == 0, 60, site.nodes.said)
    for node in killed:
        kill_tree(node)
    site.start("scheduler", name="s2")
    for n in (3, 4):
        site.start(*WORKER, name=f"w{n}")
    until(lambda: live(site) == 0, 60, site.nodes.said)
    noted, before = site.noted(), counts(site)
    assert before["state"] == "paused"
    assert 0 < before["succeeded"] < 2_000
    time.sleep(STILL_S)
    assert (site.noted(), counts(site)) == (noted, before)
    change(site, "resume", "job")
    site.finish()
    assert noted >= 2 * before["succeeded"]
    if quiet:
        assert site.noted() == 4_000
    change(site, "audit", "verify")
    tell(f"paused with {before}; {site.noted()} steps of 4000")


def test_long_children_yield_at_their_next_checkpoint(site: Site) -> None:
    site.start("scheduler", name="s1")
    for name in ("w1", "w2"):
        site.start(*WORKER, name=name)
    site.submit(40, steps=100)
    site.until_noted(200)
    change(site, "pause", "job", "--now")
    until(lambda: live(site) == 0, 60, site.nodes.said)
    noted = site.noted()
    assert counts(site)["state"] == "paused"
    time.sleep(STILL_S)
    assert site.noted() == noted
    change(site, "resume", "job")
    site.finish()
    assert site.noted() == 40 * 100
    returned = [event for event in site.journal() if isinstance(event, e.ChildReturned)]
    assert sum(event.state is not None for event in returned) == 8
    change(site, "audit", "verify")
    tell(f"paused at {noted} of 4000 steps; {len(returned)} came back")
