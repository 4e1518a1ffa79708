"""What is asked of tasks that have ended: each answer is as the API's document says, and as the command line tells."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest

from streamsched.client import Client
from streamsched.http import call, desk, tasks
from streamsched.http.desk import Desk
from streamsched.http.layers import Layers
from streamsched.http.openapi import document
from streamsched.queries import attempts, children_page, status
from streamsched.queries.layers import duration_byte
from tests.support.http_server import Http, Reply, furnish, serving
from tests.support.json_schema import Checker

API = document()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have a task that succeeded, one that failed, and one that was never worked on."""
    place = tmp_path_factory.mktemp("reading")
    log = place / "log"
    furnish(place, log, 12)
    return log


@pytest.fixture(scope="module")
def ask(folder: Path) -> Iterator[Http]:
    with serving(folder) as found:
        yield found


def fits(reply: Reply, path: str, method: str = "get") -> Any:
    """Check an answer against the document of the API, and return what it holds."""
    said = API["paths"][path][method]["responses"]
    answer = said[str(reply.status)]
    if "$ref" in answer:
        answer = API["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    ((kind, content),) = answer["content"].items()
    assert reply.headers["Content-Type"] == kind
    checker = Checker({**content["schema"], "components": API["components"]})
    assert checker.fits(reply.json, content["schema"]), (path, reply.json)
    return reply.json


PAGES = {
    "/v1/tasks": "/v1/tasks", "/v1/tasks/good": "/v1/tasks/{id}", "/v1/tasks/good/children": "/v1/tasks/{id}/children",
    "/v1/tasks/bad/children/1": "/v1/tasks/{id}/children/{child}", "/v1/tasks/idle/why": "/v1/tasks/{id}/why",
    "/v1/tasks/good/children/2/arguments": "/v1/tasks/{id}/children/{child}/arguments",
    "/v1/tasks/bad/failures": "/v1/tasks/{id}/failures", "/v1/tasks/good/durations": "/v1/tasks/{id}/durations",
    "/v1/tasks/good/stragglers": "/v1/tasks/{id}/stragglers", "/v1/tasks/bad/lanes": "/v1/tasks/{id}/lanes",
    "/v1/tasks/bad/report": "/v1/tasks/{id}/report",
    "/v1/schedules": "/v1/schedules", "/v1/schedules/hourly": "/v1/schedules/{id}",
    "/v1/schedules/hourly/ticks": "/v1/schedules/{id}/ticks", "/v1/nodes": "/v1/nodes", "/v1/system": "/v1/system",
    "/v1/dead-letters": "/v1/dead-letters", "/v1/scaling": "/v1/scaling", "/v1/me": "/v1/me",
    "/v1/errors/no-such-task": "/v1/errors/{name}", "/livez": "/livez", "/readyz": "/readyz",
    "/v1/tasks/none": "/v1/tasks/{id}", "/v1/schedules/none": "/v1/schedules/{id}",
    "/v1/dead-letters/7": "/v1/dead-letters/{number}", "/v1/errors/none": "/v1/errors/{name}",
}  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_each_answer_is_as_the_document_says(ask: Http, path: str) -> None:
    found = ask.get(path)
    fits(found, PAGES[path])
    assert found.status == (404 if path.rpartition("/")[2] in ("none", "7") else 200)


def test_no_answer_may_be_guessed_at_framed_or_kept(ask: Http) -> None:
    for path in ("/v1/tasks", "/nowhere", "/", "/v1/tasks/good/grid", "/v1/tasks/none"):
        headers = ask.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] in ("no-store", "private, no-cache", "no-cache")
        assert "Server" not in headers


def test_a_status_is_the_document_of_the_command_line(ask: Http, folder: Path) -> None:
    with Client(data_dir=folder) as client:
        for task in ("good", "bad"):
            assert ask.get(f"/v1/tasks/{task}").json == json.loads(json.dumps(client.status(task).document()))


