"""What is read of the journal for one answer: never in the thread of the session, and others read in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from streamsched.http import backfills, desk, reports
from streamsched.http.session import FollowingSession
from streamsched.log import scan
from streamsched.queries import slices
from tests.support.http_server import Http, furnish, serving


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aside")
    furnish(folder, folder / "log", 12)
    return folder


@pytest.fixture
def ask(place: Path) -> Iterator[Http]:
    with serving(place / "log") as found:
        yield found


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a turn to others after each record, and tell which thread read it."""
    threads: list[str] = []

    def records(*args: Any, **given: Any) -> Iterator[Any]:
        for record in scan.records(*args, **given):
            threads.append(threading.current_thread().name)
            yield record

    monkeypatch.setattr(slices, "records", records)
    monkeypatch.setattr(slices, "LOOK", 1)
    monkeypatch.setattr(slices, "SLICE_S", -1.0)
    return threads


UNREAD = {
    "hourly": "; what became of its last time was not read: the journal is too long",
    "hourly@2026-01-01T00:00:00Z": "what became of its time was not read: the journal is too long",
}


@pytest.mark.parametrize("name", UNREAD)
def test_the_why_of_a_schedule_reads_aside_and_not_for_long(
    ask: Http, turns: list[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = ask.get(f"/v1/tasks/{name}/why")
    assert whole.json.get("cause", whole.status) == ("nodes" if name == "hourly" else 404)
    assert turns
    assert all(each.startswith("streamsched-reading") for each in turns)
    monkeypatch.setattr(reports, "WHY_S", -1.0)
    turns.clear()
    found = ask.get(f"/v1/tasks/{name}/why").json
    assert found["why"].endswith(UNREAD[name])
    assert len(turns) == 1


STRETCH = "start=2026-11-01&end=2026-11-01T02:00:00Z"
PREVIEW = f"/v1/schedules/hourly/backfills/preview?{STRETCH}"


def test_the_history_of_a_schedule_for_a_backfill_is_read_aside(
    ask: Http, turns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = mock.Mock(wraps=desk._together)
    monkeypatch.setattr(desk, "_together", looks)
    assert [each["action"] for each in ask.get(PREVIEW).lines] == ["fire", "fire"]
    assert all(each.startswith("streamsched-reading") for each in turns)
    assert looks.call_count > len(turns) > 0
    monkeypatch.setattr(backfills, "READ_S", -1.0)
    for found in (ask.get(PREVIEW), ask.post("/v1/schedules/hourly/backfills", {"start": "2026-11-01"})):
        assert (found.status, found.problem) == (503, "not-ready")


def test_who_only_looks_has_the_session_fold_nothing(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FollowingSession, "fresh", mock.Mock(side_effect=AssertionError))
    assert len(ask.get(PREVIEW).lines) == 2
    assert ask.get("/v1/tasks/good/certificate").json["holds"] is True
    assert ask.get("/v1/tasks/none/certificate").problem == "no-such-task"


ATTEMPTS = "/v1/tasks/good/children/5/attempts"


def test_so_many_look_for_attempts_and_each_gives_its_place_back(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "READERS", 1)
    going = threading.Event()

    def endless(_: Any, __: Any) -> Iterator[None]:
        while not going.wait(0.01):
            yield None

    for _ in range(2):
        assert len(ask.get(ATTEMPTS).lines) == 1
        assert ask("HEAD", ATTEMPTS).status == 200
        assert ask.get("/v1/tasks/good/children/99/attempts").problem == "input-error"
        assert ask.get("/v1/tasks/none/children/0/attempts").problem == "no-such-task"
    with monkeypatch.context() as patched, closing(HTTPConnection("127.0.0.1", ask.port, timeout=60)) as first:
        patched.setattr(reports, "find_attempts", endless)
        first.request("GET", ATTEMPTS)
        response = first.getresponse()
        refused = ask.get(ATTEMPTS)
        assert (refused.status, refused.problem) == (503, "not-ready")
        response.close()  # it leaves before the end
    deadline = time.monotonic() + 20
    while ask.get(ATTEMPTS).status != 200:
        assert time.monotonic() < deadline
    going.set()
