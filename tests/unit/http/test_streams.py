"""Streams of events: what they tell, that a reader which comes back misses nothing, and that they are bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.hosting.run import run
from streamsched.http import channels, deltas, streams
from streamsched.http.deltas import Touched
from streamsched.runtime.clock import SystemClock
from tests.support.cli import template
from tests.support.http_server import BODY, COUNT, Http, serving


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Http]:
    with serving(tmp_path / "log") as found:
        yield found


def told(messages: Iterator[dict[str, str]], wanted: Any) -> dict[str, str]:
    """Return the first message whose data is as wanted."""
    return next(each for each in messages if wanted(json.loads(each["data"])))


def test_a_task_is_told_as_it_is_and_then_what_becomes_of_it(ask: Http) -> None:
    ask("PUT", "/v1/tasks/a", BODY)
    ask.get("/v1/tasks/a")
    with ask.stream("/v1/tasks/a/events") as messages:
        first = next(messages)
        assert first["event"] == "task"
        assert json.loads(first["data"])["full"] is True
        position = ask.post("/v1/tasks/a/pause").headers["Streamsched-Position"]
        paused = told(messages, lambda data: data["status"]["state"] == "paused")
        assert paused["id"] == position
        assert json.loads(paused["data"])["grid"] == []
        ask.post("/v1/tasks/a/resume")
        told(messages, lambda data: data["status"]["state"] == "requested")
    assert ask.get("/v1/tasks/none/events").problem == "no-such-task"


def test_a_reader_that_comes_back_is_told_what_it_has_missed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(template(tmp_path, "count"), {"n": 5}, task_id="a", data_dir=log)
    with serving(log) as ask:
        events = ask.get("/v1/tasks/a/history").lines
        place = events[0]["partition"]
        ended = next(each["offset"] for each in events if each["event"] == "ChildCompleted")
        for headers, query in (({"Last_Event_ID": f"{place}:{ended}"}, ""), ({}, f"?after={place}:{ended}")):
            with ask.stream(f"/v1/tasks/a/events{query}", **headers) as messages:
                data = json.loads(next(messages)["data"])
                assert (data["grid"], data["full"], data["status"]["state"]) == ([[0, 5, 3]], False, "succeeded")
        with ask.stream("/v1/tasks/a/events", Last_Event_ID=f"{place}:{events[0]['offset']}") as messages:
            assert json.loads(next(messages)["data"])["full"] is True  # there was no plan yet
        with ask.stream("/v1/events", Last_Event_ID=f"{place}:{ended}") as messages:
            data = json.loads(next(messages)["data"])
            assert [each["task_id"] for each in data["tasks"]] == ["a"]
            assert data["full"] is False


def test_who_has_missed_too_much_is_told_to_load_all_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.missed.MOST", 2)
    monkeypatch.setattr("streamsched.http.desk.PATIENCE_S", 0.2)
    run(template(tmp_path, "count"), {"n": 5}, task_id="a", data_dir=tmp_path / "log")
    with serving(tmp_path / "log") as ask:
        place = ask.get("/v1/tasks/a").headers["Streamsched-Position"].partition(":")[0]
        for path in ("/v1/tasks/a/events", "/v1/events"):
            with ask.stream(path, Last_Event_ID=f"{place}:1") as messages:
                assert json.loads(next(messages)["data"])["full"] is True
        assert ask.get("/v1/events", Last_Event_ID=f"{place}:999999").problem == "behind"
        assert ask.get("/v1/events", Last_Event_ID="rubbish").problem == "input-error"


def test_all_tasks_and_schedules_are_told(ask: Http) -> None:
    with ask.stream("/v1/events") as messages:
        assert json.loads(next(messages)["data"]) == {"tasks": [], "schedules": [], "full": True}
        ask("PUT", "/v1/tasks/a", BODY)
        seen = told(messages, lambda data: data["tasks"])
        assert [each["task_id"] for each in json.loads(seen["data"])["tasks"]] == ["a"]
        after = seen["id"]
        assert ask.get(f"/v1/tasks?at_least={after}").status == 200
        ask("PUT", "/v1/schedules/hourly", {"schedule": {"interval": "1h", "template": COUNT}})
        assert json.loads(next(messages)["data"]) == {"tasks": [], "schedules": ["hourly"], "full": False}


def test_there_are_so_many_streams_and_no_more(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAMS", 2)
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.1)
    with ask.stream("/v1/events"), ask.stream("/v1/events"):
        found = ask.get("/v1/events")
        assert (found.status, found.problem, found.headers["Retry-After"]) == (503, "not-ready", "1")
    while ask("HEAD", "/v1/events").status != 200:  # those that left make room
        pass


@pytest.mark.parametrize("within", ["", "count"])
def test_of_too_many_tasks_it_is_told_that_there_were_more(
    ask: Http, monkeypatch: pytest.MonkeyPatch, within: str
) -> None:
    monkeypatch.setattr(channels, "TOLD", 1)
    asked: list[str] = []

    def task(name: str) -> Any:
        asked.append(name)
        return SimpleNamespace(request=SimpleNamespace(template_name="count"))

    view = SimpleNamespace(positions={}, task=task)
    session: Any = SimpleNamespace(follower=SimpleNamespace(view=view), site=SimpleNamespace(clock=SystemClock()))
    channel = channels.TasksChannel(within)
    for name in "ab":
        channel.take(e.TaskSucceeded(event_id=b"", at=1, by="s", task_id=name, redrive=0, reason="", basis=0))
    message = channel.message(session, look=False)
    assert message is not None
    assert json.loads(message.partition(b"data: ")[2]) == {"tasks": [], "schedules": [], "full": True}
    assert asked == (["a", "b"] if within else []), "who sees all tasks is told without a look at them"


def test_there_are_so_many_connections_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.service.CONNECTIONS", 3)
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.1)
    with serving(tmp_path / "log") as ask:
        with ask.stream("/v1/events"), ask.stream("/v1/events"):
            assert ask.get("/v1/tasks").status == 503
        while ask.get("/v1/tasks").status != 200:  # those that left make room
            pass


def test_a_message_that_cannot_be_made_ends_no_stream(
    ask: Http, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make, fails = channels.TaskChannel.message, iter([True, True])

    def message(*args: Any, **how: Any) -> bytes | None:
        if next(fails, False):
            raise KeyError("a bug")
        return make(*args, **how)

    ask("PUT", "/v1/tasks/a", BODY)
    with ask.stream("/v1/tasks/a/events") as one, ask.stream("/v1/events") as every:
        next(one)
        next(every)
        monkeypatch.setattr(channels.TaskChannel, "message", message)
        assert json.loads(next(one)["data"])["full"] is True
        ask.post("/v1/tasks/a/pause")
        assert json.loads(told(one, lambda data: data["status"]["state"] == "paused")["data"])["full"] is False
        told(every, lambda data: data["tasks"])
    assert caplog.text.count("KeyError: 'a bug'") == 1


def test_a_quiet_stream_beats(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    import http.client

    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.05)
    connection = http.client.HTTPConnection("127.0.0.1", ask.port, timeout=60)
    connection.request("GET", "/v1/events")
    response = connection.getresponse()
    assert any(line.startswith(b": still here") for line in response)
    response.close()
    connection.close()


def test_open_streams_end_with_the_server(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as ask:
        stream = ask.stream("/v1/events")
        messages = stream.__enter__()
        next(messages)
    assert list(messages) == []
    stream.__exit__(None, None, None)


def test_a_reader_that_falls_behind_is_cut_off() -> None:
    channel = channels.TasksChannel("")
    for number in range(channels.KEPT + 1):
        channel.push(b"%d" % number)
    assert channel.since(channel.sent - 1) == [b"%d" % channels.KEPT]
    assert channel.since(channel.sent) == []
    assert channel.since(0) is None
    stream = streams.Stream(streams.Streams())
    stream.channel = channel

    async def read() -> list[bytes]:
        return [message async for message in stream.messages()]

    assert asyncio.run(read()) == [b"retry: 1000\n\n"]
    stream.sent = channel.sent - 2

    async def read_two() -> list[bytes]:
        messages = stream.messages()
        return [await anext(messages), await anext(messages)]

    assert asyncio.run(read_two())[1] == b"%d%d" % (channels.KEPT - 1, channels.KEPT)


def test_events_of_a_great_many_children_are_not_kept_one_by_one() -> None:
    touched, spans = Touched(), Touched()
    ended = {"event_id": b"", "at": 1, "by": "w", "task_id": "a", "ordinal": 1, "attempt": 1, "token": 1}
    for child in range(30_000):
        touched.add(e.ChildStarted(child=child, **ended))  # type: ignore[arg-type]
    assert touched.full
    assert touched.runs(None, ()) is None  # type: ignore[arg-type]
    released = tuple(e.Release(child, child, 1, 0) for child in range(0, 60_000, 2))
    spans.add(e.ChildrenDispatched(event_id=b"", at=1, by="s", task_id="a", releases=released, basis=1))
    assert spans.full


def test_a_great_many_runs_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deltas, "grid_of", lambda *_: b"\1\2\3")
    touched, task = Touched(), SimpleNamespace(split=0)
    touched.add_children({0, 1, 2})
    assert touched.runs(task, ()) == [(0, 1, 1), (1, 1, 2), (2, 1, 3)]  # type: ignore[arg-type]
    monkeypatch.setattr(deltas, "RUNS", 2)
    assert touched.runs(task, ()) is None  # type: ignore[arg-type]
