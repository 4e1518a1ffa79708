"""A schedule each second on a real broker, its schedulers killed again and again; judged from the topics."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from streamsched.domain import events as e
from tests.fault.evidence import read_topic
from tests.fault.nodes import Nodes, until

pytestmark = [pytest.mark.fault, pytest.mark.kafka]

FILE = """
interval: 1s
overlap: allow_all
max_catchup_runs: 3
params: {second: "${tick.nominal:epoch}"}
template:
  name: second
  params:
    second: {type: integer}
  split:
    range: {first: "${second}", last: "${second}", size: 1}
  child:
    handler: streamsched.examples.bench:noop
"""


@pytest.mark.parametrize(
    ("seconds", "pause", "silence"),
    [(24, 8, 12), pytest.param(120, 15, 30, marks=pytest.mark.long)],
    ids=["short", "two-minutes"],
)
def test_every_second_is_one_task_whoever_dies(
    nodes: Nodes, tmp_path: Path, seconds: int, pause: int, silence: int
) -> None:
    """Killed with -9 in turn while another one stands by; then all of them stay away for a while."""
    file = tmp_path / "second.yaml"
    file.write_text(FILE)
    worker = nodes.start("worker", "--slots", "2")
    schedulers = [nodes.start("scheduler"), nodes.start("scheduler")]
    until(lambda: all("ready" in nodes.said_by(each) for each in (worker, *schedulers)), 60, nodes.said)
    _told(nodes, "schedule", "create", str(file), "--id", "second")
    for _ in range(seconds // pause):
        time.sleep(pause)
        victim = schedulers.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait(10)
        schedulers.append(nodes.start("scheduler"))
    killed_all = _kill_all(schedulers)
    time.sleep(silence)
    nodes.start("scheduler")
    until(lambda: _events(nodes, e.TicksDecided)[-1].upto > killed_all + silence * 1000, 60, nodes.said)
    _told(nodes, "schedule", "pause", "second")
    until(lambda: len(_events(nodes, e.TaskSucceeded)) == len(_events(nodes, e.TaskRequested)), 60, nodes.said)

    (made,) = _events(nodes, e.ScheduleSet)
    decided = _events(nodes, e.TicksDecided)
    nominals = [at for event in decided for run in event.ticks for at in range(run.first, run.last + 1, 1000)]
    assert nominals == list(range(nominals[0], nominals[-1] + 1, 1000)), "each second once, in order"
    assert 0 < nominals[0] - made.at <= 1000
    fired = [run.first for event in decided for run in event.ticks if run.outcome == "fired"]
    requested = Counter(event.task_id for event in _events(nodes, e.TaskRequested))
    assert set(requested.values()) == {1}
    assert len(requested) == len(fired) == len(_events(nodes, e.TickEnded))
    fates: Counter[str] = Counter()
    for event in decided:
        for run in event.ticks:
            fates[run.outcome] += run.count
    assert set(fates) <= {"fired", "missed", "suppressed"}
    assert fates["missed"] >= silence - 4, "only the latest three were made up for"
    assert fates["fired"] >= seconds - 1
    verified = nodes.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _told(nodes: Nodes, *arguments: str) -> None:
    done = nodes.run(*arguments)
    assert done.returncode == 0, done.stderr


def _kill_all(schedulers: list[subprocess.Popen[bytes]]) -> int:
    for each in schedulers:
        each.send_signal(signal.SIGKILL)
        each.wait(10)
    return time.time_ns() // 1_000_000


def _events(nodes: Nodes, cls: type[e.Event]) -> list[Any]:
    found = read_topic(nodes.env["STREAMSCHED_BROKERS"], f"{nodes.env['STREAMSCHED_PREFIX']}.events")
    return [event for event in found if isinstance(event, cls)]
