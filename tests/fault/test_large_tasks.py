"""Twenty tasks of ten million children that no worker is there for, in real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.support.nodes import ROOT, Nodes, until

pytestmark = pytest.mark.kafka
LIMIT: Final = 150 * 1024 * 1024
"""Bytes that a process may have resident."""
LARGE: Final = """
name: big
split: {range: {first: 1, last: 10000000, size: 1}}
child: {handler: streamsched.examples.bench:noop, args: {}}
"""
PEAK: Final = """
import sys
from streamsched.cli.main import main
try:
    main()
finally:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(int(peak.split()[1]) * 1024, file=sys.stderr)
"""
"""A command, then the most bytes that it had resident. (`ru_maxrss` starts with the size of the parent.)"""


@pytest.mark.timeout(900)
def test_a_scheduler_and_the_commands_stay_small(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(LARGE)
    for number in range(20):
        assert nodes.run("submit", str(tmp_path / "large.yaml"), "--task-id", f"big-{number}").returncode == 0
    scheduler = nodes.start("scheduler")

    def listed(state: str) -> int:
        return len(nodes.run("list", "--state", state, "--json").stdout.splitlines())

    until(lambda: listed("running") == 20, 180, nodes.said)
    _small(nodes, scheduler)
    for number in range(20):
        assert nodes.run("cancel", f"big-{number}").returncode == 0
    until(lambda: listed("cancelled") == 20, 180, nodes.said)
    assert json.loads(nodes.run("status", "big-7", "--json").stdout)["children"]["cancelled"] == 10_000_000
    for number in range(20):
        assert nodes.run("redrive", f"big-{number}").returncode == 0
    until(lambda: listed("running") == 20, 180, nodes.said)
    _small(nodes, scheduler)
    assert nodes.run("audit", "verify").returncode == 0


def _small(nodes: Nodes, scheduler: subprocess.Popen[bytes]) -> None:
    node = psutil.Process(scheduler.pid)
    for process in (node, *node.children(recursive=True)):
        size = process.memory_info().rss
        assert size < LIMIT, f"{process.name()}: {size:,} bytes"
    for command in (["list"], ["status", "big-3"], ["children", "big-3", "--state", "running"], ["audit", "verify"]):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *command], cwd=ROOT, env=nodes.env, capture_output=True, text=True, timeout=180
        )
        peak = int(done.stderr.split()[-1])
        assert peak < LIMIT, f"{command}: {peak:,} bytes"