def test_a_list_is_filtered_and_read_page_by_page(ask: Http) -> None:
    assert [each["task_id"] for each in ask.get("/v1/tasks?state=succeeded").json["items"]] == ["good"]
    assert [each["task_id"] for each in ask.get("/v1/tasks?label=team=data").json["items"]] == ["good"]
    assert [each["task_id"] for each in ask.get("/v1/tasks?template=fail&since=2020-01-01").json["items"]] == ["bad"]
    assert ask.get("/v1/tasks?since=2999-01-01").json == {"items": [], "next": None}
    found, cursor = [], ""
    while cursor is not None:
        page = ask.get(f"/v1/tasks?limit=1{cursor and f'&cursor={cursor}'}").json
        found += [each["task_id"] for each in page["items"]]
        cursor = page["next"]
    assert found == ["idle", "bad", "good"]


def test_a_cursor_holds_for_its_own_list_and_filter_alone(ask: Http) -> None:
    cursor = ask.get("/v1/tasks?limit=1").json["next"]
    others = ("state=failed&", "label=a=b&", "template=count&", "since=2020-01-01&")
    for path in (*(f"/v1/tasks?{each}" for each in others), "/v1/tasks/good/children?", "/v1/dead-letters?"):
        found = ask.get(f"{path}cursor={cursor}")
        assert (found.status, found.problem) == (422, "input-error")
    for wrong in ("x", "%00", "a" * 2000, cursor[:-2]):
        assert ask.get(f"/v1/tasks?cursor={wrong}").status == 422


def test_children_are_read_page_by_page_by_state_and_selector(ask: Http) -> None:
    found, cursor = [], ""
    while cursor is not None:
        page = ask.get(f"/v1/tasks/good/children?limit=5&state=succeeded{cursor and f'&cursor={cursor}'}").json
        found += [each["child"] for each in page["items"]]
        cursor = page["next"]
    assert found == list(range(12))
    wanted = ask.get("/v1/tasks/bad/children?where=state=failed+and+index=1..2+and+attempts>=2").json
    assert [each["child"] for each in wanted["items"]] == [1, 2]
    assert ask.get("/v1/tasks/bad/children?where=error=KeyError").json == {"items": [], "next": None}
    assert [each["state"] for each in ask.get("/v1/tasks/idle/children").json["items"]] == []
    assert ask.get("/v1/tasks/good/children/3").json["result"] == {"count": 1}
    none = ask.get("/v1/tasks/good/children/12")
    assert (none.problem, [each["pointer"] for each in none.json["errors"]]) == ("input-error", ["child"])
    assert ask.get("/v1/tasks/good/children/3/arguments").json == {
        "runs": "streamsched.examples.numbers:print_numbers", "args": {"first": 4, "last": 4}, "inputs": [],
    }  # fmt: skip
    assert ask.get("/v1/tasks/idle/children/0/arguments").problem == "input-error"
    wrong = ask.get("/v1/tasks/good/children?where=colour=red")
    assert (wrong.status, wrong.problem) == (422, "selector-error")


