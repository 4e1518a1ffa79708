"""What handlers have printed, through a server: of a task, of a child, the last lines, and what comes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched.client import Client
from streamsched.domain.errors import InputError
from streamsched.hosting.run import run
from streamsched.http.openapi import document
from streamsched.http.tasks import found_by
from tests.support.cli import Cli, template
from tests.support.http_server import Http, furnish, serving
from tests.support.json_schema import Checker

API = document()
CHILDREN = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("logs")
    furnish(place, place / "log", CHILDREN)
    return place / "log"


@pytest.fixture(scope="module")
def ask(folder: Path) -> Iterator[Http]:
    with serving(folder) as found:
        yield found


def texts(lines: list[dict[str, Any]]) -> list[str]:
    return [each["text"] for each in lines]


def test_a_line_is_as_the_document_of_the_api_says(ask: Http) -> None:
    found = ask.get("/v1/tasks/good/logs")
    content = API["paths"]["/v1/tasks/{id}/logs"]["get"]["responses"]["200"]["content"]
    assert list(content) == [found.headers["Content-Type"]] == ["application/x-ndjson"]
    schema = API["components"]["schemas"]["LogLine"]
    checker = Checker({**schema, "components": API["components"]})
    assert len(found.lines) == CHILDREN
    for each in found.lines:
        assert checker.fits(each, schema), each
        assert set(each) == {"time", "child", "attempt", "text", "tail"}
    assert sorted(int(each) for each in texts(found.lines)) == [*range(1, CHILDREN + 1)]
    assert found.headers["Streamsched-Position"]


def test_of_a_child_and_the_last_lines(ask: Http) -> None:
    assert texts(ask.get("/v1/tasks/good/logs?child=3").lines) == ["4"]
    assert texts(ask.get("/v1/tasks/good/logs?child=0003").lines) == ["4"]
    for unknown in ("split", "12"):
        refused = ask.get(f"/v1/tasks/good/logs?child={unknown}")
        assert (refused.status, refused.problem) == (422, "input-error")
    everything = ask.get("/v1/tasks/good/logs").lines
    assert ask.get("/v1/tasks/good/logs?limit=5").lines == everything[-5:]
    assert ask.get("/v1/tasks/good/logs?limit=5&follow=true").lines == everything[-5:]
    assert ask.get("/v1/tasks/idle/logs").lines == []


@pytest.mark.parametrize("query", ["child=first", "child=", "limit=0", "limit=1001", "limit=x", "follow=2", "tail=1"])
def test_what_is_none_is_refused(ask: Http, query: str) -> None:
    assert ask.get(f"/v1/tasks/good/logs?{query}").status == 422


def test_of_no_task(ask: Http) -> None:
    assert ask.get("/v1/tasks/none/logs").problem == "no-such-task"


def test_so_many_readers_and_no_more(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.logs.READERS", 0)
    found = ask.get("/v1/tasks/good/logs")
    assert (found.status, found.problem) == (503, "not-ready")


def test_a_place_is_taken_at_once_and_free_again(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.logs.READERS", 1)
    for _ in range(2):
        assert ask.get("/v1/tasks/none/logs").problem == "no-such-task"
        assert ask("HEAD", "/v1/tasks/idle/logs?follow=true").status == 200
        assert ask.get("/v1/tasks/good/logs?limit=1").status == 200
        assert ask.get("/v1/tasks/good/logs").status == 200
    going, begun, answers = threading.Event(), threading.Event(), []

    async def slow(*given: Any) -> Any:
        begun.set()
        while not going.is_set():
            await asyncio.sleep(0.01)
        return await found_by(*given)

    monkeypatch.setattr("streamsched.http.logs.found_by", slow)
    thread = threading.Thread(target=lambda: answers.append(ask.get("/v1/tasks/good/logs").status))
    thread.start()
    assert begun.wait(60)
    timer = threading.Timer(10, going.set)
    timer.start()
    assert ask.get("/v1/tasks/none/logs").problem == "not-ready"
    timer.cancel()
    going.set()
    thread.join()
    assert answers == [200]


@pytest.mark.slow
def test_it_is_followed_until_the_task_is_done(tmp_path: Path) -> None:
    log = tmp_path / "log"
    file = template(tmp_path, "count")
    with serving(log) as http, Client(url=f"http://127.0.0.1:{http.port}") as client:
        client.submit(file, {"n": 20}, task_id="t")
        worker = threading.Thread(target=run, args=(file, {"n": 20}), kwargs={"task_id": "t", "data_dir": log})
        assert list(client.logs("t")) == []
        worker.start()
        followed = [int(line.text) for line in client.logs("t", follow=True)]
        worker.join()
        assert sorted(followed) == [*range(1, 21)]


@pytest.mark.slow
def test_a_server_that_ends_ends_what_is_followed(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as http:
        with Client(url=f"http://127.0.0.1:{http.port}") as client:
            client.submit(template(tmp_path, "count"), task_id="idle")
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(len(http.get("/v1/tasks/idle/logs?follow=true").data)))
        thread.start()
        while not http.get("/metrics").data:
            pass
    thread.join(30)
    assert len(answers) == 1


def test_the_command_shows_the_same_through_a_server(ask: Http, folder: Path) -> None:
    mine, theirs = Cli(folder.parent), Cli(folder.parent)
    theirs.environment["STREAMSCHED_SERVER"] = f"http://127.0.0.1:{ask.port}"
    for words in (["good"], ["good", "3"], ["good", "--follow"], ["idle"], ["bad"]):
        found = theirs.here("logs", *words)
        assert (found.stdout, found.stderr) == (
            (other := mine.here("--data-dir", folder, "logs", *words)).stdout, other.stderr,
        )  # fmt: skip
    assert len(theirs.here("logs", "good").stdout.splitlines()) == CHILDREN
    theirs.here("logs", "none", code=4)
    assert "is no child" in theirs.here("logs", "good", "first", code=2).stderr
    with Client(url=f"http://127.0.0.1:{ask.port}") as client, pytest.raises(InputError, match="is no child"):
        list(client.logs("good", "first"))
