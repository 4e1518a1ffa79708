"""The HTTP server over a real broker: two of them agree, and a broker that is away takes no answer away."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import cast

import pytest

from streamsched.audit.document import entry
from streamsched.client import Client
from streamsched.domain import events as e
from streamsched.domain.errors import NoSuchTask
from streamsched.hosting.relaying import OutputWriter
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.queries import attempts
from streamsched.queries.logs import LogLine
from streamsched.queries.tasks import Tasks
from streamsched.reach.direct import Direct
from streamsched.scheduler.planner import plan_task
from streamsched.worker.relay import records_of
from tests.kafka.harness import KafkaHarness
from tests.support.http_server import BODY, COUNT, serving
from tests.unit.worker.test_relay import line
from tools.broker import Broker


def made(broker: Broker, harness: KafkaHarness, folder: Path) -> Settings:
    """Make the topics of an installation of its own."""
    settings = Settings(brokers=broker.address, prefix=harness.name("http"), data_dir=folder)
    site = Installation(settings)
    site.create_topics()
    site.close()
    return settings


def test_two_servers_read_and_decide_by_the_same_journal(broker: Broker, harness: KafkaHarness, tmp_path: Path) -> None:
    settings = made(broker, harness, tmp_path)
    with serving(settings) as one, serving(settings) as other:
        submitted = one("PUT", "/v1/tasks/a", BODY)
        assert submitted.status == 201
        position = submitted.headers["Streamsched-Position"]
        assert other.get(f"/v1/tasks/a?at_least={position}").json["state"] == "requested"
        assert other("PUT", "/v1/tasks/a", BODY).status == 200
        with one.stream("/v1/tasks/a/events") as messages:
            next(messages)
            held = other.post("/v1/tasks/a/pause", {"reason": "moved"})
            assert held.json["state"] == "paused"
            told = next(each for each in messages if json.loads(each["data"])["status"]["state"] == "paused")
            assert told["id"].partition(":")[0] == position.partition(":")[0]
        resumed = one.post("/v1/tasks/a/resume")
        assert resumed.json["state"] == "requested"
        events = one.get("/v1/tasks/a/history").lines
        assert [each["event"] for each in events][-2:] == ["TaskPaused", "TaskPaused"]
        read = resumed.headers["Streamsched-Position"]  # a stream begins with what its own server has read
        assert other.get(f"/v1/tasks/a?at_least={read}").json["state"] == "requested"
        then = [other.get(f"/v1/tasks/a?as_of={each['offset'] + 1}").json["state"] for each in events]
        assert then == ["requested", "requested", "paused", "requested"]  # the second request changed nothing
        with other.stream("/v1/tasks/a/events", Last_Event_ID=position) as messages:
            assert json.loads(next(messages)["data"])["status"]["state"] == "requested"
        assert "no scheduler" in one.get("/v1/nodes").json["missing"]


def test_attempts_are_read_back_part_by_part(
    broker: Broker, harness: KafkaHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FIRST", 2)
    monkeypatch.setattr(attempts, "MOST", 2)
    settings = made(broker, harness, tmp_path)
    with Client(settings=settings) as client, closing(Installation(settings, write=True)) as site:
        client.submit(COUNT, {"n": 3}, task_id="c")
        me = site.identity("worker", "w")
        session = cast(Direct, client._reach).session

        def write(event: e.Event) -> None:
            site.log.append([site.records.journal(event, "c")])

        write(plan_task(Tasks(session).find("c"), me, 0))
        for number in (1, 2):
            write(me.sign(e.ChildrenDispatched, task_id="c", releases=(e.Release(0, 2, number, 0),), basis=0))
            for child in (0, 1, 2):
                write(
                    me.sign(
                        e.ChildFailed, task_id="c", child=child, ordinal=number, attempt=number, token=1,
                        started_at=me.clock.now(), sequence=0, state=None, reason="error", error_type="E",
                        message=f"{child} {number}", traceback="", retryable=True, delay=0,
                    )
                )  # fmt: skip
        found = list(client.attempts("c", 1))
        assert [(each.dispatch, each.outcome, each.message) for each in found] == [
            (2, "failed", "1 2"), (1, "failed", "1 1"),
        ]  # fmt: skip
        with serving(settings) as http, Client(url=f"http://127.0.0.1:{http.port}") as theirs:
            assert list(theirs.attempts("c", 1)) == found


def test_a_client_without_rights_on_the_broker_works_through_servers(
    broker: Broker, harness: KafkaHarness, tmp_path: Path
) -> None:
    settings = made(broker, harness, tmp_path)
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(settings)) for _ in range(2)]
        client, second = (stack.enter_context(Client(url=f"http://127.0.0.1:{it.port}")) for it in servers)
        mine = stack.enter_context(Client(settings=settings))
        assert client.submit(COUNT, {"n": 3}, task_id="b").first is True
        assert mine.submit(COUNT, {"n": 3}, task_id="b").first is False
        assert client.status("b").state == "requested"
        assert second.pause("b", reason="moved").state == "paused"
        assert second.why("b").cause == mine.why("b").cause == "paused"
        assert second.status("b").document() == mine.status("b").document()
        assert [entry(*each) for each in second.history("b")] == [entry(*each) for each in mine.history("b")]
        assert second.nodes() == mine.nodes() == []
        assert "no scheduler" in second.missing()
        assert second.resume("b").state == "requested"
        with pytest.raises(NoSuchTask, match=f"no task 'c' in the cluster {broker.address}"):
            client.status("c")


def test_a_broker_that_is_away_takes_no_answer_away(
    doomed: Broker, doomed_harness: KafkaHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = made(doomed, doomed_harness, tmp_path)
    try:
        with serving(settings) as ask:
            position = ask("PUT", "/v1/tasks/a", BODY).headers["Streamsched-Position"]
            assert ask.get(f"/v1/tasks/a?at_least={position}").status == 200
            told = ask.get("/v1/system").json
            assert (told["trouble"], sum(each["end"] for each in told["journal"])) == ("", 1)
            monkeypatch.setattr("streamsched.http.desk.PATIENCE_S", 0.2)
            doomed.pause()
            while "Streamsched-Stale" not in (found := ask.get("/v1/tasks/a")).headers:
                assert found.status == 200
            assert found.json["why"]
            assert ask.get("/v1/tasks").json["items"][0]["task_id"] == "a"
            assert ask.get("/v1/tasks/none").problem == "no-such-task"
            refused = ask.post("/v1/tasks/a/pause")
            assert (refused.status, refused.problem) == (503, "not-ready")
            partition, _, offset = position.partition(":")
            assert ask.get(f"/v1/tasks/a?at_least={partition}:{int(offset) + 5}").problem == "behind"
            assert ask.get("/livez").status == 200
            system = ask.get("/v1/system").json
            assert "does not answer" in system["trouble"]
            assert system["journal"] == told["journal"]
    finally:  # the server has ended without the broker
        doomed.resume()


def test_what_handlers_print_is_read_through_a_server(broker: Broker, harness: KafkaHarness, tmp_path: Path) -> None:
    settings = made(broker, harness, tmp_path)
    with closing(OutputWriter(settings)) as workers, serving(settings) as ask:
        assert ask("PUT", "/v1/tasks/a", BODY).status == 201
        assert ask.get("/v1/tasks/a/logs").lines == []
        workers.write(list(records_of(line("a[0]", "one") + line("b[0]", "other") + line("a[1]", "two"))))
        assert [each["text"] for each in ask.get("/v1/tasks/a/logs").lines] == ["one", "two"]
        assert [each["text"] for each in ask.get("/v1/tasks/a/logs?child=1&limit=1").lines] == ["two"]
        with Client(url=f"http://127.0.0.1:{ask.port}") as client:
            following = cast(Generator[LogLine, None, None], client.logs("a", follow=True))
            assert [next(following).text for _ in range(2)] == ["one", "two"]
            workers.write(list(records_of(line("a[0]", "three"))))
            assert next(following).text == "three"
            following.close()
        assert len(ask.get("/v1/tasks/a/logs").lines) == 3
