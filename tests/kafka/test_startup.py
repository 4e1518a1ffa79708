"""``submit`` and ``status`` import what they need and no more, on Kafka."""

from __future__ import annotations

import uuid
from contextlib import closing
from pathlib import Path

from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from tests.support.cli import Cli
from tests.support.startup import HEAVY, READING, TEMPLATES, imported
from tools.broker import Broker


def test_submit_and_status_import_no_more_than_they_need(broker: Broker, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    settings = Settings(brokers=broker.address, data_dir=tmp_path, prefix=f"startup-{uuid.uuid4().hex[:8]}")
    cli.environment |= {"STREAMSCHED_BROKERS": settings.brokers, "STREAMSCHED_PREFIX": settings.prefix}
    with closing(Installation(settings)) as site:
        site.create_topics()
    submitted = imported(cli, "submit", str(cli.template("count")))
    assert "confluent_kafka" in submitted
    assert submitted & (HEAVY | READING) == set()
    cli("submit", cli.template("count"), "--task-id", "counted")
    looked = imported(cli, "status", "counted")
    assert "confluent_kafka" in looked
    assert looked & (HEAVY | TEMPLATES) == set()