def test_children_that_meet_a_selector_are_counted(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(task_id: str, where: str) -> Any:
        return fits(ask.get(f"/v1/tasks/{task_id}/count?where={quote(where)}"), "/v1/tasks/{id}/count")

    assert counted("good", "index=3..8") == {"children": 6, "states": {"succeeded": 6}, "next": None}
    assert counted("bad", "state=failed and error=RuntimeError")["states"] == {"failed": 3}
    assert counted("bad", "error=KeyError") == {"children": 0, "states": {}, "next": None}
    assert ask.get("/v1/tasks/good/count").status == 422
    assert ask.get("/v1/tasks/good/count?where=colour=red").problem == "selector-error"
    monkeypatch.setattr(tasks, "SEARCH_S", -1.0)
    monkeypatch.setattr(children_page, "LOOKED_AT", 5)
    found, cursor = [], ""
    while cursor is not None:
        part = ask.get(f"/v1/tasks/good/count?where={quote('index=1..11')}{cursor and '&cursor=' + cursor}").json
        found.append(part["children"])
        cursor = part["next"]
    assert found == [5, 5, 1]
    first = ask.get(f"/v1/tasks/good/count?where={quote('index=1..11')}").json["next"]
    assert ask.get(f"/v1/tasks/good/count?where={quote('index=1..9')}&cursor={first}").status == 422


@pytest.mark.parametrize(("bound", "value"), [("PAGE_BYTES", 1), ("SEARCH_S", 0.0)])
def test_a_page_that_is_large_or_slow_ends_early_and_says_so(
    ask: Http, monkeypatch: pytest.MonkeyPatch, bound: str, value: float
) -> None:
    monkeypatch.setattr(f"streamsched.http.tasks.{bound}", value)
    monkeypatch.setattr("streamsched.http.tasks.TOGETHER", 1)
    for path, every in (("/v1/tasks", 3), ("/v1/tasks/good/children", 12)):
        found, cursor = 0, ""
        while cursor is not None:
            page = ask.get(f"{path}{cursor and f'?cursor={cursor}'}").json
            assert len(page["items"]) <= 1
            found, cursor = found + len(page["items"]), page["next"]
        assert found == every


def test_results_and_history_are_a_document_a_line(ask: Http) -> None:
    found = ask.get("/v1/tasks/good/results")
    assert found.headers["Content-Type"] == "application/x-ndjson"
    assert found.lines == [{"child": child, "result": {"count": 1}} for child in range(12)]
    assert ask.get("/v1/tasks/good/results?where=index=3").lines == [{"child": 3, "result": {"count": 1}}]
    events = ask.get("/v1/tasks/good/history").lines
    assert [events[0]["event"], events[-1]["event"]] == ["TaskRequested", "TaskSucceeded"]
    until = ask.get(f"/v1/tasks/good/history?until={events[2]['offset']}").lines
    assert until == events[:2]
    assert ask.get(f"/v1/tasks/good/history?since={events[2]['offset']}").lines == events[2:]
    assert ask.get("/v1/tasks/good/history?since=1000000").lines == []
    assert ask.get("/v1/tasks/good/history?since=-1").status == 422
    assert ask.get("/v1/tasks/good/history?until=2020-01-01").lines == []
    assert ask.get("/v1/tasks/good/history?until=soon").problem == "input-error"
    assert [each["event"] for each in ask.get("/v1/schedules/hourly/history").lines] == ["ScheduleSet"]


def test_attempts_are_told_the_latest_first(ask: Http) -> None:
    found = ask.get("/v1/tasks/bad/children/1/attempts")
    assert found.headers["Content-Type"] == "application/x-ndjson"
    assert [(each["dispatch"], each["attempt"], each["outcome"]) for each in found.lines] == [
        (2, 2, "failed"), (1, 1, "failed"),
    ]  # fmt: skip
    last = ask.get("/v1/tasks/bad/children/1").json
    assert {name: last[name] for name in ("worker", "started_at", "error_type", "message", "traceback")}.items() <= (
        found.lines[0].items()
    )
    assert ask.get("/v1/tasks/bad/children/1/attempts?until=5").status == 422
    assert ask.get("/v1/tasks/bad/children/3/attempts").problem == "input-error"


def test_a_long_search_for_attempts_lets_others_read_in_between(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask.get("/v1/tasks/good/children/5/attempts").data
    monkeypatch.setattr(attempts, "LATE_MS", -1_000_000_000)  # its record is looked for from the end of the journal
    monkeypatch.setattr(attempts, "LOOK", 1)
    monkeypatch.setattr(attempts, "SLICE_S", -1.0)
    looks = mock.Mock(wraps=desk._together)
    monkeypatch.setattr(desk, "_together", looks)
    found = ask.get("/v1/tasks/good/children/5/attempts").data
    assert found.count(b"\n\n") > 5
    assert looks.call_count > 5
    assert [line for line in found.splitlines() if line] == whole.splitlines()


def test_children_are_counted_once_for_a_status(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = mock.Mock(wraps=status.work_counts)
    monkeypatch.setattr(status, "work_counts", counted)
    for path in ("/v1/tasks/idle", "/v1/tasks/idle/why"):
        assert ask.get(path).status == 200
        assert counted.call_count == 1
        counted.reset_mock()


def test_a_long_search_for_results_lets_others_in_between(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.queries.children_page.LOOKED_AT", 2)
    calls, call = [], Desk.read

    async def read(desk: Desk, function: Any) -> Any:
        calls.append(function)
        return await call(desk, function)

    monkeypatch.setattr(Desk, "read", read)
    assert ask.get("/v1/tasks/good/results?where=error=KeyError").lines == []
    assert len(calls) >= 6
    assert [each["child"] for each in ask.get("/v1/tasks/good/results").lines] == [*range(12)]


def test_a_long_document_is_packed_for_who_takes_that(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.app.WORTH_PACKING", 100)
    plain = ask.get("/v1/tasks")
    packed = ask.get("/v1/tasks", Accept_Encoding="gzip")
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert json.loads(gzip.decompress(packed.data)) == plain.json
    assert ("Content-Encoding" in plain.headers, plain.headers["Vary"]) == (False, "Accept-Encoding")


def test_the_grid_has_a_byte_for_each_child(ask: Http) -> None:
    found = ask.get("/v1/tasks/good/grid")
    assert found.headers["Content-Type"] == "application/octet-stream"
    assert (found.data, found.headers["Streamsched-Children"]) == (b"\3" * 12, "12")
    assert ask.get("/v1/tasks/bad/grid?from=1&to=9").data == bytes([4 | 1 << 4] * 2)  # failed, dispatched twice
    assert ask.get("/v1/tasks/good/grid?from=50").data == b""
    assert ask.get("/v1/tasks/good/grid?from=5&to=2").data == b""
    again = ask.get("/v1/tasks/good/grid", If_None_Match=found.headers["ETag"])
    assert (again.status, again.data) == (304, b"")


def test_the_grid_has_layers(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask.get("/v1/tasks/bad/grid?layer=attempts").data == b"\2\2\2"
    assert ask.get("/v1/tasks/idle/grid?layer=attempts").data == b""
    monkeypatch.setattr("streamsched.http.layers.TOGETHER", 5)
    monkeypatch.setattr("streamsched.http.layers.PATIENCE_S", 0.0)
    partly = ask.get("/v1/tasks/good/grid?layer=duration&from=1")
    assert (len(partly.data), partly.data[4:], partly.headers["Streamsched-Incomplete"]) == (11, bytes(7), "1")
    while "Streamsched-Incomplete" in (found := ask.get("/v1/tasks/good/grid?layer=duration")).headers:
        pass
    took = [each["finished_at"] for each in ask.get("/v1/tasks/good/children").json["items"]]
    assert len(found.data) == len(took)
    assert min(found.data) >= 1
    assert found.headers["ETag"] != ask.get("/v1/tasks/good/grid").headers["ETag"]
    assert ask.get("/v1/tasks/good/grid?layer=colour").problem == "wrong-content"
    assert [duration_byte(each) for each in (0, 1, 2, 1000, 1 << 40)] == [1, 1, 9, 80, 255]


@pytest.mark.parametrize(("bound", "most"), [("KEPT_BYTES", 3 * (12 + 2)), ("KEPT", 1)])
def test_layers_are_kept_as_long_as_there_is_room(
    ask: Http, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    kept: list[list[str]] = []
    go_on = Layers._go_on

    def watched(layers: Layers, *given: Any) -> bool:
        done = go_on(layers, *given)
        kept.append([*layers._layers])
        return done

    monkeypatch.setattr(f"streamsched.http.layers.{bound}", most)
    monkeypatch.setattr(Layers, "_go_on", watched)
    for task in ("good", "bad", "good"):
        assert "Streamsched-Incomplete" not in ask.get(f"/v1/tasks/{task}/grid?layer=duration").headers
    assert kept == [["good"], ["bad"], ["good"]]


def test_the_grid_tells_causes_and_workers(ask: Http) -> None:
    (cause,) = ask.get("/v1/tasks/bad/failures").json["order"]
    assert ask.get("/v1/tasks/bad/children/1").json["group"] == cause
    assert ask.get("/v1/tasks/bad/grid?layer=failure").data == b"\1\1\1"
    assert ask.get("/v1/tasks/good/grid?layer=failure").data == bytes(12)
    assert ask.get("/v1/tasks/good/failures").json == {"items": [], "order": []}

    found = ask.get("/v1/tasks/good/workers").json
    fits(ask.get("/v1/tasks/good/workers"), "/v1/tasks/{id}/workers")
    assert (sum(each["children"] for each in found["items"]), found["others"]) == (12, 0)
    of = [each["worker"] for each in ask.get("/v1/tasks/good/children").json["items"]]
    named = quote(of[0])
    layer = ask.get(f"/v1/tasks/good/grid?layer=worker&worker=none&worker={named}")
    assert layer.data == bytes([2 if each == of[0] else 255 for each in of])
    assert ask.get("/v1/tasks/good/grid?layer=worker").data == bytes([255] * 12)
    again = ask.get(f"/v1/tasks/good/grid?layer=worker&worker={named}", If_None_Match=layer.headers["ETag"])
    assert (again.status, again.data) == (200, bytes([1 if each == of[0] else 255 for each in of]))
    assert ask.get("/v1/tasks/idle/workers").json["items"] == []
    assert ask.get(f"/v1/tasks/good/grid?worker={named}").problem == "input-error"
    assert ask.get("/v1/tasks/none/workers").status == 404


def test_lines_are_sent_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "HELD_BYTES", 5)

    async def numbers() -> AsyncIterator[int]:
        for number in range(7):
            yield number

    async def sent() -> list[bytes]:
        response: Any = call.lines(numbers())
        return [part async for part in response.body_iterator]

    assert asyncio.run(sent()) == [b"0\n1\n2\n", b"3\n4\n5\n", b"6\n"]


def test_a_large_grid_is_packed_for_those_who_take_it(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.app.WORTH_PACKING", 4)
    found = ask.get("/v1/tasks/good/grid", Accept_Encoding="br, gzip;q=0.5")
    assert (found.headers["Content-Encoding"], gzip.decompress(found.data)) == ("gzip", b"\3" * 12)
    assert "Content-Encoding" not in ask.get("/v1/tasks/good/grid", Accept_Encoding="gzip;q=0").headers


def test_what_was_seen_is_not_sent_again(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask.get("/v1/tasks/good")
    etag, position = found.headers["ETag"], found.headers["Streamsched-Position"]
    assert re.fullmatch(r"\d+:\d+", position)
    assert position in etag
    again = ask.get("/v1/tasks/good", If_None_Match=f'"other", W/{etag}')
    assert (again.status, again.data, again.headers["Streamsched-Position"]) == (304, b"", position)
    waited = ask.get("/v1/tasks/good", Prefer="wait=1", If_None_Match=etag)
    assert (waited.status, waited.headers["Preference-Applied"]) == (304, "wait=1")
    assert ask.get("/v1/tasks/good", Prefer="wait=30").json["state"] == "succeeded"
    assert ask.get("/v1/tasks/idle", Prefer="respond-async, wait=1").json["state"] == "requested"
    monkeypatch.setattr("streamsched.http.tasks.LONGEST_WAIT_S", 0.5)
    assert ask.get("/v1/tasks/idle", Prefer="wait=9999").headers["Preference-Applied"] == "wait=0.5"


def test_a_read_waits_for_a_position_or_says_that_it_is_not_there(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.desk.PATIENCE_S", 0.2)
    found = ask.get("/v1/tasks")
    position = found.headers["Streamsched-Position"]
    assert ask.get(f"/v1/tasks/good?at_least={position}").status == 200
    ahead = ask.get("/v1/tasks/good?at_least=3:99999999")
    assert (ahead.status, ahead.problem, ahead.headers["Retry-After"]) == (503, "behind", "1")
    assert ask.get("/v1/tasks/good?at_least=99:1").problem == "behind"
    assert ask.get("/v1/tasks/good?at_least=soon").problem == "input-error"


def test_failures_and_why_tell_what_the_command_line_tells(ask: Http) -> None:
    (group,) = ask.get("/v1/tasks/bad/failures").json["items"]
    assert (group["count"], group["ended"], group["samples"]) == (6, 3, [0, 1, 2])
    assert "start 'streamsched up'" in ask.get("/v1/tasks/idle/why").json["change"]
    assert ask.get("/v1/tasks/bad/why?child=1").json["child"] == "1"
    assert ask.get("/v1/tasks/bad/why?child=77").problem == "input-error"
    spent = ask.get("/v1/tasks/good/durations").json
    for each in (spent, spent["waits"]):
        assert (each["measured"], sum(bucket["count"] for bucket in each["buckets"])) == (12, 12)
        assert each["p50"] <= each["p90"] <= each["max"]


def test_the_page_and_the_document_of_the_api_are_served(ask: Http) -> None:
    assert ask.get("/openapi.json").json == json.loads(json.dumps(API))
    page = ask.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert ask.get("/", If_None_Match=page.headers["ETag"]).status == 304
    assert ask("HEAD", "/v1/tasks").data == b""
