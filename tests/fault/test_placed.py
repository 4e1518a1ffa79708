"""Workers that differ, and workers that are all replaced under load: nothing fails, and no attempt is used up."""

from __future__ import annotations

from typing import Final

import pytest

from streamsched.domain import events as e
from tests.fault.test_routing import folder, ran_on, status, submit, until_succeeded, worker
from tests.support.evidence import read_topic
from tests.support.nodes import Nodes, tell, until

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(600)]
CHILDREN: Final = 1_000
TEMPLATE: Final = """
name: t
split: {range: {first: 1, last: 1000, size: 1}}
child: {handler: "jobs:work", retry: {max_attempts: 1}NEEDS}
"""
PLAIN: Final = TEMPLATE.replace("NEEDS", "")
PLACED: Final = TEMPLATE.replace("NEEDS", ", needs: {zone: a}")
QUICK: Final = "import time\ndef work(ctx):\n    time.sleep(0.02)\n    return VERSION\n"
SLOW: Final = QUICK.replace("0.02", "0.2")


def nothing_failed(nodes: Nodes, *tasks: str) -> None:
    """No child has failed, and each ran in its first attempt."""
    journal = read_topic(nodes.env["STREAMSCHED_BROKERS"], f"{nodes.env['STREAMSCHED_PREFIX']}.events")
    assert [event for event in journal if isinstance(event, e.ChildFailed)] == []
    for task in tasks:
        assert {attempt for _, attempt in ran_on(nodes, task)} == {1}


def test_everything_runs_where_it_can(nodes: Nodes) -> None:
    nodes.start("scheduler")
    good, lacking = folder(nodes, "good", QUICK.replace("VERSION", "1")), folder(nodes, "lacking", None)
    worker(nodes, "no-module", "jobs", env=lacking, place=("--label", "zone=a"))
    worker(nodes, "no-label", "jobs", env=good)
    worker(nodes, "whole", "jobs", env=good, place=("--label", "zone=a"))
    submit(nodes, "placed", PLACED)
    submit(nodes, "plain", PLAIN)
    until_succeeded(nodes, "placed")
    until_succeeded(nodes, "plain")
    nothing_failed(nodes, "placed", "plain")
    assert {name for name, _ in ran_on(nodes, "placed")} == {"whole"}
    assert {name for name, _ in ran_on(nodes, "plain")} == {"no-label", "whole"}


def test_all_workers_are_replaced_one_by_one(nodes: Nodes) -> None:
    nodes.start("scheduler")
    envs = {version: folder(nodes, f"v{version}", SLOW.replace("VERSION", str(version))) for version in (1, 2)}
    old = [worker(nodes, f"old-{n}", "jobs", env=envs[1]) for n in range(4)]
    submit(nodes, "rolled", PLAIN)
    until(lambda: status(nodes, "rolled")["children"]["succeeded"] > 50, 60, nodes.said)
    for n, process in enumerate(old):
        worker(nodes, f"new-{n}", "jobs", env=envs[2])
        process.terminate()
        assert process.wait(60) == 0, nodes.said()
    assert status(nodes, "rolled")["state"] == "running"
    until_succeeded(nodes, "rolled")
    nothing_failed(nodes, "rolled")
    where = [name[:3] for name, _ in ran_on(nodes, "rolled")]
    tell(f"{where.count('old')} children on old workers, {where.count('new')} on new ones")
    assert {"old", "new"} == set(where)
