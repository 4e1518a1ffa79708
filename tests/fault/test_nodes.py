"""Many nodes on a real broker: killed, drained and added while a task runs; judged from topics and side effects."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.evidence import Job, check, read_notes, read_topic
from tests.support.nodes import ROOT, Nodes, until

pytestmark = pytest.mark.kafka
CHILDREN, STEPS = 300, 10

TEMPLATE = """
name: steps
params:
  folder: {type: string}
split:
  range: {first: 0, last: 299, size: 1}
child:
  handler: tests.support.handlers:steps
  args: {count: 10, seconds: 0.1, folder: "${folder}"}
"""


def _status(nodes: Nodes, task_id: str) -> dict[str, object]:
    answer = nodes.run("status", task_id, "--json")
    assert answer.returncode == 0, answer.stderr
    document: dict[str, object] = json.loads(answer.stdout)
    return document


def _succeeded(nodes: Nodes, task_id: str) -> int:
    children = _status(nodes, task_id)["children"]
    assert isinstance(children, dict)
    return int(children["succeeded"])


def test_kills_drains_and_joins(nodes: Nodes, tmp_path: Path) -> None:
    """Two schedulers, three workers: one of each killed, one worker drained, one added, while 300 children run."""
    notes = tmp_path / "notes"
    notes.mkdir()
    template = tmp_path / "steps.yaml"
    template.write_text(TEMPLATE)
    worker = ["worker", "--slots", "4", "--allow", "tests.support.handlers", "--checkpoint-interval", "0.1"]
    schedulers = [nodes.start("scheduler") for _ in range(2)]
    workers = [nodes.start(*worker) for _ in range(3)]
    submitted = nodes.run("submit", str(template), "-p", f"folder={notes}", "--task-id", "job")
    assert submitted.returncode == 0, submitted.stderr

    until(lambda: _succeeded(nodes, "job") >= 30, 90, nodes.said)
    workers[0].send_signal(signal.SIGKILL)
    until(lambda: _succeeded(nodes, "job") >= 80, 90, nodes.said)
    schedulers[0].send_signal(signal.SIGKILL)
    until(lambda: _succeeded(nodes, "job") >= 130, 90, nodes.said)
    workers[1].send_signal(signal.SIGTERM)
    workers.append(nodes.start(*worker))
    until(lambda: _status(nodes, "job")["state"] == "succeeded", 150, nodes.said)

    assert workers[1].wait(40) == 0, nodes.said()
    status = _status(nodes, "job")
    assert status["children"] == {
        "total": CHILDREN, "waiting": 0, "queued": 0, "running": 0, "succeeded": CHILDREN, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    prefix = nodes.env["STREAMSCHED_PREFIX"]
    journal = read_topic(nodes.env["STREAMSCHED_BROKERS"], f"{prefix}.events")
    check(journal, read_notes(notes), Job("job", CHILDREN, STEPS))


def test_one_task_of_fifty_submits(nodes: Nodes, tmp_path: Path) -> None:
    """The same id submitted 50 times from 8 processes at once makes one task."""
    script = (
        "import sys; from streamsched import Client\n"
        "with Client() as client:\n"
        "    for _ in range(int(sys.argv[1])):\n"
        "        print(client.submit('examples/print-numbers.yaml', {'n': 10}, task_id='once').first)\n"
    )
    counts = [7, 7, 6, 6, 6, 6, 6, 6]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(count)], cwd=ROOT, env=nodes.env, stdout=subprocess.PIPE, text=True
        )
        for count in counts
    ]
    answers = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert (answers.count("True"), answers.count("False")) == (1, 49)

    nodes.start("scheduler")
    nodes.start("worker", "--slots", "1", "--allow", "streamsched.examples.*")
    until(lambda: _status(nodes, "once")["state"] == "succeeded", 60, nodes.said)
    journal = read_topic(nodes.env["STREAMSCHED_BROKERS"], f"{nodes.env['STREAMSCHED_PREFIX']}.events")
    kinds = [type(event).__name__ for event in journal]
    assert kinds.count("TaskRequested") == 50
    assert kinds.count("TaskPlanned") == kinds.count("TaskSucceeded") == kinds.count("ChildCompleted") == 1
