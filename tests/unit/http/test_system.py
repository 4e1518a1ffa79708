"""The system as a server tells of it: readers share a look at the log, and one that hangs holds up nobody."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamsched.client import Client
from streamsched.http import surveys
from streamsched.http.access import Tokens
from streamsched.installation.writing import write
from streamsched.log.port import LogUnreachable
from streamsched.queries.survey import Survey, Surveyor
from tests.support.access import as_user, token_file
from tests.support.clients import session_of
from tests.support.http_server import BODY, LIMIT, Http, serving
from tests.unit.queries.test_progress import beat


def system(ask: Http) -> Any:
    found = ask.get("/v1/system")
    assert found.status == 200
    return found.json


def test_it_tells_positions_versions_and_who_owns_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "FRESH_S", 0.0)
    with serving(tmp_path / "log") as ask:
        partition, _, end = ask("PUT", "/v1/tasks/a", BODY).headers["Streamsched-Position"].partition(":")
        works = beat()
        with Client(data_dir=tmp_path / "log") as client:
            site = session_of(client).site
            write(site, site.records.beat(works, works.node_id))
        while not (found := system(ask))["nodes"]:
            pass
        assert f"the embedded log in {tmp_path / 'log'}" == found["where"]
        assert found["nodes"][0]["version"] == works.version != found["version"]
        place = found["journal"][int(partition)]
        assert (place["end"], place["stable"], place["folded"], place["folded_lag"]) == (int(end), 1, 1, 0)
        assert (place["committed"], place["lag"], place["owner"]) == (0, 1, None)  # no scheduler has done its work
        assert place["folded_at"] > 1_000_000_000_000
        others = [each for each in found["journal"] if each["partition"] != int(partition)]
        assert {(each["end"], each["folded_at"], each["halted"]) for each in others} == {(0, None, "")}
        owned = {each["partition"]: each["owner_id"] for each in found["work_log"] if each["owner"]}
        assert owned == dict.fromkeys(works.partitions, works.node_id)
        assert len(found["work_log"]) == 64
        assert (found["held"], found["hanging"], found["trouble"]) == ([], [], "")


def test_many_readers_cost_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "PATIENCE_S", LIMIT)
    monkeypatch.setattr(surveys, "FRESH_S", LIMIT)
    looks, go, look = [], threading.Event(), Surveyor.look

    def slow(surveyor: Surveyor) -> Survey:
        looks.append(1)
        assert go.wait(LIMIT)
        return look(surveyor)

    monkeypatch.setattr(Surveyor, "look", slow)
    with serving(tmp_path / "log") as ask, ThreadPoolExecutor(20) as readers:
        asked = [readers.submit(system, ask) for _ in range(20)]
        while not looks:
            pass
        assert ask("PUT", "/v1/tasks/a", BODY).status == 201  # neither reads nor writes wait for it
        assert ask.get("/v1/tasks/a").status == 200
        go.set()
        assert {each.result(LIMIT)["trouble"] for each in asked} == {""}
        assert system(ask)["age_ms"] >= 0
    assert len(looks) == 1


def test_a_log_that_does_not_answer_holds_up_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "PATIENCE_S", 0.05)
    monkeypatch.setattr(surveys, "FRESH_S", 0.0)
    go, look = threading.Event(), Surveyor.look

    def hangs(surveyor: Surveyor) -> Survey:
        assert go.wait(LIMIT)
        return look(surveyor)

    def fails(_: Surveyor) -> Survey:
        raise LogUnreachable("Kafka is away")

    monkeypatch.setattr(Surveyor, "look", hangs)
    with serving(tmp_path / "log") as ask:
        position = ask("PUT", "/v1/tasks/a", BODY).headers["Streamsched-Position"]
        assert ask.get(f"/v1/tasks/a?at_least={position}").status == 200
        found = system(ask)
        assert "has not answered" in found["trouble"]
        assert (found["age_ms"], {each["end"] for each in found["journal"]}) == (None, {None})
        assert {each["lag"] for each in (*found["journal"], *found["work_log"])} == {None}
        assert sum(each["folded"] for each in found["journal"]) == 1
        go.set()
        while (found := system(ask))["age_ms"] is None:
            pass
        assert sum(each["end"] for each in found["journal"]) == 1
        monkeypatch.setattr(Surveyor, "look", fails)
        while (found := system(ask))["trouble"] != "Kafka is away":
            pass
        assert sum(each["end"] for each in found["journal"]) == 1  # of the last look that was answered


def test_who_sees_some_templates_alone_sees_the_system(tmp_path: Path) -> None:
    with serving(tmp_path / "log", Tokens(token_file(tmp_path))) as ask:
        assert as_user(ask, "bea").get("/v1/system").json["trouble"] == ""
        assert ask.get("/v1/system").problem == "not-authenticated"
