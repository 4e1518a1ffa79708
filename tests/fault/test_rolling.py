"""Nodes of two versions side by side, in every order of an upgrade. ``STREAMSCHED_FORMER``: the former one's python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Final

import pytest

from streamsched.domain import events as e
from tests.support.evidence import read_topic
from tests.support.nodes import ROOT, Nodes, tell, until

FORMER: Final = os.environ.get("STREAMSCHED_FORMER", "")
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not FORMER, reason="STREAMSCHED_FORMER names no python of a former version"),
]
OLD, NEW = FORMER, sys.executable
WORKER: Final = ("worker", "--slots", "2", "--allow", "streamsched.examples.bench")
TEMPLATE: Final = """
name: former
params: {children: {type: integer}}
split: {range: {first: 1, last: "${children}", size: 1}}
child:
  handler: streamsched.examples.bench:sleep
  args: {seconds: 0.02, checkpoint_every: 0.01}
  retry: {max_attempts: 2}
failure: {tolerate: 1%}
"""
FAILS: Final = """
name: fails
split: {range: {first: 1, last: 20, size: 1}}
child: {handler: streamsched.examples.bench:fail, retry: {initial_interval: 0.1s}}
"""


def command(nodes: Nodes, python: str, *arguments: str) -> str:
    """Run one command of a version, with a view of its own."""
    env = {**nodes.env, "STREAMSCHED_DATA_DIR": str(nodes.folder / f"view-{python == OLD}")}
    words = [python, "-m", "streamsched", *arguments]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def submit(nodes: Nodes, python: str, task: str, children: int) -> None:
    template = nodes.folder / "former.yaml"
    template.write_text(TEMPLATE)
    command(nodes, python, "submit", str(template), "-p", f"children={children}", "--task-id", task)


def submit_failing(nodes: Nodes) -> None:
    template = nodes.folder / "fails.yaml"
    template.write_text(FAILS)
    command(nodes, NEW, "submit", str(template), "--task-id", "fails")


def state(nodes: Nodes, python: str, task: str) -> str:
    return str(json.loads(command(nodes, python, "status", task, "--json"))["state"])


def until_succeeded(nodes: Nodes, task: str, children: int) -> None:
    """Wait for the task's end; both versions say the same of it, and the audit of the newer one finds nothing."""

    def seen(python: str) -> tuple[str, int]:
        status = json.loads(command(nodes, python, "status", task, "--json"))
        return status["state"], status["children"]["succeeded"]

    until(lambda: seen(NEW)[0] == "succeeded", 120, nodes.said)
    assert seen(NEW) == seen(OLD) == ("succeeded", children)


def start(nodes: Nodes, python: str, *arguments: str) -> subprocess.Popen[bytes]:
    name = f"{arguments[0]}-{len(nodes.said_by_each())}"
    node = nodes.start(*arguments, "--name", name, python=python)
    until(lambda: f"{name} ready" in nodes.said_by(node), 60, nodes.said)
    return node


def replace(nodes: Nodes, node: subprocess.Popen[bytes], *arguments: str) -> None:
    """Start a new node in the place of an old one, which is drained."""
    start(nodes, NEW, *arguments)
    node.terminate()
    assert node.wait(60) == 0, nodes.said()


def judge(nodes: Nodes) -> None:
    command(nodes, NEW, "audit", "verify")
    journal = read_topic(nodes.env["STREAMSCHED_BROKERS"], f"{nodes.env['STREAMSCHED_PREFIX']}.events")
    assert [event for event in journal if isinstance(event, e.ChildFailed)] == []
    assert "UnknownSchema" not in nodes.said()
    assert "halted" not in nodes.said()


@pytest.mark.parametrize("scheduler", [OLD, NEW], ids=["old-scheduler", "new-scheduler"])
@pytest.mark.parametrize("worker", [OLD, NEW], ids=["old-worker", "new-worker"])
def test_whichever_is_older(nodes: Nodes, scheduler: str, worker: str) -> None:
    start(nodes, scheduler, "scheduler")
    start(nodes, worker, *WORKER)
    for name, client in (("by-old", OLD), ("by-new", NEW)):
        submit(nodes, client, name, 300)
    for name in ("by-old", "by-new"):
        until_succeeded(nodes, name, 300)
    submit(nodes, NEW, "cancelled", 5_000)
    command(nodes, OLD, "cancel", "cancelled")
    until(lambda: state(nodes, OLD, "cancelled") == "cancelled", 60, nodes.said)
    judge(nodes)


def test_children_that_fail_on_older_workers(nodes: Nodes) -> None:
    start(nodes, NEW, "scheduler")
    start(nodes, OLD, *WORKER)
    submit_failing(nodes)
    until_succeeded(nodes, "fails", 20)


def test_children_that_fail_on_newer_workers(nodes: Nodes) -> None:
    """Such workers do not tell an older scheduler the cause of a failure, which it could not read."""
    start(nodes, OLD, "scheduler")
    start(nodes, NEW, *WORKER)
    submit_failing(nodes)
    until_succeeded(nodes, "fails", 20)


@pytest.mark.parametrize("first", ["schedulers", "workers"])
def test_an_upgrade_under_load(nodes: Nodes, first: str) -> None:
    schedulers = [start(nodes, OLD, "scheduler") for _ in range(2)]
    workers = [start(nodes, OLD, *WORKER) for _ in range(2)]
    for n, client in enumerate((OLD, NEW, OLD, NEW)):
        submit(nodes, client, f"rolled-{n}", 4_000)
    order = [("scheduler", schedulers), ("worker", workers)]
    for role, old in order if first == "schedulers" else reversed(order):
        for node in old:
            replace(nodes, node, *(("scheduler",) if role == "scheduler" else WORKER))
    states = [state(nodes, NEW, f"rolled-{n}") for n in range(4)]
    tell(f"{first} first: states after the upgrade {states}")
    for n in range(4):
        until_succeeded(nodes, f"rolled-{n}", 4_000)
    judge(nodes)
