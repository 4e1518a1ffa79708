"""What is asked to be done: it is a request as the command line's, signed with the user's name, and what was answered
can be read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched.client import Client
from streamsched.hosting.run import run
from tests.support.cli import template
from tests.support.http_server import BODY, COUNT, Http, serving
from tests.unit.http.test_reading import fits


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Http]:
    with serving(tmp_path / "log") as found:
        yield found


def read_back(ask: Http, task: str, position: str) -> Any:
    found = ask.get(f"/v1/tasks/{task}?at_least={position}")
    assert found.status == 200, found.json
    return found.json


def test_a_put_is_made_once_and_conflicts_with_another_content(ask: Http) -> None:
    first = ask("PUT", "/v1/tasks/mine", BODY)
    assert (first.status, first.json) == (201, {"task_id": "mine", "first": True})
    assert first.headers["Location"] == "/v1/tasks/mine"
    assert read_back(ask, "mine", first.headers["Streamsched-Position"])["submitted_by"] == "tester"
    again = ask("PUT", "/v1/tasks/mine", BODY)
    assert (again.status, again.json) == (200, {"task_id": "mine", "first": False})
    other = ask("PUT", "/v1/tasks/mine", {**BODY, "params": {"n": 4}})
    assert (other.status, other.problem) == (409, "task-conflict")
    assert "with other parameters" in other.json["detail"]
    assert ask("PUT", "/v1/tasks/a@b", BODY).problem == "input-error"


def test_a_post_makes_a_task_each_time_and_one_for_each_key(ask: Http) -> None:
    one, other = ask.post("/v1/tasks", BODY), ask.post("/v1/tasks", BODY)
    assert (one.status, other.status) == (201, 201)
    assert one.json["task_id"] != other.json["task_id"]
    first = ask.post("/v1/tasks", BODY, Idempotency_Key="order 7")
    again = ask.post("/v1/tasks", BODY, Idempotency_Key="order 7")
    assert (first.status, again.status) == (201, 200)
    assert first.json["task_id"] == again.json["task_id"]
    assert ask.post("/v1/tasks", {"template": COUNT}, Idempotency_Key="order 7").problem == "task-conflict"
    assert ask.post("/v1/tasks", BODY, Idempotency_Key="x" * 201).problem == "input-error"


def test_labels_and_priority_are_taken(ask: Http) -> None:
    made = ask("PUT", "/v1/tasks/a", {**BODY, "labels": {"team": "data"}, "priority": 3})
    status = read_back(ask, "a", made.headers["Streamsched-Position"])
    assert (status["labels"], status["priority"], status["origin"]) == ({"team": "data"}, 3, "http")


def test_a_refused_template_is_told_with_its_place(ask: Http) -> None:
    wrong = {"template": {**COUNT, "child": {**COUNT["child"], "handlr": "x"}}}
    found = ask.post("/v1/tasks", wrong)
    assert (found.status, found.problem) == (422, "input-error")
    assert found.json["errors"][0]["pointer"] == "/template/child/handlr"
    assert found.json["hint"]
    assert found.json["exit_code"] == 2
    missing = ask.post("/v1/tasks", {"template": COUNT, "params": {"m": 1}})
    assert "m" in missing.json["detail"]
    assert ask.post("/v1/tasks", {"template": "job.yaml"}).problem == "wrong-content"  # no file of the server's
    assert ask.get("/v1/tasks").json["items"] == []


def test_a_task_is_paused_resumed_and_cancelled_with_who_and_why(ask: Http) -> None:
    ask("PUT", "/v1/tasks/a", BODY)
    assert ask.post("/v1/tasks/a/pause", {"reason": "the store is slow"}).json["state"] == "paused"
    assert ask.post("/v1/tasks/a/pause", {"now": True}).status == 200
    assert ask.post("/v1/tasks/a/resume").json["state"] == "requested"
    done = ask.post("/v1/tasks/a/cancel", {"reason": "wrong input"})
    assert done.status == 202
    assert read_back(ask, "a", done.headers["Streamsched-Position"])["state"] == "cancelling"
    late = ask.post("/v1/tasks/a/pause")
    assert (late.status, late.problem) == (409, "not-holdable")
    assert ask.post("/v1/tasks/a/terminate").status == 202
    events = [each for each in ask.get("/v1/tasks/a/history").lines if each["event"] != "TaskRequested"]
    assert {each["by"] for each in events} == {"tester"}
    assert [events[0]["reason"], events[-1]["reason"]] == ["the store is slow", "terminated by tester"]
    assert ask.post("/v1/tasks/none/cancel").problem == "no-such-task"


def test_limits_are_patched_as_long_as_nobody_else_has_changed_the_task(ask: Http) -> None:
    ask("PUT", "/v1/tasks/a", BODY)
    seen = ask.get("/v1/tasks/a", Prefer="wait=0").headers["ETag"]
    patch = {"limits": {"parallelism": 2, "rate": "10/s"}, "priority": 5, "reason": "slow today"}
    done = ask("PATCH", "/v1/tasks/a", patch, If_Match=seen, Content_Type="application/merge-patch+json")
    assert done.status == 200
    assert (done.json["limits"]["parallelism"], done.json["limits"]["rate"], done.json["priority"]) == (2, "10/s", 5)
    stale = ask("PATCH", "/v1/tasks/a", patch, If_Match=seen)
    assert (stale.status, stale.problem) == (412, "stale-position")
    now = done.headers["Streamsched-Position"]
    assert (
        "limits" not in ask("PATCH", "/v1/tasks/a", {"limits": {"rate": None, "parallelism": None}}, If_Match=now).json
    )
    assert ask("PATCH", "/v1/tasks/a", {"limits": {"colour": 1}}, If_Match="*").problem == "input-error"
    assert ask("PATCH", "/v1/tasks/a", {}).problem == "input-error"
    assert ask("PATCH", "/v1/tasks/a", {"limits": {"rate": [1]}}).problem == "wrong-content"
    assert ask("PATCH", "/v1/tasks/a", patch, If_Match="yesterday").problem == "input-error"
    assert ask.get("/v1/tasks/a/history").lines[-1]["by"] == "tester"


def test_a_task_that_did_not_change_is_patched_after_the_server_has_begun_anew(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as ask:
        home = ask("PUT", "/v1/tasks/a", BODY).headers["Streamsched-Position"]
        seen = ask.get(f"/v1/tasks/a?at_least={home}").headers["ETag"]
        others = (ask("PUT", f"/v1/tasks/b{number}", BODY).headers["Streamsched-Position"] for number in range(1_000))
        next(each for each in others if each.partition(":")[0] == home.partition(":")[0])
    with serving(tmp_path / "log") as ask:
        assert ask("PATCH", "/v1/tasks/a", {"priority": 1}, If_Match=home).problem == "stale-position"
        assert ask("PATCH", "/v1/tasks/a", {"priority": 1}, If_Match=seen).status == 200
        stale = ask("PATCH", "/v1/tasks/a", {"priority": 2}, If_Match=seen)
        assert stale.problem == "stale-position"
        assert "has changed, or may have" in stale.json["detail"]


def test_children_are_counted_before_they_are_redriven(tmp_path: Path) -> None:
    failing = template(tmp_path, "fail")
    failing.write_text(f"{failing.read_text()}failure: {{on: run_all}}\n")
    run(failing, {"n": 3}, task_id="bad", data_dir=tmp_path / "log")
    with serving(tmp_path / "log") as ask:
        where = {"where": "index=0..1"}
        counted = ask.post("/v1/tasks/bad/redrive", {**where, "dry_run": True})
        assert counted.json == {"task_id": "bad", "where": "index=0..1", "children": 2, "states": {"failed": 2}}
        assert ask.post("/v1/tasks/bad/redrive", {"dry_run": True, "restart": True}).problem == "input-error"
        assert ask.post("/v1/tasks/bad/redrive", {"where": "index=7"}).problem == "not-redrivable"
        assert ask.post("/v1/tasks/bad/redrive", {"where": "colour=red"}).problem == "selector-error"
        done = ask.post("/v1/tasks/bad/redrive", {**where, "reason": "again"})
        assert (done.status, done.json["redrive"], done.json["state"]) == (200, 1, "running")
        assert ask.post("/v1/tasks/bad/redrive").problem == "not-redrivable"  # it runs


def test_a_schedule_is_held_and_triggered(tmp_path: Path) -> None:
    template(tmp_path, "count")
    (tmp_path / "hourly.yaml").write_text("interval: 1h\ntemplate: count.yaml\n")
    with Client(data_dir=tmp_path / "log") as client:
        client.create_schedule(tmp_path / "hourly.yaml")
    with serving(tmp_path / "log") as ask:
        held = ask.post("/v1/schedules/hourly/pause", {"note": "moved"})
        assert (held.json["changed"], held.json["status"]["state"], held.json["status"]["note"]) == (
            True,
            "paused",
            "moved",
        )
        assert ask.post("/v1/schedules/hourly/pause").json["changed"] is False
        assert ask.post("/v1/schedules/hourly/resume").json["status"]["state"] == "active"
        assert ask.post("/v1/schedules/hourly/trigger").json["task_id"].startswith("hourly@")
        assert ask.get("/v1/schedules/hourly/history").lines[-1]["by"] == "tester"
        assert ask.post("/v1/schedules/none/trigger").problem == "no-such-schedule"


def test_two_servers_read_what_each_other_has_written(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as one:
        position = one("PUT", "/v1/tasks/a", BODY).headers["Streamsched-Position"]
        seen = one.get(f"/v1/tasks/a?at_least={position}").headers["ETag"]
        with serving(tmp_path / "log") as other:
            assert other("PATCH", "/v1/tasks/a", {"priority": 2}, If_Match=seen).status == 200
            assert one("PATCH", "/v1/tasks/a", {"priority": 3}, If_Match=seen).problem == "stale-position"
    with serving(tmp_path / "log") as one, serving(tmp_path / "log") as other:
        position = one.post("/v1/tasks/a/pause").headers["Streamsched-Position"]
        assert read_back(other, "a", position)["state"] == "paused"
        assert other("PATCH", "/v1/tasks/a", {"priority": 4}, If_Match=position).status == 200
        assert one("PATCH", "/v1/tasks/a", {"priority": 5}, If_Match=position).problem == "stale-position"
        one("PUT", "/v1/tasks/b", BODY)
        assert other.post("/v1/tasks/b/pause").json["state"] == "paused"  # it folds before it decides
        assert one.get("/v1/tasks/b").status == 200


def test_a_schedule_is_made_changed_and_deleted(ask: Http) -> None:
    body = {"schedule": {"interval": "1h", "template": COUNT}, "params": {"n": 7}}
    made = ask("PUT", "/v1/schedules/hourly", body)
    assert (made.status, made.json["status"]["version"]) == (201, 1)
    assert ask("PUT", "/v1/schedules/hourly", body).json["changed"] is False
    changed = ask("PUT", "/v1/schedules/hourly", {**body, "params": {"n": 8}})
    assert (changed.status, changed.json["status"]["params"]) == (200, {"n": 8})
    assert ask("DELETE", "/v1/schedules/hourly").json["status"]["state"] == "deleted"
    assert ask.get("/v1/schedules").json["items"] == []
    assert [each["state"] for each in ask.get("/v1/schedules?all=true").json["items"]] == ["deleted"]
    assert ask("PUT", "/v1/schedules/hourly", body).status == 201


def test_a_schedule_that_is_refused_is_told_with_its_place(ask: Http) -> None:
    path = ask("PUT", "/v1/schedules/a", {"schedule": {"interval": "1h", "template": "/etc/passwd"}})
    assert (path.status, path.json["errors"][0]["pointer"]) == (422, "/schedule/template")
    inside = {"schedule": {"schedule": {"interval": "1h", "template": "/etc/passwd"}}}
    assert ask("PUT", "/v1/schedules/a", inside).problem == "input-error"
    wrong = ask("PUT", "/v1/schedules/a", {"schedule": {"cron": "61 * * * *", "template": COUNT}})
    assert wrong.json["errors"][0]["pointer"].startswith("/schedule/cron")
    assert ask("PUT", "/v1/schedules/a@b", {"schedule": {"interval": "1h", "template": COUNT}}).problem == "input-error"
    deep: dict[str, Any] = {"interval": "1h", "template": COUNT}
    for _ in range(300):
        deep = {"calendars": [deep]}
    assert ask("PUT", "/v1/schedules/a", {"schedule": deep}).status == 422
    assert ask.get("/v1/schedules").json["items"] == []


def test_a_dry_run_of_a_request_tells_what_the_task_would_be(ask: Http) -> None:
    for method, path in (("POST", "/v1/tasks"), ("PUT", "/v1/tasks/a")):
        found = ask(method, path, {**BODY, "params": {"n": 9}, "dry_run": True})
        told = fits(found, "/v1/tasks", "post")
        assert (found.status, told["children"], told["params"]) == (200, 9, {"n": 9})
        assert told["stages"] == [
            {"stage": "children", "count": 9, "runs": "streamsched.examples.numbers:print_numbers"}
        ]  # fmt: skip
        assert [each["child"] for each in told["shown"]] == [0, 1, 2, 6, 7, 8]
        assert told["shown"][-1]["args"] == {"first": 9, "last": 9}
    reduced = {**COUNT, "split": {"by": "a.module:pieces"}, "reduce": {"handler": "a.module:total"}}
    reduced["child"] = {"handler": "a.module:work"}
    told = ask.post("/v1/tasks", {"template": reduced, "dry_run": True}).json
    assert [(each["stage"], each["count"]) for each in told["stages"]] == [
        ("split", 1), ("children", None), ("reduce", 1)
    ]  # fmt: skip
    assert (told["children"], told["shown"]) == (None, [])
    wrong = ask.post("/v1/tasks", {"template": COUNT, "params": {"n": "many"}, "dry_run": True})
    assert (wrong.status, wrong.problem) == (422, "input-error")
    assert ask.get("/v1/tasks").json["items"] == []


def test_a_dry_run_counts_and_does_nothing(ask: Http) -> None:
    ask("PUT", "/v1/tasks/a", BODY)
    for action in ("cancel", "terminate", "pause", "resume"):
        found = ask.post(f"/v1/tasks/a/{action}", {"dry_run": True})
        assert (found.status, found.json) == (200, {"task_id": "a", "children": 0, "states": {}})
    assert len(ask.get("/v1/tasks/a/history").lines) == 1
    ask.post("/v1/tasks/a/cancel")
    assert ask.post("/v1/tasks/a/pause", {"dry_run": True}).problem == "not-holdable"
