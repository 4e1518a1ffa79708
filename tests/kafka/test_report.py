"""The report of a task over a real broker: who did what is read from the task's partition alone."""

from __future__ import annotations

from pathlib import Path

from streamsched.cli.report_page import page
from streamsched.client import Client
from tests.kafka.harness import KafkaHarness
from tests.kafka.test_http import made
from tests.support.cli import template
from tools.broker import Broker


def test_a_report_of_a_task_that_was_steered(broker: Broker, harness: KafkaHarness, tmp_path: Path) -> None:
    settings = made(broker, harness, tmp_path)
    with Client(settings=settings) as client:
        for number in range(20):
            client.submit(template(tmp_path, "count"), {"n": 5}, task_id=f"other-{number}")
        client.submit(template(tmp_path, "count"), {"n": 5}, task_id="steered", labels={"team": "data"})
        client.pause("steered", reason="<b>moved</b>")
        client.resume("steered")
        found = client.report("steered")
        assert [type(step.event).__name__ for step in found.past.steps] == ["TaskRequested", "TaskPaused", "TaskPaused"]
        assert found.past.counts == {"TaskRequested": 1, "TaskPaused": 2}
        assert found.past.complete
        html = page(found)
        assert "&lt;b&gt;moved&lt;/b&gt;" in html
        assert "no scheduler" in html
