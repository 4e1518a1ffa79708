"""A cluster of three brokers that loses one of them (-9) while a task runs, and gets it back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import brokers
from tests.support.evidence import Job, check, read_notes, read_topic
from tests.support.nodes import Nodes, until
from tests.support.site import TEMPLATE, WORKER
from tools.cluster import Cluster

pytestmark = pytest.mark.kafka
JOB = Job("job", children=60, steps=10)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    own = brokers.start_cluster(tmp_path / "cluster")
    yield own
    own.stop()


@pytest.fixture
def nodes(cluster: Cluster, tmp_path: Path) -> Iterator[Nodes]:
    started = Nodes(cluster.address, tmp_path)
    until(lambda: started.run("topics", "create").returncode == 0, 60, started.said)  # a new cluster has much to do
    yield started
    started.end()


def test_one_of_three_is_lost_and_comes_back(cluster: Cluster, nodes: Nodes, tmp_path: Path) -> None:
    """The one that is lost coordinates the workers' group, and leads what it leads; nothing waits for its return."""
    notes = tmp_path / "notes"
    notes.mkdir()
    template = tmp_path / "task.yaml"
    template.write_text(TEMPLATE.format(handler="steps", seconds=0.1))
    nodes.start("scheduler")
    both = [nodes.start(*WORKER) for _ in range(2)]
    given = {"children": JOB.children, "steps": JOB.steps, "folder": notes}
    options = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    submitted = nodes.run("submit", str(template), *options, "--task-id", JOB.task_id)
    assert submitted.returncode == 0, submitted.stderr

    def status() -> Any:
        answer = nodes.run("status", JOB.task_id, "--json")
        return json.loads(answer.stdout) if answer.returncode == 0 else {"state": answer.stderr, "children": {}}

    def done(count: int) -> bool:
        return int(status()["children"].get("succeeded", 0)) >= count

    until(partial(done, 5), 90, nodes.said)
    cluster.await_in_step()
    lost = cluster.group_coordinator("streamsched.workers")
    lost.kill()
    before = len(read_notes(notes))
    until(lambda: len(read_notes(notes)) > before + 100, 90, nodes.said)
    lost.start()
    until(lambda: status()["state"] == "succeeded", 120, nodes.said)

    check(read_topic(cluster.address, "streamsched.events"), read_notes(notes), JOB)
    assert [node.poll() for node in both] == [None, None], nodes.said()
    cluster.await_in_step()
