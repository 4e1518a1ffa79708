"""Real workers that lack a module, or cannot import it just now: no attempt is lost, and status says why."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.nodes import Nodes, until

pytestmark = pytest.mark.kafka
TEMPLATE = """
name: t
split: {range: {first: 1, last: 12, size: 1}}
child: {handler: "jobs:work", retry: {max_attempts: 1}}
"""
GOOD = "def work(ctx): return 1\n"


def folder(nodes: Nodes, name: str, source: str | None) -> dict[str, str]:
    """Make a folder that a worker imports from; without a source there is no module in it."""
    place = nodes.folder / name
    place.mkdir(exist_ok=True)
    if source is not None:
        (place / "jobs.py").write_text(source)
    return {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}


def submit(nodes: Nodes, task_id: str, template: str = TEMPLATE) -> None:
    (nodes.folder / "t.yaml").write_text(template)
    done = nodes.run("submit", str(nodes.folder / "t.yaml"), "--task-id", task_id)
    assert done.returncode == 0, done.stderr


def status(nodes: Nodes, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(nodes.run("status", task_id, "--json").stdout)
    return found


def ran_on(nodes: Nodes, task_id: str) -> list[tuple[str, int]]:
    """Tell where each child ran, and in which attempt."""
    children = [json.loads(line) for line in nodes.run("children", task_id, "--json").stdout.splitlines()]
    return [(child["worker"], child["attempt"]) for child in children]


def until_succeeded(nodes: Nodes, task_id: str) -> None:
    until(lambda: status(nodes, task_id)["state"] == "succeeded", 60, nodes.said)
    audit = nodes.run("audit", "verify")
    assert audit.returncode == 0, audit.stdout + audit.stderr


def worker(
    nodes: Nodes, name: str, *allow: str, env: dict[str, str], place: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start a worker; it is ready when this returns."""
    modules = [word for module in allow for word in ("--allow", module)]
    started = nodes.start("worker", "--slots", "1", "--name", name, *modules, *place, env=env)
    until(lambda: "ready" in nodes.said_by(started), 60, nodes.said)
    return started


def test_children_run_only_where_they_are_allowed(nodes: Nodes) -> None:
    nodes.start("scheduler")
    env = folder(nodes, "good", GOOD)
    worker(nodes, "a", "other", "jobs.*", env=env)
    worker(nodes, "none", env=env)
    worker(nodes, "b", "jobs", env=env)
    submit(nodes, "routed")
    until_succeeded(nodes, "routed")
    assert ran_on(nodes, "routed") == [("b", 1)] * 12
    shown = {row["name"]: row["modules"] for row in map(json.loads, nodes.run("nodes", "--json").stdout.splitlines())}
    assert (shown["a"], shown["b"], shown["none"]) == (["other", "jobs.*"], ["jobs"], [])


def test_a_task_that_nobody_can_run_waits_and_says_so(nodes: Nodes) -> None:
    submit(nodes, "waiting")
    assert "no scheduler and no worker" in status(nodes, "waiting")["why"]
    nodes.start("scheduler")
    until(lambda: status(nodes, "waiting")["state"] == "running", 60, nodes.said)
    why = status(nodes, "waiting")["why"]
    assert "no worker" in why
    assert "--allow jobs" in why
    env = folder(nodes, "good", GOOD)
    worker(nodes, "a", "other", env=env)
    until(lambda: "no worker allows module jobs" in status(nodes, "waiting")["why"], 30, nodes.said)
    worker(nodes, "b", "jobs", env=env)
    until_succeeded(nodes, "waiting")
    assert status(nodes, "waiting")["why"] == ""


@pytest.mark.parametrize("source", [None, "import nowhere", "def work(", "raise SystemExit(1)", "def other(ctx): ..."])
def test_what_one_worker_cannot_import_runs_elsewhere(nodes: Nodes, source: str | None) -> None:
    nodes.start("scheduler")
    worker(nodes, "a", "jobs", env=folder(nodes, "bad", source))
    submit(nodes, "bounced")
    until(lambda: "a: handler jobs:work" in status(nodes, "bounced")["why"], 60, nodes.said)
    worker(nodes, "b", "jobs", env=folder(nodes, "good", GOOD))
    until_succeeded(nodes, "bounced")
    assert ran_on(nodes, "bounced") == [("b", 1)] * 12


