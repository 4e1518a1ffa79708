"""Statuses that are kept for others: worked out once, not older than was asked for, told to no stranger."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import pytest

from streamsched.client import Client
from streamsched.http import session
from streamsched.http.access import Tokens
from streamsched.http.desk import Desk
from streamsched.http.positions import Positions
from streamsched.http.session import FollowingSession
from streamsched.queries.presence import Presence
from streamsched.queries.status import TaskStatus
from streamsched.queries.tasks import Tasks
from tests.support.access import as_user, token_file
from tests.support.clients import session_of
from tests.support.http_server import BODY, LIMIT, PAYROLL, Http, serving


def test_a_status_is_worked_out_once_for_all_who_ask_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TOLD_S", LIMIT)
    monkeypatch.setattr(session, "SHARED_S", 0.0)
    worked_out: list[str] = []
    status = Tasks.status

    def counted(tasks: Tasks, task_id: str, presence: Presence) -> TaskStatus:
        worked_out.append(task_id)
        return status(tasks, task_id, presence)

    monkeypatch.setattr(Tasks, "status", counted)
    with serving(tmp_path / "log") as ask:
        for name in ("a", "b"):
            ask("PUT", f"/v1/tasks/{name}", BODY)
        assert wait_for(ask, "a")["priority"] == 0
        worked_out.clear()
        answers = {ask.get("/v1/tasks/a").data for _ in range(20)}
        assert len(answers) == 1
        assert len(worked_out) <= 1
        position = ask("PATCH", "/v1/tasks/a", {"priority": 7}).headers["Streamsched-Position"]
        assert ask.get(f"/v1/tasks/a?at_least={position}").json["priority"] == 7
        worked_out.clear()
        ask.get("/v1/tasks/a")
        with Client(data_dir=tmp_path / "log") as client:  # another process's event ends it, too
            client.set_limits("a", priority=9)
        while ask.get("/v1/tasks/a").json["priority"] != 9:
            pass
        assert len(worked_out) <= 3, "not for each who asked"


def test_who_asks_while_it_is_worked_out_anew_is_told_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("TOLD_S", 0.0), ("SHARED_S", 0.0), ("LATE_S", LIMIT)):
        monkeypatch.setattr(session, name, seconds)
    held, asked, going_on = Event(), Semaphore(0), Event()
    status = Tasks.status

    def slow(tasks: Tasks, task_id: str, presence: Presence) -> TaskStatus:
        if held.is_set():
            asked.release()
            going_on.wait(LIMIT)
        return status(tasks, task_id, presence)

    monkeypatch.setattr(Tasks, "status", slow)
    with serving(tmp_path / "log") as ask:
        ask("PUT", "/v1/tasks/a", BODY)
        wait_for(ask, "a")
        held.set()
        assert {ask.get("/v1/tasks/a").status for _ in range(5)} == {200}, "no request waits for the computation"
        going_on.set()
        assert ask.get("/v1/tasks").status == 200, "by the same thread, behind all that waited for it"
        assert asked.acquire(timeout=LIMIT)
        assert not asked.acquire(blocking=False), "it was worked out once"


def test_who_waits_for_news_is_told_at_once_what_was_folded_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("TOLD_S", 0.0), ("SHARED_S", 0.0), ("LATE_S", LIMIT)):
        monkeypatch.setattr(session, name, seconds)

    async def never(*_: object) -> None:
        raise AssertionError("it waits for what has happened")

    with serving(tmp_path / "log") as ask:
        ask("PUT", "/v1/tasks/a", BODY)
        wait_for(ask, "a")
        seen = ask.get("/v1/tasks/a").headers["ETag"]
        with Client(data_dir=tmp_path / "log") as client:
            client.set_limits("a", priority=9)
            site = session_of(client).site
            home = site.topics.journal_of("a")
            end = site.log.end([home])[home]
        assert ask.get(f"/v1/tasks?at_least={home.partition}:{end}").status == 200, "it was folded"
        monkeypatch.setattr(Desk, "moved", never)
        news = ask.get("/v1/tasks/a", **{"If-None-Match": seen, "Prefer": "wait=30"})
        assert (news.status, news.json["priority"]) == (200, 9)


def test_what_was_told_to_one_is_not_told_to_who_may_not_see_it(tmp_path: Path) -> None:
    with serving(tmp_path / "log", Tokens(token_file(tmp_path))) as ask:
        ada, bea = as_user(ask, "ada"), as_user(ask, "bea")
        ada("PUT", "/v1/tasks/other", PAYROLL)
        assert wait_for(ada, "other")["template"] == "payroll"
        assert bea.get("/v1/tasks/other").problem == "no-such-task"


def wait_for(ask: Http, task_id: str) -> Any:
    """Return the status of a task once it was folded."""
    found = ask.get(f"/v1/tasks/{task_id}")
    assert found.status == 200, "what is not known is looked for in the log"
    return found.json


def test_the_latest_events_of_so_many_tasks_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[set[str]] = []
    take = FollowingSession._take

    def watched(asked: FollowingSession, change: session.Change) -> None:
        take(asked, change)
        known.append({*asked._changed})

    monkeypatch.setattr(session, "KNOWN", 2)
    monkeypatch.setattr(FollowingSession, "_take", watched)
    with serving(tmp_path / "log") as ask:
        for name in "abc":
            ask("PUT", f"/v1/tasks/{name}", BODY)
            wait_for(ask, name)
    assert known == [{"a"}, {"a", "b"}, {"b", "c"}]


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    status = FollowingSession.status

    def watched(asked: FollowingSession, task_id: str, at_least: Positions) -> session.Told:
        found = status(asked, task_id, at_least)
        kept.append(len(asked._told))
        return found

    monkeypatch.setattr(session, "TOLD_S", LIMIT)
    monkeypatch.setattr(FollowingSession, "status", watched)
    with serving(tmp_path / "log") as ask:
        for number in range(6):
            ask("PUT", f"/v1/tasks/t{number}", BODY)
            wait_for(ask, f"t{number}")
        for limit, value in (("KEPT", 3), ("KEPT_BYTES", 1_000)):
            kept.clear()
            with monkeypatch.context() as patch:
                patch.setattr(session, limit, value)
                for _ in range(2):
                    for number in range(6):
                        ask.get(f"/v1/tasks/t{number}")
            assert 1 <= max(kept[1:]) <= 3
