"""The threads behind the handlers, where the log fails them, or is not read yet."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn

import pytest

from streamsched.client import Client
from streamsched.http import desk
from streamsched.http.beats import Beats, HeardBeats
from streamsched.http.desk import Desk
from streamsched.http.session import Change, FollowingSession
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.installation.writing import write
from streamsched.log.embedded import EmbeddedLog
from streamsched.log.port import Append, LogUnreachable, TopicPartition
from streamsched.runtime.clock import SystemClock
from tests.support.clients import session_of
from tests.support.http_server import BODY, COUNT, LIMIT, Http, Reply, serving
from tests.unit.queries.test_progress import beat

NEWER = b"\xc3\x01" + b"\xff" * 8
"""A record of a schema that is not known."""


def test_a_server_that_folds_no_more_does_not_call_itself_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "LOOK_S", 0.01)
    monkeypatch.setattr(desk, "TROUBLE_S", LIMIT)
    with serving(tmp_path / "log") as ask:
        ask("PUT", "/v1/tasks/a", BODY)
        assert ask.get("/readyz").json["trouble"] == ""

        def fail(_: FollowingSession) -> int:
            raise KeyError("a bug")

        heard, look = threading.Semaphore(0), Beats.look

        def listen(beats: Beats) -> None:
            look(beats)
            heard.release()

        monkeypatch.setattr(FollowingSession, "follow", fail)
        while not ask.get("/readyz").json["trouble"]:
            pass
        monkeypatch.setattr(Beats, "look", listen)
        for _ in range(3):
            assert heard.acquire(timeout=LIMIT)
        assert ask.get("/readyz").json["trouble"] == "unexpected KeyError"
        assert "Streamsched-Stale" in ask.get("/v1/tasks/a").headers
        unknown = ask.get("/v1/tasks/none")
        assert (unknown.problem, "Streamsched-Stale" in unknown.headers) == ("no-such-task", True)
        refused = ask.post("/v1/tasks/a/pause")
        assert (refused.status, refused.problem) == (503, "not-ready")
        assert "unexpected KeyError" in refused.json["detail"]
        assert ask.get("/livez").status == 200


def test_an_unknown_id_holds_up_no_other_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered, end = threading.Event(), threading.Event(), EmbeddedLog.end

    def slow(log: EmbeddedLog, places: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        if not threading.current_thread().name.startswith("streamsched-beats"):
            asked.set()
            assert answered.wait(LIMIT)
        return end(log, places)

    with serving(tmp_path / "log") as ask, ThreadPoolExecutor(1) as other:
        position = ask("PUT", "/v1/tasks/a", BODY).headers["Streamsched-Position"]
        assert ask.get(f"/v1/tasks/a?at_least={position}").status == 200
        monkeypatch.setattr(EmbeddedLog, "end", slow)
        unknown = other.submit(ask.get, "/v1/tasks/none")
        assert asked.wait(LIMIT)
        known = other_answers(ask)
        answered.set()
        assert (known, unknown.result().problem) == ([200, 200, 200], "no-such-task")


def test_of_writes_that_wait_for_a_broker_that_is_away_one_alone_asks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "LOOK_S", 0.01)
    handed_in, answers, hand_in = threading.Semaphore(0), threading.Event(), Desk.write

    def away(*_: object) -> NoReturn:
        assert answers.wait(LIMIT)
        raise LogUnreachable("away")

    def unheard(_: Beats) -> NoReturn:
        raise LogUnreachable("away")

    async def write_to(made: Desk, *given: Any) -> Any:
        asyncio.get_running_loop().call_soon(handed_in.release)
        return await hand_in(made, *given)

    with serving(tmp_path / "log") as ask, ThreadPoolExecutor(2) as users:
        monkeypatch.setattr(FollowingSession, "fresh", away)
        monkeypatch.setattr(Desk, "write", write_to)
        writes = [users.submit(ask, "PUT", f"/v1/tasks/{name}", BODY) for name in "ab"]
        for _ in writes:
            assert handed_in.acquire(timeout=LIMIT)
        monkeypatch.setattr(Beats, "look", unheard)
        while not ask.get("/readyz").json["trouble"]:
            pass
        assert ask.post("/v1/tasks", BODY).problem == "not-ready"
        answers.set()
        assert sorted(each.result().problem for each in writes) == ["log-unreachable", "not-ready"]


def test_nodes_are_told_as_they_were_heard_where_the_log_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> NoReturn:
        raise LogUnreachable("away")

    monkeypatch.setattr(desk, "LOOK_S", 0.01)
    with serving(tmp_path / "log") as ask:
        monkeypatch.setattr(HeardBeats, "heard", lambda _: [(beat(), SystemClock().now() - 60_000)])
        monkeypatch.setattr(EmbeddedLog, "end", away)
        while not ask.get("/readyz").json["trouble"]:
            pass
        found = ask.get("/v1/nodes")
        assert "Streamsched-Stale" in found.headers
        (node,) = found.json["items"]
        assert 60_000 <= node["age_ms"] < 60_000 + 1_000 * LIMIT


def other_answers(ask: Http) -> list[int]:
    """Ask for what is known, and give up soon."""
    found = []
    for path in ("/v1/tasks/a", "/v1/tasks", "/v1/tasks/a/grid"):
        connection = HTTPConnection("127.0.0.1", ask.port, timeout=5)
        with closing(connection), suppress(TimeoutError):
            connection.request("GET", path)
            found.append(connection.getresponse().status)
    return found


def test_what_another_has_just_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "IDLE_S", 1.0)
    with serving(tmp_path / "log") as ask, Client(data_dir=tmp_path / "log") as client:
        client.submit(COUNT, task_id="theirs")
        assert ask.get("/v1/tasks/theirs").status == 200


def test_a_long_answer_is_read_from_the_log_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "TOGETHER", 2)
    made: list[int] = []

    def many(_: Installation) -> Iterator[int]:
        for number in range(1_000):
            made.append(number)
            yield number

    async def first() -> None:
        opened = Desk(Settings(data_dir=tmp_path / "log"), lambda *_: None)
        await opened.open()
        entries: Any = opened.each(many)
        async with aclosing(entries):
            assert await anext(entries) == 0
        assert await opened.close()

    asyncio.run(first())
    assert made == [0, 1]


def test_what_is_new_is_folded_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.session.FOLDED_TOGETHER", 2)
    session = FollowingSession(Settings(data_dir=tmp_path / "log"), lambda *_: None, lambda *_: None)
    session.begin()
    with Client(data_dir=tmp_path / "log") as client:
        for name in "abc":
            client.submit(COUNT, task_id=name)
    assert [session.follow() for _ in range(3)] == [2, 1, 0]
    session.close()


def test_what_is_being_folded_is_not_said_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: queue.Queue[Reply] = queue.Queue()
    servers: list[Http] = []
    take = FollowingSession._take

    def taken(session: FollowingSession, change: Change) -> None:
        for ask in servers:
            answers.put(ask.get(f"/v1/tasks/a?at_least={change.partition}:{change.position}"))
        take(session, change)

    monkeypatch.setattr(FollowingSession, "_take", taken)
    monkeypatch.setattr("streamsched.http.session.TOLD_S", LIMIT)
    monkeypatch.setattr(desk, "PATIENCE_S", 0.1)
    with serving(tmp_path / "log") as ask, Client(data_dir=tmp_path / "log") as client:
        client.submit(COUNT, task_id="a")
        assert ask.get("/v1/tasks/a").json["state"] == "requested"
        servers.append(ask)
        client.pause("a")
        assert answers.get(timeout=LIMIT).problem == "behind"


def test_an_answer_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("streamsched.http.service.GRACE_S", 0.1)
    monkeypatch.setattr(desk, "CLOSE_S", 0.1)
    asked, answers = threading.Event(), threading.Event()

    def hang(*_: object) -> NoReturn:
        asked.set()
        answers.wait(2 * LIMIT)
        raise AssertionError

    with ThreadPoolExecutor(1) as user:
        with serving(tmp_path / "log") as ask:
            ask("PUT", "/v1/tasks/a", BODY)
            monkeypatch.setattr("streamsched.http.reports.durations_of", hang)
            asking = user.submit(ask.get, "/v1/tasks/a/durations")
            assert asked.wait(LIMIT)
        answers.set()  # the server has ended
        assert asking.result(LIMIT).status == 500
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [], "no traceback: it was meant"


@pytest.mark.parametrize("value", [b"rubbish", NEWER])
def test_what_is_no_event_is_passed_and_where_a_partition_stands_still_is_told(tmp_path: Path, value: bytes) -> None:
    with serving(tmp_path / "log") as ask, Client(data_dir=tmp_path / "log") as client:
        site = session_of(client).site
        home = site.topics.journal_of("a")
        offset = write(site, Append(home.topic, home.partition, b"a", value))
        if value == NEWER:
            client.submit(COUNT, task_id="a")
            found = ask.get("/v1/tasks/a")
            assert found.problem == "no-such-task"
            assert "stands still" in found.json["detail"]
        else:
            assert ask.get(f"/v1/tasks?at_least={home.partition}:{offset + 1}").status == 200


def test_nothing_is_asked_of_the_session_while_it_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fold, begin = threading.Event(), FollowingSession.begin

    def held(session: FollowingSession) -> None:
        assert fold.wait(LIMIT)
        begin(session)

    monkeypatch.setattr(FollowingSession, "begin", held)
    with serving(tmp_path / "log", folded=False) as ask:
        found = [ask.get(f"/v1/tasks{query}") for query in ("", "?at_least=0:1")]
        streams = ask.get("/v1/events?after=0:1")
        made = (tmp_path / "log").exists()
        fold.set()
        assert [each.problem for each in (*found, streams)] == ["not-ready"] * 3
        assert not made
        while ask.get("/readyz").status != 200:
            pass
