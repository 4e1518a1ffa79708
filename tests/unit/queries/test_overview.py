"""What is looked at for long costs by what is seen, and is told anew when it has changed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streamsched.client import Client
from streamsched.installation.settings import Settings
from streamsched.queries.overview import Overview
from streamsched.reach import overview_of, remote_overview
from streamsched.reach.wire import Reply, Wire
from streamsched.view.view import View
from tests.support.http_server import COUNT, furnish, serving

pytestmark = pytest.mark.slow


def test_a_task_that_has_ended_is_loaded_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    furnish(tmp_path, log, 12)
    loaded: list[str] = []
    load = View.task

    def counted(view: View, task_id: str) -> object:
        loaded.append(task_id)
        return load(view, task_id)

    monkeypatch.setattr(View, "task", counted)
    looking = Overview(Settings(data_dir=log), lambda done, total: None)
    with closing(looking) as overview, Client(data_dir=log) as other:
        overview.begin()
        assert overview.task_ids() == ["idle", "bad", "good"]
        assert overview.active == "1"
        loaded.clear()
        for _ in range(3):
            assert overview.follow(1.0)
            for task_id in overview.task_ids():
                brief, status = overview.brief(task_id), overview.status(task_id)
                assert brief is not None
                assert status is not None
                assert overview.stragglers(task_id) == ()
                assert bool(overview.failures(task_id)) == (task_id == "bad")
        assert loaded == ["bad", "good"]
        other.redrive("bad", reason="again")
        while overview.active == "1":
            overview.follow(0.1)
        assert overview.task_ids()[:2] == ["idle", "bad"]
        brief = overview.brief("bad")
        assert brief is not None
        assert brief.redrive == 1
        assert overview.brief("none") is None
        assert overview.failures("none") == ()


def test_through_a_server_the_same_is_seen_and_it_is_not_asked_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, asked = tmp_path / "log", []
    furnish(tmp_path, log, 12)
    ask = Wire.ask

    def counted(wire: Wire, method: str, path: str, **given: Any) -> Reply:
        reply = ask(wire, method, path, **given)
        asked.append((path, reply.status))
        return reply

    monkeypatch.setattr(Wire, "ask", counted)
    with serving(log) as http:
        theirs = overview_of(Settings(server=f"http://127.0.0.1:{http.port}"), lambda done, total: None)
        mine = overview_of(Settings(data_dir=log), lambda done, total: None)
        with closing(theirs), closing(mine):
            theirs.begin()
            mine.begin()
            assert (theirs.task_ids(), theirs.active, theirs.nodes()) == (mine.task_ids(), mine.active, [])
            for task_id in mine.task_ids():
                brief, status, before = theirs.brief(task_id), theirs.status(task_id), mine.status(task_id)
                assert brief is not None
                assert status is not None
                assert before is not None
                assert replace(status, eta=None) == replace(before, eta=None)
                assert list(theirs.failures(task_id)) == list(mine.failures(task_id))
                assert list(theirs.stragglers(task_id)) == list(mine.stragglers(task_id))
            assert theirs.brief("none") is None
            assert theirs.status("none") is None
            assert theirs.failures("none") == ()
            asked.clear()
            monkeypatch.setattr(remote_overview, "GAP_S", 0.0)
            monkeypatch.setattr(remote_overview, "TASKS_S", 60.0)
            for _ in range(5):
                assert theirs.follow(1.0)
                assert theirs.status("bad") is not None
                assert len(theirs.failures("bad")) == len(mine.failures("bad"))
            assert {path for path, _ in asked} == {"/v1/tasks/bad", "/v1/tasks/bad/failures"}
            assert [status for _, status in asked].count(304) >= 8
            monkeypatch.setattr(remote_overview, "TASKS_S", 0.0)
            monkeypatch.setattr(remote_overview, "LISTED", 1)
            with Client(data_dir=log) as other:
                other.submit(COUNT, task_id="newer")
            while theirs.task_ids()[0] != "newer":
                theirs.follow(1.0)
            assert theirs.active == "more than 1"
            assert http.get("/v1/tasks?state=active").json["items"][0]["task_id"] == "newer"