def test_what_cannot_be_imported_just_now_runs_when_it_can(nodes: Nodes) -> None:
    nodes.start("scheduler")
    env = folder(nodes, "late", None)
    worker(nodes, "a", "jobs", env=env)
    submit(nodes, "late")
    until(lambda: "No module named 'jobs'" in status(nodes, "late")["why"], 60, nodes.said)
    folder(nodes, "late", GOOD)
    until_succeeded(nodes, "late")
    assert ran_on(nodes, "late") == [("a", 1)] * 12


def test_children_run_where_the_module_the_queue_and_the_label_are(nodes: Nodes) -> None:
    nodes.start("scheduler")
    env = folder(nodes, "good", GOOD)
    worker(nodes, "no-module", "other", env=env, place=("--queue", "gpu", "--label", "zone=a"))
    worker(nodes, "no-label", "jobs", env={**env, "STREAMSCHED_QUEUE": "gpu default"})
    placed = TEMPLATE.replace("child: {", "child: {needs: {zone: a}, ") + "queue: gpu\n"
    submit(nodes, "placed", placed)
    submit(nodes, "queued", TEMPLATE + "queue: gpu\n")
    submit(nodes, "plain")
    until_succeeded(nodes, "queued")
    until_succeeded(nodes, "plain")
    assert {name for task in ("queued", "plain") for name, _ in ran_on(nodes, task)} == {"no-label"}
    says = "no worker that allows module jobs and serves the queue gpu has the label zone=a: start one with "
    until(lambda: says in status(nodes, "placed")["why"], 30, nodes.said)
    assert status(nodes, "placed")["why"].endswith("'streamsched worker --allow jobs --queue gpu --label zone=a'")
    worker(nodes, "whole", "jobs", env=env, place=("--queue", "gpu", "--label", "zone=a"))
    until_succeeded(nodes, "placed")
    assert ran_on(nodes, "placed") == [("whole", 1)] * 12
    shown = {row["name"]: row for row in map(json.loads, nodes.run("nodes", "--json").stdout.splitlines())}
    assert (shown["whole"]["queues"], shown["whole"]["labels"]) == (["gpu"], {"zone": "a"})
    assert (shown["no-label"]["queues"], shown["no-label"]["labels"]) == (["gpu", "default"], {})


def test_all_workers_are_replaced_by_those_of_another_version_under_load(nodes: Nodes) -> None:
    nodes.start("scheduler")
    slow = "import time\ndef work(ctx):\n    time.sleep(0.2)\n    return {version}\n"
    envs = {version: folder(nodes, f"v{version}", slow.format(version=version)) for version in (1, 2)}
    any_version = TEMPLATE.replace("last: 12", "last: 60")
    text = {n: any_version.replace("child: {", f'child: {{needs: {{version: "{n}"}}, ') for n in (1, 2)}
    old = [worker(nodes, f"old-{n}", "jobs", env=envs[1], place=("--label", "version=1")) for n in range(2)]
    submit(nodes, "first", text[1])
    submit(nodes, "any", any_version)
    until(lambda: status(nodes, "first")["children"]["succeeded"] > 5, 60, nodes.said)
    for n in range(2):
        worker(nodes, f"new-{n}", "jobs", env=envs[2], place=("--label", "version=2"))
    submit(nodes, "second", text[2])
    until(lambda: status(nodes, "first")["state"] == "succeeded", 60, nodes.said)
    for process in old:
        process.terminate()
    until(lambda: all(process.poll() == 0 for process in old), 60, nodes.said)
    until_succeeded(nodes, "second")
    until_succeeded(nodes, "any")
    assert [attempt for _, attempt in ran_on(nodes, "any")] == [1] * 60
    for task_id, version, name in (("first", 1, "old"), ("second", 2, "new")):
        assert all(worker.startswith(name) and attempt == 1 for worker, attempt in ran_on(nodes, task_id))
        found = [json.loads(line) for line in nodes.run("results", task_id, "--json").stdout.splitlines()]
        assert [row["result"] for row in found] == [version] * 60
