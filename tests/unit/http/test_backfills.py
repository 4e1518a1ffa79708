"""Backfills over HTTP: started once, looked at before, cancelled; and of no template that a user may not see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched.http.access import Tokens
from tests.support.access import as_user, token_file
from tests.support.http_server import COUNT, Http, serving
from tests.unit.http.test_reading import fits

BACKFILLS = "/v1/schedules/daily/backfills"
STRETCH = "start=2026-11-01&end=2026-11-04"
DAYS: dict[str, Any] = {"start": "2026-11-01", "end": "2026-11-04"}


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Http]:
    with serving(tmp_path / "log", Tokens(token_file(tmp_path))) as found:
        assert put(as_user(found, "ada"), "count").status == 201
        yield found


def put(ada: Http, name: str, schedule_id: str = "daily") -> Any:
    schedule = {"cron": "0 0 * * *", "zone": "UTC", "template": {**COUNT, "name": name}}
    return ada("PUT", f"/v1/schedules/{schedule_id}", {"schedule": schedule})


def test_a_preview_tells_of_each_time(ask: Http) -> None:
    vera = as_user(ask, "vera")
    found = vera.get(f"{BACKFILLS}/preview?{STRETCH}")
    assert [(each["nominal"][:10], each["action"], each["state"]) for each in found.lines] == [
        ("2026-11-01", "fire", None), ("2026-11-02", "fire", None), ("2026-11-03", "fire", None),
    ]  # fmt: skip
    first = vera.get(f"{BACKFILLS}/preview?{STRETCH}&newest_first=true&as_of=now").lines[0]
    assert first["nominal"].startswith("2026-11-03")
    for query in ("", "start=soon", "start=2026-11-04&end=2026-11-01", "start=2026-11-01&end=2200-01-01",
                  "start=9999-12-31T23:59:59-23:00", "start=2200-01-01", f"{STRETCH}&reprocess=none"):  # fmt: skip
        assert vera.get(f"{BACKFILLS}/preview?{query}").status == 422
    wrong = vera.get(f"{BACKFILLS}/preview?start=2026-11-04&end=2026-11-01")
    assert wrong.json["errors"][0]["pointer"] == "end"
    empty = vera.get(f"{BACKFILLS}/preview?start=2026-11-01T01:00Z&end=2026-11-01T02:00Z")
    assert empty.json["detail"].endswith("2026-11-01T02:00:00.000Z; give another stretch")
    assert vera.get("/v1/schedules/none/backfills/preview?start=2026-11-01").problem == "no-such-schedule"


def test_it_is_started_once_for_a_key_and_cancelled(ask: Http) -> None:
    otto = as_user(ask, "otto")
    asked = {**DAYS, "max_active": 2, "note": "the store was down"}
    made = otto.post(BACKFILLS, asked, Idempotency_Key="monday")
    told = fits(made, "/v1/schedules/{id}/backfills", "post")["status"]["backfill"]
    assert (made.status, told["number"], told["state"], told["max_active"]) == (201, 1, "active", 2)
    again = otto.post(BACKFILLS, asked, Idempotency_Key="monday")
    assert (again.status, again.json["changed"], again.json["status"]["backfill"]["number"]) == (200, False, 1)
    for headers in ({}, {"Idempotency_Key": "tuesday"}):
        busy = otto.post(BACKFILLS, asked, **headers)
        assert (busy.status, busy.problem) == (409, "schedule-conflict")
    done = otto.post(f"{BACKFILLS}/cancel", {"note": "no more"})
    assert (done.json["changed"], done.json["status"]["backfill"]["state"]) == (True, "cancelled")
    assert otto.post(f"{BACKFILLS}/cancel").json["changed"] is False
    assert otto.post(BACKFILLS, asked, Idempotency_Key="monday").json["changed"] is False  # it was started already
    assert otto.post(BACKFILLS, asked, Idempotency_Key="tuesday").json["status"]["backfill"]["number"] == 2
    requested = [each for each in otto.get("/v1/schedules/daily/history").lines if each["event"] == "BackfillRequested"]
    assert [(each["by"], each["note"]) for each in requested] == [("otto", "the store was down")] * 2


def test_something_else_under_the_same_key_is_a_conflict(ask: Http) -> None:
    otto = as_user(ask, "otto")
    assert otto.post(BACKFILLS, DAYS, Idempotency_Key="monday").status == 201
    others: list[dict[str, Any]] = [
        {"end": "2026-11-03"}, {"start": "2026-11-02"}, {"reprocess": "all"}, {"max_active": 3}, {"newest_first": True},
        {"as_of": "now"}, {"note": "again"},
    ]  # fmt: skip
    for ended in (False, True):
        for other in others:
            found = otto.post(BACKFILLS, {**DAYS, **other}, Idempotency_Key="monday")
            assert (found.status, found.problem) == (409, "schedule-conflict")
            assert "under this key" in found.json["detail"]
        same = {"start": "2026-11-01T00:00:00Z", "end": "2026-11-04T01:00:00+01:00"}
        again = otto.post(BACKFILLS, same, Idempotency_Key="monday")
        assert (again.status, again.json["changed"]) == (200, False)
        if not ended:
            assert otto.post(f"{BACKFILLS}/cancel").json["changed"] is True


def test_who_may_not_starts_and_sees_nothing(ask: Http) -> None:
    vera, ada, bea = (as_user(ask, name) for name in ("vera", "ada", "bea"))
    for path, body in ((BACKFILLS, DAYS), (f"{BACKFILLS}/cancel", {})):
        refused = vera.post(path, body)
        assert (refused.status, refused.problem) == (403, "not-permitted")
    assert len(bea.get(f"{BACKFILLS}/preview?{STRETCH}").lines) == 3
    put(ada, "payroll")
    assert bea.get(f"{BACKFILLS}/preview?{STRETCH}").problem == "no-such-schedule"
    assert bea.post(BACKFILLS, DAYS).problem == "no-such-schedule"
    assert bea.post(f"{BACKFILLS}/cancel").problem == "no-such-schedule"


def test_the_templates_of_then_bound_a_user_too(ask: Http) -> None:
    ada, bea = as_user(ask, "ada"), as_user(ask, "bea")
    for name in ("payroll", "count"):
        put(ada, name, "moved")
    path = "/v1/schedules/moved/backfills"
    for as_of in ("then", "now"):  # as it is now, what was made then could run again
        refused = bea.get(f"{path}/preview?{STRETCH}&as_of={as_of}")
        assert (refused.status, refused.problem) == (422, "input-error")
        assert refused.json["detail"].endswith("does not begin with 'count'; give a later start")
        assert bea.post(path, {**DAYS, "as_of": as_of}).status == 422
    assert ada.post(path, DAYS).status == 201


def test_a_history_tells_nothing_of_the_templates_of_then(ask: Http) -> None:
    ada, bea = as_user(ask, "ada"), as_user(ask, "bea")
    put(ada, "payroll", "moved")
    assert ada.post("/v1/schedules/moved/backfills", DAYS).status == 201
    put(ada, "count", "moved")
    assert b"payroll" in ada.get("/v1/schedules/moved/history").data
    told = bea.get("/v1/schedules/moved/history")
    assert [each["event"] for each in told.lines] == ["ScheduleSet"]
    for path in ("", "/ticks", "/history"):
        assert b"payroll" not in bea.get(f"/v1/schedules/moved{path}").data
