"""Hundreds of running children of a task that is cancelled or terminated: how long until it has ended."""

from __future__ import annotations

import time
from typing import Final

import pytest

from streamsched import Client
from streamsched.domain import events as e
from tests.support import life
from tests.support.evidence import read_topic
from tests.support.nodes import Nodes, tell, until

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(600)]
WAITING: Final = 100
TEMPLATE: Final = """
name: many
params: {{folder: {{type: string}}}}
split: {{range: {{first: 1, last: {children}, size: 1}}}}
child:
  handler: tests.support.life:{handler}
  args: {{seconds: 600, folder: "${{folder}}"}}{options}
"""


@pytest.mark.parametrize("kill", [False, True], ids=["cancel", "terminate"])
@pytest.mark.parametrize(
    ("handler", "slots", "each"),
    [("waits", 4, 125), ("stands", 100, 1), ("deaf", 100, 1)],
)
def test_many_children_end(nodes: Nodes, handler: str, slots: int, each: int, *, kill: bool) -> None:
    nodes.start("scheduler")
    for _ in range(2):
        nodes.start("worker", "--slots", str(slots // 2), "--allow", "tests.support.life")
    running, options = slots * each, f"\n  concurrency: {each}" if each > 1 else ""
    notes = nodes.folder / "notes"
    notes.mkdir()
    template = nodes.folder / "many.yaml"
    template.write_text(TEMPLATE.format(children=running + WAITING, handler=handler, options=options))
    brokers, prefix = nodes.env["STREAMSCHED_BROKERS"], nodes.env["STREAMSCHED_PREFIX"]
    with Client(brokers=brokers, prefix=prefix, data_dir=nodes.folder / "client") as client:
        task = client.submit(template, {"folder": str(notes)})
        until(lambda: len(life.runs(notes)) >= running, 200, nodes.said)
        begun = time.monotonic()
        client.cancel(task.task_id, kill=kill)
        status = client.wait(task.task_id, 60)
        tell(f"{running} x {handler}, kill={kill}: ended {time.monotonic() - begun:.2f} s after the command")
    assert status.state == "cancelled"
    assert status.children.cancelled == running + WAITING
    assert len(life.runs(notes)) == running
    outcomes = [event for event in read_topic(brokers, f"{prefix}.events") if isinstance(event, e.ChildFailed)]
    assert outcomes == []
    assert nodes.run("audit", "verify").returncode == 0
