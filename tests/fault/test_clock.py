"""A machine whose clock is wrong: its scheduler decides nothing until the clock agrees with the broker's."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Final

import pytest

from tests.support.nodes import ROOT, Nodes, until

pytestmark = pytest.mark.kafka
DAY_NS: Final = 86_400 * 10**9
TASK: Final = ("submit", "examples/print-numbers.yaml", "-p", "n=4", "-p", "chunk=1", "--task-id", "job")


@pytest.mark.parametrize("wrong_ns", [DAY_NS, -DAY_NS], ids=["ahead", "behind"])
def test_nothing_is_decided_until_the_clock_agrees(nodes: Nodes, tmp_path: Path, wrong_ns: int) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("q", wrong_ns))
    wrong = {"CHAOS_CLOCK": str(clock), "PYTHONPATH": str(ROOT / "tests" / "chaos" / "clock")}
    scheduler = nodes.start("scheduler", env=wrong)
    data = {"STREAMSCHED_DATA_DIR": str(tmp_path / "worker")}
    nodes.start("worker", "--slots", "1", "--allow", "streamsched.examples.*", env=wrong | data)
    assert nodes.run(*TASK).returncode == 0

    def states() -> set[str]:
        shown = nodes.run("nodes", "--json")
        beats = map(json.loads, shown.stdout.splitlines())
        return {beat["state"] for beat in beats if beat["role"] == "scheduler" and beat["partitions"]}

    until(lambda: states() == {"wrong clock"}, 60, nodes.said)
    told = f"86400 s {'ahead of' if wrong_ns > 0 else 'behind'} the log's: nothing is decided until they agree"
    assert told in nodes.said_by(scheduler)
    status = json.loads(nodes.run("status", "job", "--json").stdout)
    assert status["state"] == "requested"
    assert f"is 86,400 s {'ahead of' if wrong_ns > 0 else 'behind'} the log's, and it decides nothing" in status["why"]

    with clock.open("r+b") as file:  # in place: the processes have mapped it
        file.write(struct.pack("q", 0))
    until(lambda: json.loads(nodes.run("status", "job", "--json").stdout)["state"] == "succeeded", 60, nodes.said)
    until(lambda: states() == {"running"}, 60, nodes.said)
