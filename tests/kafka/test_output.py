"""What children print under ``run`` on Kafka is read from the topic, and nothing of it is left on the disk."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from streamsched.client import Client
from streamsched.commands.request import want
from streamsched.hosting.run import work_on
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from tests.kafka.harness import KafkaHarness
from tests.support.cli import template
from tools.broker import Broker


def test_run_writes_what_children_print(broker: Broker, harness: KafkaHarness, tmp_path: Path) -> None:
    settings = Settings(brokers=broker.address, prefix=harness.name("output"), data_dir=tmp_path / "data")
    with closing(Installation(settings)) as site:
        site.create_topics()
    wanted = want(template(tmp_path, "count"), {"n": 20}, task_id="t")
    assert work_on(wanted, settings, slots=2)[1].state == "succeeded"
    with Client(settings=settings) as client:
        lines = list(client.logs("t"))
        assert sorted(int(line.text) for line in lines) == [*range(1, 21)]
        assert {line.tail for line in lines} == {False}
        assert [line.text for line in client.logs("t", "3")] == ["4"]
    assert not [file for file in (tmp_path / "data" / "scratch").iterdir() if file.is_dir()]
    assert len((tmp_path / "data" / "output.log").read_text().splitlines()) == 20
