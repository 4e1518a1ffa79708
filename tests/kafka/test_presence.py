"""``status`` says who is missing for a task to go on, on a real broker."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.support.cli import template
from tests.support.nodes import Nodes, until
from tools.broker import Broker


def test_status_says_which_nodes_are_missing(broker: Broker, tmp_path: Path) -> None:
    nodes = Nodes(broker.address, tmp_path)
    nodes.env["STREAMSCHED_PREFIX"] = tmp_path.name.replace("_", "-")
    assert nodes.run("topics", "create").returncode == 0

    def why() -> str:
        found: str = json.loads(nodes.run("status", "a", "--json").stdout)["why"]
        return found

    try:
        submitted = nodes.run("submit", str(template(tmp_path, "long")), "-p", "n=1", "--task-id", "a")
        assert (submitted.stdout, submitted.stderr) == ("a\n", "")
        both = "no scheduler and no worker was seen in the last 10 s: start "
        both += "'streamsched scheduler' and 'streamsched worker --allow streamsched.examples.bench'"
        assert why() == both
        assert f"why         {both}" in nodes.run("status", "a").stdout
        scheduler = nodes.start("scheduler")
        until(lambda: why().startswith("no worker was seen in the last 10 s: start"), 60, nodes.said)
        worker = nodes.start("worker", "--slots", "1", "--allow", "streamsched.examples.bench")
        until(lambda: why() == "", 60, nodes.said)
        until(lambda: '"state": "running"' in nodes.run("status", "a", "--json").stdout, 60, nodes.said)
        scheduler.send_signal(signal.SIGKILL)
        until(lambda: why() == "no scheduler was seen in the last 10 s: start 'streamsched scheduler'", 60, nodes.said)
        worker.send_signal(signal.SIGTERM)
        until(lambda: why() == both, 60, nodes.said)
        waiting = nodes.start("submit", str(tmp_path / "long.yaml"), "-p", "n=1", "--task-id", "a", "--wait")
        until(lambda: f"; {both}" in nodes.said_by(waiting), 60, nodes.said)
    finally:
        nodes.end()
