"""Certificates over HTTP: those of the command, made one at a time, and anew where the task has changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from streamsched.audit.verify import verify
from streamsched.client import Client
from streamsched.http import certificates
from streamsched.http.access import Tokens
from streamsched.http.certificates import Certificates
from streamsched.queries import certificate
from tests.support.access import as_user, token_file
from tests.support.http_server import Http, furnish, serving
from tests.unit.http.test_reading import fits

CERTIFICATE = "/v1/tasks/{id}/certificate"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    furnish(folder, folder / "log", 12)
    return folder


@pytest.fixture
def ask(place: Path) -> Iterator[Http]:
    with serving(place / "log", Tokens(token_file(place))) as found:
        yield found


def test_it_is_that_of_the_command(ask: Http, place: Path) -> None:
    vera = as_user(ask, "vera")
    with Client(data_dir=place / "log") as client:
        for task_id in ("good", "bad"):
            reply = vera.get(f"/v1/tasks/{task_id}/certificate")
            assert fits(reply, CERTIFICATE) == json.loads(json.dumps(client.certify(task_id).document()))
            assert reply.json["holds"] is True
            assert reply.headers["Streamsched-Position"] == f"{reply.json['partition']}:{reply.json['position']}"
    running = vera.get("/v1/tasks/idle/certificate")
    assert (running.status, running.problem) == (409, "not-certifiable")
    assert vera.get("/v1/tasks/none/certificate").problem == "no-such-task"
    assert as_user(ask, "bea").get("/v1/tasks/bad/certificate").problem == "no-such-task"


def test_one_is_made_at_a_time_and_kept(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    going, made = Event(), []

    def slow(**given: object) -> object:
        made.append(given["task_id"])
        given["on_progress"](3, 7)  # type: ignore[operator]
        assert going.wait(60)
        return verify(**given)  # type: ignore[arg-type]

    monkeypatch.setattr(certificate, "verify", slow)
    monkeypatch.setattr(certificates, "PATIENCE_S", 0.01)
    ada = as_user(ask, "ada")
    for _ in range(3):
        waits = ada.get("/v1/tasks/good/certificate")
        assert (waits.status, waits.problem) == (503, "certificate-not-ready")
        assert waits.headers["Retry-After"] == "1"
    assert "3 of 7 records were read" in waits.json["detail"]
    assert "of another task" in ada.get("/v1/tasks/bad/certificate").json["detail"]
    assert ada.get("/v1/tasks/good/stragglers").status == 200  # other reads are answered meanwhile
    going.set()
    monkeypatch.setattr(certificates, "PATIENCE_S", 60.0)
    for _ in range(2):
        assert ada.get("/v1/tasks/good/certificate").status == 200
    assert made == ["good"]
    assert ada.get("/v1/tasks/bad/certificate").status == 200
    assert ada.post("/v1/tasks/bad/redrive").status == 200
    assert ada.get("/v1/tasks/bad/certificate").problem == "not-certifiable"
    assert ada.post("/v1/tasks/bad/cancel").status == 202
    assert made == ["good", "bad"]


def test_one_that_fails_is_told_and_made_anew(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, check = as_user(ask, "ada"), certificate.check
    monkeypatch.setattr(certificate, "check", lambda task: 1 // 0)
    assert ada.get("/v1/tasks/good/certificate").problem == "unexpected"
    monkeypatch.setattr(certificate, "check", check)
    assert ada.get("/v1/tasks/good/certificate").status == 200


def test_one_of_many_who_waited_takes_no_newer_one_away(monkeypatch: pytest.MonkeyPatch) -> None:
    going = {1: Event(), 2: Event()}

    def fail(_: Certificates, settings: object, making: Any) -> Any:
        assert going[making.position].wait(60)
        raise certificate.NotCertifiable("it does not hold", "look at it")

    async def ask(made: Certificates, position: int, former: asyncio.Future[Any] | None = None) -> None:
        if former is not None:
            await asyncio.wait({former})
        task, settings = SimpleNamespace(task_id="good"), None
        with pytest.raises(certificate.NotCertifiable):
            await made.read(settings, task, 0, position)  # type: ignore[arg-type]

    async def all_ask() -> None:
        made = Certificates()
        first = asyncio.create_task(ask(made, 1))
        await asyncio.sleep(0)
        anew = asyncio.create_task(ask(made, 2, made._made["good"].result))
        await asyncio.sleep(0)
        last = asyncio.create_task(ask(made, 1))
        await asyncio.sleep(0)
        going[1].set()  # they go on in their order
        await asyncio.gather(first, last)
        kept = [each.position for each in made._made.values()]
        going[2].set()
        await anew
        assert (kept, [*made._made]) == ([2], [])

    monkeypatch.setattr(Certificates, "_make", fail)
    asyncio.run(all_ask())


def test_a_server_that_ends_does_not_wait_for_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Event()

    def endless(**given: object) -> None:
        begun.set()
        while True:
            given["on_progress"](0, 1)  # type: ignore[operator]

    monkeypatch.setattr(certificate, "verify", endless)
    monkeypatch.setattr(certificates, "PATIENCE_S", 0.01)
    with serving(place / "log") as ask:
        assert ask.get("/v1/tasks/good/certificate").status == 503
        assert begun.wait(60)
