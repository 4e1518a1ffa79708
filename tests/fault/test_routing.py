"""Real workers that lack a module, or cannot import it just now: no attempt is lost, and status says why."""

from __future__ import annotations

import json
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


def submit(nodes: Nodes, task_id: str) -> None:
    (nodes.folder / "t.yaml").write_text(TEMPLATE)
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


def worker(nodes: Nodes, name: str, *allow: str, env: dict[str, str]) -> None:
    """Start a worker; it is ready when this returns."""
    modules = [word for module in allow for word in ("--allow", module)]
    started = nodes.start("worker", "--slots", "1", "--name", name, *modules, env=env)
    until(lambda: "ready" in nodes.said_by(started), 60, nodes.said)


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
