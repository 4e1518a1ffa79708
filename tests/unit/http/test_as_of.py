"""A task as it was: each answer is of the events before its position, and of no others."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from streamsched.client import Client
from streamsched.hosting.run import run
from streamsched.http import pasts
from streamsched.queries import past_task
from streamsched.queries.past_task import PastTask
from tests.support.cli import template
from tests.support.http_server import Http, furnish, serving
from tests.unit.http.test_reading import fits

LATER = {"why", "eta"}
"""What only the present has."""


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    """Have tasks that ended, one of which failed, was redriven and failed again; and where folds lie."""
    place = tmp_path_factory.mktemp("as-of")
    log = place / "log"
    furnish(place, log, 12)
    with Client(data_dir=log) as client:
        client.redrive("bad")
    run(template(place, "count"), {"n": 1}, task_id="last", data_dir=log)  # it works on all tasks
    with serving(log) as found:
        yield found


def told(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in LATER}


def test_the_past_is_what_the_events_before_it_say(ask: Http) -> None:
    for task_id in ("good", "bad"):
        seen: Counter[str] = Counter()
        redriven = 0
        for event in ask.get(f"/v1/tasks/{task_id}/history").lines:
            seen[event["event"]] += 1
            redriven += event["event"] == "TaskRedriven"
            after = event["offset"] + 1
            reply = ask.get(f"/v1/tasks/{task_id}?as_of={after}")
            found = fits(reply, "/v1/tasks/{id}")
            assert reply.headers["Streamsched-Position"] == f"{event['partition']}:{after}"
            changed = parsedate_to_datetime(reply.headers["Last-Modified"])
            assert int(changed.timestamp()) == event["timestamp"] // 1000
            assert (found["redrive"], found["why"], found["eta"]) == (redriven, "", None)
            if task_id == "good":
                assert found["children"]["succeeded"] == seen["ChildCompleted"]
            causes = ask.get(f"/v1/tasks/{task_id}/failures?as_of={after}").json["items"]
            assert sum(each["count"] for each in causes) == seen["ChildFailed"]


@pytest.mark.parametrize("task_id", ["good", "bad", "idle"])
def test_of_now_it_is_what_there_is(ask: Http, task_id: str) -> None:
    now = ask.get(f"/v1/tasks/{task_id}")
    query = f"as_of={now.headers['Streamsched-Position'].partition(':')[2]}"
    assert told(ask.get(f"/v1/tasks/{task_id}?{query}").json) == told(now.json)
    for part in ("failures", "grid", "grid?layer=attempts", "grid?from=1&to=3"):
        address = f"/v1/tasks/{task_id}/{part}"
        past = ask.get(f"{address}{'&' if '?' in part else '?'}{query}")
        assert past.status == 200
        assert past.data == ask.get(address).data
    assert told(ask.get(f"/v1/tasks/{task_id}?as_of=2200-01-01").json) == told(now.json)
    assert told(ask.get(f"/v1/tasks/{task_id}?as_of={10**17}").json) == told(now.json)


def test_the_grid_is_of_that_moment(ask: Http) -> None:
    events = ask.get("/v1/tasks/good/history").lines
    half = [each for each in events if each["event"] == "ChildCompleted"][5]
    reply = ask.get(f"/v1/tasks/good/grid?as_of={half['offset'] + 1}")
    done = {each["child"] for each in events if each["event"] == "ChildCompleted" and each["offset"] <= half["offset"]}
    assert {child for child, byte in enumerate(reply.data) if byte & 0b111 == 3} == done
    assert reply.headers["Streamsched-Children"] == "12"


def test_what_was_not_there_yet_is_not_there(ask: Http) -> None:
    first = ask.get("/v1/tasks/good/history").lines[0]
    for when in (first["offset"], "2020-01-01"):
        reply = ask.get(f"/v1/tasks/good?as_of={when}")
        assert (reply.status, reply.problem) == (404, "no-such-task")
    assert ask.get("/v1/tasks/none?as_of=5").status == 404


def test_at_the_time_of_its_request_it_is_there(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = ask.get("/v1/tasks/good").json["submitted_at"]
    first = ask.get("/v1/tasks/good/history").lines[0]
    monkeypatch.setattr(pasts, "ends_of", lambda site, task_id, **_: {site.topics.journal_of(task_id): 0})
    reply = ask.get(f"/v1/tasks/good?as_of={submitted}")  # as if its record had been written a moment later
    assert (reply.status, reply.json["state"]) == (200, "requested")
    assert reply.headers["Streamsched-Position"] == f"{first['partition']}:{first['offset'] + 1}"


def test_a_past_that_there_is_not_is_refused(ask: Http) -> None:
    for query in ("as_of=yesterday", "as_of=2020-13-40", "as_of=-1"):
        assert ask.get(f"/v1/tasks/good?{query}").problem == "input-error"
    assert ask.get("/v1/tasks/good/grid?as_of=5&layer=duration").problem == "input-error"
    assert ask.get("/v1/tasks/good/children?as_of=5").status == 422


def test_a_long_past_is_folded_over_several_requests(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasts, "SLICE_S", -1.0)
    monkeypatch.setattr(pasts, "PATIENCE_S", -1.0)
    monkeypatch.setattr(past_task, "LOOK", 5)
    monkeypatch.setattr(past_task, "FLUSH_EVERY", 3)
    begun: list[PastTask] = []
    begin = PastTask.__init__
    monkeypatch.setattr(PastTask, "__init__", lambda past, *given: begun.append(past) or begin(past, *given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(pasts, "KEPT", 1)
    ask.get("/v1/tasks/last?as_of=0")  # it takes the place of those of this task
    begun.clear()
    refused = 0
    while (reply := ask.get("/v1/tasks/good?as_of=2200-01-01")).status == 503:
        assert reply.problem == "past-not-ready"
        assert reply.headers["Retry-After"]
        refused += 1
    assert reply.json["children"]["succeeded"] == 12
    assert refused >= 2
    assert len(begun) == 1


def test_nothing_of_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(template(tmp_path, "count"), {"n": 3}, task_id="good", data_dir=tmp_path / "log")
    (tmp_path / "folds").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "folds"))
    with serving(tmp_path / "log") as ask:
        end = ask.get("/v1/tasks/good/history").lines[-1]["offset"]
        for back in range(pasts.KEPT + 1):
            assert ask.get(f"/v1/tasks/good?as_of={end - back}").status == 200
        assert len(list((tmp_path / "folds").glob("*past*"))) == pasts.KEPT
    assert list((tmp_path / "folds").glob("*past*")) == []
