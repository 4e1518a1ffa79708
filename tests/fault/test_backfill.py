"""A backfill on a real broker, its schedulers killed on the way; judged from the topics."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import pytest

from streamsched.domain import events as e
from tests.support.evidence import read_topic
from tests.support.nodes import Nodes, until

pytestmark = pytest.mark.kafka

TIMES = 24
FILE = """
interval: 1h
params: {hour: "${tick.nominal:epoch}"}
template:
  name: hourly
  params:
    hour: {type: integer}
  split:
    range: {first: "${hour}", last: "${hour}", size: 1}
  child:
    handler: streamsched.examples.bench:sleep
    args: {seconds: 0.3, checkpoint_every: 0.1}
"""
E = TypeVar("E", bound=e.Event)


def test_every_past_time_is_one_task_and_is_redriven_once_whoever_dies(nodes: Nodes, tmp_path: Path) -> None:
    file = tmp_path / "hourly.yaml"
    file.write_text(FILE)
    worker = nodes.start("worker", "--slots", "3", "--allow", "streamsched.examples.*")
    schedulers = [nodes.start("scheduler"), nodes.start("scheduler")]
    until(lambda: all("ready" in nodes.said_by(each) for each in (worker, *schedulers)), 60, nodes.said)
    now = int(time.time())
    stretch = ("--start", _utc(now - TIMES * 3600), "--end", _utc(now), "--max-active", "3")
    assert _told(nodes, "schedule", "create", str(file))["changed"]
    assert _told(nodes, "schedule", "pause", "hourly")["changed"], "a backfill goes on all the same"
    for number, reprocess in enumerate(("missing", "all"), 1):
        asked = _told(nodes, "schedule", "backfill", "hourly", *stretch, "--reprocess", reprocess)
        assert asked["backfill"]["number"] == number
        time.sleep(1)
        victim = schedulers.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait(10)
        schedulers.append(nodes.start("scheduler"))
        until(lambda: _told(nodes, "schedule", "show", "hourly")["backfill"]["state"] == "done", 90, nodes.said)
    found = _told(nodes, "schedule", "show", "hourly")["backfill"]
    assert found["counts"] == {"redriven": TIMES, "succeeded": TIMES}

    requested = Counter(event.task_id for event in _events(nodes, e.TaskRequested))
    assert len(requested) == TIMES
    assert set(requested.values()) == {1}
    redriven = Counter(event.task_id for event in _events(nodes, e.TaskRedriven))
    assert redriven == requested
    ends = Counter((event.task_id, event.redrive) for event in _events(nodes, e.TickEnded))
    assert ends == {(task_id, redrive): 1 for task_id in requested for redrive in (0, 1)}
    assert len(_events(nodes, e.TickReopened)) == TIMES
    verified = nodes.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _told(nodes: Nodes, *arguments: str) -> Any:
    done = nodes.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _events(nodes: Nodes, cls: type[E]) -> list[E]:
    found = read_topic(nodes.env["STREAMSCHED_BROKERS"], f"{nodes.env['STREAMSCHED_PREFIX']}.events")
    return [event for event in found if isinstance(event, cls)]
