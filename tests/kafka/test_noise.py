"""Nodes with odd but legal settings run in silence: nothing of the client's own advice, nothing critical."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.site import WORKER, Site

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]
ODD = {
    "classic": """
        "linger.ms" = 5
        "compression.type" = "lz4"
        "acks" = 1
        "message.timeout.ms" = 7000
        "transaction.timeout.ms" = 8000
        "fetch.min.bytes" = 1
        "auto.offset.reset" = "latest"
        "enable.auto.commit" = true
        "isolation.level" = "read_uncommitted"
        "enable.partition.eof" = true
        "check.crcs" = true
        "statistics.interval.ms" = 1000
        "client.rack" = "r1"
        "partition.assignment.strategy" = "range"
        "max.poll.interval.ms" = 60000
        """,
    "long session": '"session.timeout.ms" = 400000',
    "consumer": """
        "group.protocol" = "consumer"
        "linger.ms" = 5
        "fetch.wait.max.ms" = 50
        "socket.keepalive.enable" = true
        """,
}


@pytest.mark.parametrize("table", ODD.values(), ids=ODD.keys())
def test_nodes_say_nothing(table: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    config = tmp_path / "settings.toml"
    config.write_text(f"[kafka]\n{table}")
    options = ("--config", str(config))
    site.nodes.env["STREAMSCHED_CONFIG"] = str(config)
    try:
        nodes = [site.start("scheduler", *options, name="s1"), site.start(*WORKER, *options, name="w1")]
        site.submit(8, steps=2)
        site.finish()
        for process in reversed(nodes):
            process.send_signal(signal.SIGTERM)
        for process in nodes:
            process.wait(60)
        lines = [line for path in tmp_path.glob("*.log") for line in path.read_text().splitlines()]
        said = [line for line in lines if not (" job[" in line or " ready" in line or "GETPID" in line)]
        assert said == []
    finally:
        site.end()
