"""Who may do what: tokens, roles, templates, the host that is meant, and the site that a request comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streamsched.domain.errors import InputError
from streamsched.http.access import Tokens
from streamsched.http.beats import HeardBeats
from streamsched.http.call import Route
from streamsched.http.table import ROUTES
from streamsched.log.codec import Undecodable
from streamsched.runtime.clock import SystemClock
from tests.support.access import as_user, token_file, token_line, two_tasks
from tests.support.http_server import BODY, COUNT, PAYROLL, Http, serving
from tests.unit.queries.test_progress import beat


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    folder = tmp_path_factory.mktemp("access")
    with serving(folder / "log", Tokens(token_file(folder)), ("jobs.example.com",)) as found:
        ada = as_user(found, "ada")
        ada.get(f"/v1/tasks?at_least={two_tasks(ada)}")
        yield found


def test_without_a_known_token_nothing_is_told(ask: Http) -> None:
    headers: list[dict[str, str]] = [
        {}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}, {"Authorization": "token of ada"},
        {"Authorization": "Basic dG9rZW4gb2YgYWRh"}, {"Cookie": "streamsched_session=token of ada"},
        {"Cookie": "streamsched_session="},
    ]  # fmt: skip
    for each in headers:
        for path in ("/v1/tasks", "/v1/tasks/mine", "/v1/me", "/v1/events", "/v1/tasks/mine/events"):
            found = Http(ask.port, each).get(path)
            assert (found.status, found.problem) == (401, "not-authenticated")
            assert found.headers["WWW-Authenticate"].startswith("Bearer")
    assert ask.post("/v1/tasks", BODY).status == 401
    assert ask.get("/livez").status == ask.get("/readyz").status == ask.get("/openapi.json").status == 200


def test_each_role_may_do_its_own_and_what_lesser_ones_may(ask: Http) -> None:
    vera, otto, ada = (as_user(ask, name) for name in ("vera", "otto", "ada"))
    for user in (vera, otto, ada):
        assert user.get("/v1/tasks/mine").status == 200
        assert user.get("/v1/dead-letters").status == 200
    assert vera.post("/v1/tasks/mine/pause").problem == "not-permitted"
    assert vera("PATCH", "/v1/tasks/mine", {"priority": 1}).problem == "not-permitted"
    assert otto("PATCH", "/v1/tasks/mine", {"priority": 1}).status == 200
    for user in (vera, otto):
        refused = user("PUT", "/v1/tasks/new", BODY)
        assert (refused.status, refused.problem) == (403, "not-permitted")
    assert ada("PUT", "/v1/tasks/new", BODY).status == 201
    assert ada.get("/v1/me").json == {"name": "ada", "role": "admin", "within": ""}


def test_the_journal_says_who_it_was(ask: Http) -> None:
    ada, otto = as_user(ask, "ada"), as_user(ask, "otto")
    ada("PUT", "/v1/tasks/who", BODY)
    otto.post("/v1/tasks/who/pause")
    otto.post("/v1/tasks/who/cancel")
    events = ada.get("/v1/tasks/who/history").lines
    assert [(each["event"], each["by"]) for each in events] == [
        ("TaskRequested", "ada"), ("TaskPaused", "otto"), ("TaskCancelRequested", "otto"),
    ]  # fmt: skip
    assert events[-1]["reason"] == "cancelled by otto"


def test_a_user_of_some_templates_sees_and_does_nothing_else(ask: Http) -> None:
    bea, abe = as_user(ask, "bea"), as_user(ask, "abe")
    assert {each["template"] for each in bea.get("/v1/tasks").json["items"]} == {"count"}
    assert bea.get("/v1/tasks/mine").status == 200
    for path in ("", "/children", "/grid", "/why", "/failures", "/results", "/history", "/lanes", "/durations",
                 "/workers", "/stragglers", "/events", "/children/0", "/children/0/arguments",
                 "/children/0/attempts", "/logs", "/report"):  # fmt: skip
        assert bea.get(f"/v1/tasks/other{path}").problem == "no-such-task"
    for action in ("cancel", "terminate", "pause", "resume", "redrive"):
        assert bea.post(f"/v1/tasks/other/{action}").problem == "no-such-task"
    assert bea("PATCH", "/v1/tasks/other", {"priority": 1}).problem == "no-such-task"
    assert bea.get("/v1/dead-letters").problem == "not-permitted"
    assert bea.get("/v1/tasks/mine/logs").status == 200
    for name in ("a" * 128, "a%5Cu2028", "a%E2%80%A8"):  # another task may have the same name before its lines
        assert bea.get(f"/v1/tasks/{name}/logs").problem == "not-permitted"
    assert abe("PUT", "/v1/tasks/abes", BODY).status == 201
    assert abe("PUT", "/v1/tasks/abes-other", PAYROLL).problem == "not-permitted"


def hourly(template: str) -> dict[str, object]:
    return {"schedule": {"interval": "1h", "template": {**COUNT, "name": template}}}


def test_a_user_of_some_templates_sees_and_does_nothing_with_other_schedules(ask: Http) -> None:
    ada, abe = as_user(ask, "ada"), as_user(ask, "abe")
    for name in ("count", "payroll"):
        assert ada("PUT", f"/v1/schedules/{name}", hourly(name)).status == 201
    assert [each["schedule_id"] for each in abe.get("/v1/schedules").json["items"]] == ["count"]
    for path in ("", "/ticks", "/history"):
        assert abe.get(f"/v1/schedules/count{path}").status == 200
        assert abe.get(f"/v1/schedules/payroll{path}").problem == "no-such-schedule"
    for action in ("pause", "resume", "trigger"):
        assert abe.post(f"/v1/schedules/payroll/{action}").problem == "no-such-schedule"
    assert abe("DELETE", "/v1/schedules/payroll").problem == "no-such-schedule"
    assert abe("PUT", "/v1/schedules/payroll", hourly("count")).problem == "no-such-schedule"
    assert abe("PUT", "/v1/schedules/new", hourly("payroll")).problem == "not-permitted"


OF_ONE = [route for route in ROUTES if "{id}" in route.path and route.method != "PUT"]
QUERIES = {"count": "?where=state=failed", "preview": "?start=2026-11-01", "grid": "?layer=worker"}
BODIES: dict[str, Any] = {"PATCH": {"priority": 1}, "backfills": {"start": "2026-11-01"}}


@pytest.mark.parametrize("route", OF_ONE, ids=[f"{route.method} {route.path}" for route in OF_ONE])
def test_what_is_out_of_sight_is_told_as_what_is_not_there(ask: Http, route: Route) -> None:
    ada, abe = as_user(ask, "ada"), as_user(ask, "abe")
    of_schedule, last = "/schedules/" in route.path, route.path.rpartition("/")[2]
    ada("PUT", "/v1/schedules/hidden-s", hourly("payroll"))
    body = None if route.body is None else BODIES.get(route.method, BODIES.get(last, {}))

    def told(name: str) -> tuple[int, str]:
        path = route.path.replace("{id}", name).replace("{child}", "0") + QUERIES.get(last, "")
        found = abe(route.method, path, body)
        assert found.problem == ("no-such-schedule" if of_schedule else "no-such-task")
        return found.status, found.data.decode().replace(name, "ID")

    hidden = ("hidden-s",) if of_schedule else ("other", "hidden-s", "hidden-s@2026-11-01T00:00:00Z")
    assert {told(name) for name in hidden} == {told("missing")}


def test_a_change_of_what_is_out_of_sight_is_told_as_of_what_is_not_there(ask: Http) -> None:
    ada, abe = as_user(ask, "ada"), as_user(ask, "abe")
    for name in ("payroll-1", "payroll-2"):
        ada("PUT", f"/v1/schedules/{name}", hourly("payroll"))
    ada("DELETE", "/v1/schedules/payroll-2")
    answers = [abe("PUT", f"/v1/schedules/payroll-{number}", hourly("count"), If_Match="*") for number in (1, 2, 3)]
    assert {each.problem for each in answers} == {"no-such-schedule"}
    assert len({each.data.replace(b"payroll-%d" % number, b"") for number, each in enumerate(answers, 1)}) == 1


def test_a_conflict_tells_nothing_of_a_task_out_of_sight(ask: Http) -> None:
    abe = as_user(ask, "abe")
    taken = abe("PUT", "/v1/tasks/other", BODY)
    assert (taken.status, taken.problem) == (409, "task-conflict")
    assert taken.json["detail"] == "task id 'other' is taken; choose another id"
    assert "other parameters" in abe("PUT", "/v1/tasks/mine", {**BODY, "params": {"n": 9}}).json["detail"]
    assert "payroll" in as_user(ask, "ada")("PUT", "/v1/tasks/other", BODY).json["detail"]


def test_a_history_has_nothing_of_what_has_the_same_id(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bea = as_user(ask, "ada"), as_user(ask, "bea")
    ada("PUT", "/v1/tasks/both", PAYROLL)
    ada("PUT", "/v1/schedules/both", hourly("count"))
    for user in (ada, bea):
        assert [each["event"] for each in user.get("/v1/schedules/both/history").lines] == ["ScheduleSet"]
    assert [each["event"] for each in ada.get("/v1/tasks/both/history").lines] == ["TaskRequested"]
    ada("PUT", "/v1/tasks/asked", BODY)
    assert ada("PUT", "/v1/tasks/asked", PAYROLL).status == 409
    assert [each["template_name"] for each in bea.get("/v1/tasks/asked/history").lines] == ["count"]
    _, last = ada.get("/v1/tasks/asked/history").lines
    report = f"/v1/tasks/asked/report?at_least={last['partition']}:{last['offset'] + 1}"
    for user, number in ((ada, 2), (bea, 1)):
        assert len(user.get(report).json["past"]["steps"]) == number
    told = [{"error": "of payroll"}]
    monkeypatch.setattr("streamsched.http.reports.history", lambda *_, **__: iter([(None, Undecodable("of payroll"))]))
    monkeypatch.setattr("streamsched.http.reports.entry", lambda _, event: {"error": str(event)})
    assert (ada.get("/v1/tasks/mine/history").lines, bea.get("/v1/tasks/mine/history").lines) == (told, [])


def test_what_others_do_leaves_no_trace_in_a_stream(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.channels.TOLD", 1)
    ada, bea = as_user(ask, "ada"), as_user(ask, "bea")
    with ada.stream("/v1/events") as every, bea.stream("/v1/events") as messages:
        next(every)
        next(messages)
        for name in ("one", "two", "three"):
            ada("PUT", f"/v1/tasks/{name}", PAYROLL)
        next(every)  # it was told of them by now
        bea.post("/v1/tasks/mine/pause")
        data = json.loads(next(messages)["data"])
        assert ([each["task_id"] for each in data["tasks"]], data["full"]) == (["mine"], False)


def test_nodes_and_scaling_tell_nothing_of_others(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bea = as_user(ask, "ada"), as_user(ask, "bea")
    mine = ada("PUT", "/v1/tasks/mine-waits", BODY).headers["Streamsched-Position"]
    before = bea.get(f"/v1/scaling?at_least={mine}").json["runnable"]
    other = ada("PUT", "/v1/tasks/other-waits", PAYROLL).headers["Streamsched-Position"]
    now, of_all = (user.get(f"/v1/scaling?at_least={other}").json["runnable"] for user in (bea, ada))
    assert 0 < now == before < of_all
    works = replace(beat(("other-waits", 0, 1)), modules=("payroll",))
    monkeypatch.setattr(HeardBeats, "heard", lambda _: [(works, SystemClock().now())])
    (node,) = ada.get("/v1/nodes").json["items"]
    assert node["modules"] == ["payroll"]
    (node,) = bea.get("/v1/nodes").json["items"]
    assert (node["modules"], node["running"]) == (None, [])


@pytest.mark.parametrize("host", ["evil.example.com", "evil.example.com:80", "127.0.0.1.evil.com", "[::2]", "a b", ""])
def test_another_host_is_refused(ask: Http, host: str) -> None:
    found = as_user(ask, "ada").get("/v1/tasks", Host=host)
    assert found.status == 400
    assert found.problem == "bad-request"


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "[::1]:80", "LOCALHOST", "jobs.example.com:443"])
def test_its_own_names_are_taken(ask: Http, host: str) -> None:
    assert as_user(ask, "ada").get("/v1/tasks", Host=host).status == 200


def test_pages_of_other_sites_may_ask_nothing(ask: Http) -> None:
    ada, here = as_user(ask, "ada"), f"http://127.0.0.1:{ask.port}"
    assert ada.post("/v1/tasks/mine/resume", Sec_Fetch_Site="same-origin", Origin=here).status == 200
    assert ada.get("/v1/tasks", Sec_Fetch_Site="none").status == 200
    for site in ("cross-site", "same-site"):
        assert ada.post("/v1/tasks/mine/pause", Sec_Fetch_Site=site).problem == "not-permitted"
        assert ada.get("/v1/tasks", Sec_Fetch_Site=site).problem == "not-permitted"
        assert ada.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200
        assert ada.post("/v1/session", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").problem == "not-permitted"
    for origin in ("https://evil.example.com", "null", f"http://127.0.0.1:{ask.port + 1}", "http://[", here + ".evil"):
        assert ada.post("/v1/tasks/mine/pause", Origin=origin).problem == "not-permitted"
    assert ask("OPTIONS", "/v1/tasks", Origin=here).status == 405
    assert "Access-Control-Allow-Origin" not in ada.get("/v1/tasks").headers


def test_a_browser_has_a_session_in_place_of_the_token(ask: Http) -> None:
    begun = as_user(ask, "otto").post("/v1/session")
    cookie = begun.headers["Set-Cookie"]
    assert (begun.status, begun.json["name"]) == (201, "otto")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    browser = Http(ask.port, {"Cookie": cookie.partition(";")[0]})
    assert browser.get("/v1/me").json["name"] == "otto"
    assert browser.post("/v1/tasks/mine/resume").status == 200
    ended = browser("DELETE", "/v1/session")
    assert (ended.status, "Max-Age=0" in ended.headers["Set-Cookie"]) == (204, True)
    assert browser.get("/v1/me").status == 401


def test_a_cookie_begins_no_session(ask: Http) -> None:
    cookie = as_user(ask, "vera").post("/v1/session").headers["Set-Cookie"].partition(";")[0]
    for headers in ({}, {"Authorization": "Basic token of vera"}):
        assert Http(ask.port, {**headers, "Cookie": cookie}).post("/v1/session").problem == "not-authenticated"


def test_many_sessions_of_one_token_end_no_others(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.sign_in.MOST", 2)
    names = ("otto", "vera", "vera", "vera")
    cookies = [as_user(ask, name).post("/v1/session").headers["Set-Cookie"].partition(";")[0] for name in names]
    assert [Http(ask.port, {"Cookie": each}).get("/v1/me").status for each in cookies] == [200, 401, 200, 200]


def test_a_session_that_has_ended_makes_room_before_one_that_has_not(
    ask: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsched.http.sign_in.MOST", 2)
    cookies = []
    for lasts_s in (600, 0, 600):
        monkeypatch.setattr("streamsched.http.sign_in.LASTS_S", lasts_s)
        cookies.append(as_user(ask, "vera").post("/v1/session").headers["Set-Cookie"].partition(";")[0])
    assert [Http(ask.port, {"Cookie": each}).get("/v1/me").status for each in cookies] == [200, 401, 200]


def test_a_session_has_an_end_and_so_has_its_stream(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.streams.HEARTBEAT_S", 0.05)
    monkeypatch.setattr("streamsched.http.sign_in.LASTS_S", 2)
    cookie = as_user(ask, "vera").post("/v1/session").headers["Set-Cookie"].partition(";")[0]
    browser = Http(ask.port, {"Cookie": cookie})
    with browser.stream("/v1/events") as messages:
        next(messages)
        assert all("data" in each for each in messages)
    assert browser.get("/v1/me").status == 401


def test_a_stream_ends_with_the_token_or_session_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsched.http.streams.HEARTBEAT_S", 0.05)
    path = token_file(tmp_path)
    with serving(tmp_path / "log", Tokens(path)) as ask:
        cookies = [
            {"Cookie": as_user(ask, name).post("/v1/session").headers["Set-Cookie"].partition(";")[0]}
            for name in ("ada", "otto")
        ]
        left, signed_out = (Http(ask.port, cookie) for cookie in cookies)
        with (
            as_user(ask, "ada").stream("/v1/events") as one,
            left.stream("/v1/events") as two,
            signed_out.stream("/v1/events") as three,
            as_user(ask, "otto").stream("/v1/events") as four,
            as_user(ask, "vera").stream("/v1/events") as five,
        ):
            for messages in (one, two, three, four, five):
                next(messages)
            signed_out("DELETE", "/v1/session")
            assert list(three) == []
            path.write_text(token_line("vera", "viewer") + token_line("otto", "operator:count"))
            assert [*one, *two, *four] == []
            path.write_text(token_line("vera", "viewer") + token_line("ada", "admin"))
            as_user(ask, "ada")("PUT", "/v1/tasks/a", BODY)
            assert '"task_id":"a"' in next(five)["data"]


def test_a_token_that_is_taken_away_opens_nothing_more(tmp_path: Path) -> None:
    path = token_file(tmp_path)
    with serving(tmp_path / "log", Tokens(path)) as ask:
        ada = as_user(ask, "ada")
        cookie = ada.post("/v1/session").headers["Set-Cookie"].partition(";")[0]
        assert ada.get("/v1/me").status == 200
        path.write_text(token_line("eve", "viewer"))
        assert ada.get("/v1/me").status == 401
        assert Http(ask.port, {"Cookie": cookie}).get("/v1/me").status == 401
        assert as_user(ask, "eve").get("/v1/me").json["role"] == "viewer"
        path.write_text("rubbish\n")  # the tokens stay as they were
        assert as_user(ask, "eve").get("/v1/me").status == 200


GOOD = token_line("ada", "admin")
FILES = {
    "": "there is no token", "# nobody\n": "there is no token", "ada:admin:123\n": "tokens.txt:1",
    GOOD + "ada\n": "tokens.txt:2", GOOD + GOOD: "twice", GOOD.replace("admin", "king"): "unknown role 'king'",
    GOOD.replace("admin", "none"): "unknown role 'none'", GOOD.replace("ada:", "a b:"): "not a name",
}  # fmt: skip


@pytest.mark.parametrize("text", FILES)
def test_a_file_of_tokens_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=FILES[text]):
        Tokens(path)
    with pytest.raises(InputError, match="No such file"):
        Tokens(tmp_path / "none.txt")


def test_a_file_of_tokens_that_is_too_long_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text(token_line("abe", "admin:count"))
    monkeypatch.setattr("streamsched.http.access.LONGEST", len(path.read_text()) - len("count\n"))
    with pytest.raises(InputError, match="has more than"):
        Tokens(path)
