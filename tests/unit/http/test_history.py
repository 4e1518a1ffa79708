"""The history of everything over HTTP: whole, from any position on, for a few readers who see all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from queue import SimpleQueue
from socket import SHUT_RDWR
from time import monotonic
from typing import Any

import pytest

from streamsched.client import Client
from streamsched.http import histories
from streamsched.http.access import Tokens
from streamsched.reach.problems import ServerUnreachable
from streamsched.reach.wire import Wire
from tests.support.access import as_user, token_file
from tests.support.http_server import Http, furnish, serving


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    furnish(folder, folder / "log", 12)
    return folder


@pytest.fixture
def ask(place: Path) -> Iterator[Http]:
    with serving(place / "log", Tokens(token_file(place))) as found:
        yield as_user(found, "vera")


def test_it_is_whole_and_goes_on_from_any_position(ask: Http, place: Path) -> None:
    found = ask.get("/v1/history")
    assert found.headers["Content-Type"] == "application/x-ndjson"
    with Client(data_dir=place / "log") as client:
        own = [(record.partition, record.offset) for record, _ in client.history()]
    assert [(each["partition"], each["offset"]) for each in found.lines] == own
    assert {each["event"] for each in found.lines} >= {"TaskRequested", "ScheduleSet", "TaskFailed"}
    for at in (0, 1, len(own) // 2, len(own)):
        since: dict[int, int] = {}
        for each in found.lines[:at]:
            since[each["partition"]] = each["offset"] + 1
        text = ",".join(f"{partition}:{offset}" for partition, offset in since.items())
        assert ask.get(f"/v1/history?since={text or '0:0'}").lines == found.lines[at:]
    assert ask.get("/v1/history?until=2020-01-01").lines == []
    assert {each["offset"] for each in ask.get("/v1/history?until=1").lines} == {0}
    for query in ("since=5", "since=x:1", "until=soon"):
        assert ask.get(f"/v1/history?{query}").status == 422


def test_who_sees_some_templates_may_not_and_few_may_at_once(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    assert as_user(ask, "bea").get("/v1/history").problem == "not-permitted"
    monkeypatch.setattr(histories, "READERS", 0)
    assert (ask.get("/v1/history").status, ask.get("/v1/history").problem) == (503, "not-ready")


def test_who_comes_at_the_same_time_is_counted(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    going, answers = threading.Event(), SimpleQueue[int]()

    def slow(*_: object, **__: object) -> Iterator[Any]:
        going.wait(60)
        return iter(())

    monkeypatch.setattr(histories, "history", slow)
    threads = [threading.Thread(target=lambda: answers.put(ask.get("/v1/history").status)) for _ in range(20)]
    for thread in threads:
        thread.start()
    try:
        assert {answers.get(timeout=20) for _ in threads[histories.READERS :]} == {503}
    finally:
        going.set()
        for thread in threads:
            thread.join()
    assert [answers.get() for _ in range(histories.READERS)] == [200] * histories.READERS


def test_a_place_is_free_again_however_a_request_ends(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "READERS", 1)
    for _ in range(2):
        assert ask("HEAD", "/v1/history").status == 200
        assert ask.get("/v1/history").status == 200
    with monkeypatch.context() as broken:
        for name in ("everywhere", "lines"):
            broken.setattr(histories, name, lambda *_: 1 // 0)
            assert ask.get("/v1/history").problem == "unexpected"
    begun, going = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> Iterator[Any]:
        begun.set()
        going.wait(60)
        return iter(())

    with monkeypatch.context() as waits:
        waits.setattr(histories, "history", slow)
        gone = HTTPConnection("127.0.0.1", ask.port)
        gone.request("GET", "/v1/history", headers=ask.headers)
        assert begun.wait(60)
        assert ask.get("/v1/history").status == 503
        gone.sock.shutdown(SHUT_RDWR)
        gone.close()
    deadline = monotonic() + 20
    while (status := ask("HEAD", "/v1/history").status) == 503 and monotonic() < deadline:
        pass
    going.set()
    assert status == 200


def test_for_the_headers_alone_nothing_is_read(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []

    def noted(site: object, *_: object, **__: object) -> Iterator[Any]:
        read.append(site)
        return iter(())

    monkeypatch.setattr(histories, "history", noted)
    found = ask("HEAD", "/v1/history")
    assert (found.status, found.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert found.headers["Streamsched-Position"]
    assert (ask.get("/v1/history").lines, len(read)) == ([], 1)


def test_a_reader_that_is_cut_off_reads_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, cut = Wire.lines, [5, 1, 3]

    def broken(wire: Wire, path: str, query: Any = (), **given: Any) -> Iterator[bytes]:
        for number, line in enumerate(lines(wire, path, query, **given)):
            if cut and number == cut[0]:
                cut.pop(0)
                raise ServerUnreachable("it broke the answer off")
            yield line

    monkeypatch.setattr(Wire, "lines", broken)
    with serving(place / "log") as http_server, Client(url=f"http://127.0.0.1:{http_server.port}") as theirs:
        found = [(record.partition, record.offset) for record, event in theirs.history()]
        cut.append(0)  # and nothing new comes
        with pytest.raises(ServerUnreachable):
            next(theirs.history())
    with Client(data_dir=place / "log") as mine:
        assert found == [(record.partition, record.offset) for record, _ in mine.history()]
    assert cut == []
