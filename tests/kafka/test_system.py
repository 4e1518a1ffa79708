"""A transaction that hangs on a real broker, as a server tells of it. What it tells of nodes: test_watch.py."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamsched.admin import hanging
from streamsched.installation.site import Installation
from tests.kafka.conftest import make_node
from tests.kafka.forgetting import Forgotten, credulous
from tests.kafka.harness import KafkaHarness
from tests.kafka.test_http import made
from tests.support.http_server import Http, serving
from tools.broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


def test_a_transaction_that_hangs_is_named_until_it_is_ended(
    doomed: Broker, doomed_harness: KafkaHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsched.http.surveys.FRESH_S", 0.0)
    settings = made(doomed, doomed_harness, tmp_path)
    with credulous(doomed), closing(Installation(settings)) as site:
        node = make_node(doomed_harness)
        log: Any = node.log
        member: Any = node.member
        place = site.topics.work_log()[3]
        client = log.settings.writer(doomed_harness.name("forgotten"))
        forgotten = Forgotten(client, place, member.group_metadata(), committed=True)
        forgotten.write(b"again")
        with serving(settings) as ask:
            (told,) = await_hanging(ask, 1)
            assert (told["topic"], told["partition"], told["position"]) == (*place, 2)
            assert (told["transactional_id"], told["decided"]) == (forgotten.transactional_id, "commit")
            assert told["command"] == "streamsched topics repair"
            system = ask.get("/v1/system").json
            (held,) = system["held"]
            assert (held["topic"], held["partition"], held["position"]) == (*place, 2)
            assert held["held_ms"] > 0
            position = system["work_log"][3]
            assert (position["stable"], position["end"]) == (2, 3)
            assert len(hanging.end(site)) == 1
            assert await_hanging(ask, 0) == []
            assert ask.get("/v1/system").json["work_log"][3]["stable"] == 4


def await_hanging(ask: Http, number: int) -> list[dict[str, Any]]:
    """Ask until so many transactions hang; more never do."""
    deadline = time.monotonic() + 60
    while len(found := list(ask.get("/v1/system").json["hanging"])) != number:
        assert len(found) < 2
        assert time.monotonic() < deadline, found
    return found
