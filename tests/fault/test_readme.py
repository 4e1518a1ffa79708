"""What the README shows must work, on a real cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.brokers import broker
from tests.support.readme import blocks, furnish, shell

pytestmark = pytest.mark.kafka
NODES = """
streamsched topics create
streamsched scheduler &
streamsched worker --slots 2 --allow compress &
"""


def test_the_readme_on_kafka(tmp_path: Path) -> None:
    furnish(tmp_path)
    prefix = tmp_path.name.replace("_", "-")
    where = {"STREAMSCHED_BROKERS": broker().address, "STREAMSCHED_PREFIX": prefix}
    (many,) = blocks("Many nodes on Kafka")
    assert "succeeded: 20 of 20 succeeded" in shell(tmp_path, many.replace("1000000", "20000"), **where)
    client = blocks("In Python", "python")[-1].replace("127.0.0.1:9092", broker().address)
    said = shell(
        tmp_path,
        "\n".join([NODES, *blocks("Your own work"), f"python3 - <<'END'\n{client}END", *blocks("Schedules")]),
        **where,
    )
    assert "0 {'files': 2}" in said
    assert "backfill 1 of schedule nightly done: 3 fired, 3 succeeded" in said
    assert "nightly@2026-11-24T01:30:00Z succeeded: 1 of 1 succeeded" in said
