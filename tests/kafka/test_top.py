"""``top`` over a real broker: one that is away is said, and holds up neither keys nor the end."""

from __future__ import annotations

from pathlib import Path

from streamsched.client import Client
from tests.kafka.harness import KafkaHarness
from tests.kafka.test_http import made
from tests.support.cli import Cli, template
from tests.support.terminal import Terminal
from tools.broker import Broker


def test_a_broker_that_goes_away(doomed: Broker, doomed_harness: KafkaHarness, tmp_path: Path) -> None:
    settings = made(doomed, doomed_harness, tmp_path / "data")
    with Client(settings=settings) as client:
        client.submit(template(tmp_path, "count"), {"n": 5}, task_id="first")
        client.submit(template(tmp_path, "count"), {"n": 5}, task_id="second")
    options = ("--brokers", doomed.address, "--prefix", settings.prefix)
    with Terminal(Cli(tmp_path), "top", *options) as terminal:
        try:
            text = terminal.until(lambda text: "> second" in text)
            assert "no scheduler" in text
            doomed.pause()
            terminal.until(lambda text: "2 active tasks" not in text)
            assert "first" in terminal.text  # what was known stays
            terminal.send("j")
            terminal.until(lambda text: "> first" in text)
            terminal.send("q")
            assert terminal.ended() == 0
            assert terminal.restored
        finally:
            doomed.resume()
