"""Pages that are open while others change what they show."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.browser import REFUSED, Tabs, settled, until
from tests.support.http_server import COUNT, Http

RUNS: dict[str, object] = {"median_ms": None, "running": 1, "items": []}


def waiting(ask: Http, task_id: str) -> None:
    """Have a task that nobody works on."""
    assert (
        ask("PUT", f"/v1/tasks/{task_id}", {"template": {**COUNT, "name": "waits"}, "params": {"n": 3}}).status == 201
    )


def test_a_task_leaves_the_list_with_the_state_that_was_asked_for(tabs: Tabs, ask: Http) -> None:
    for task_id in ("stays", "leaves"):
        waiting(ask, task_id)
    page = tabs.open("tasks?state=requested&template=waits")
    until(page, "document.querySelectorAll('.tasks tbody tr').length === 2")
    tabs.await_requests(page, "/v1/tasks?", 2)  # the second as the stream begins
    assert ask.post("/v1/tasks/leaves/pause").status == 200
    until(page, "document.querySelectorAll('.tasks tbody tr').length === 1")
    assert "stays" in page.locator(".tasks tbody").inner_text()


def test_a_child_is_loaded_again_where_messages_were_missed(tabs: Tabs, ask: Http) -> None:
    status = ask.get("/v1/tasks/good").json
    told = json.dumps({"status": status, "grid": [], "full": True})
    page = tabs.open("")
    page.route(
        "**/v1/tasks/good/events",
        lambda route: route.fulfill(content_type="text/event-stream", body=f"id: 0:1\nevent: task\ndata: {told}\n\n"),
    )
    page.goto(f"{page.url.partition('#')[0]}#/tasks/good/children/1")
    settled(page, ".rows dd")
    with page.expect_request("**/v1/tasks/good/children/1"):  # each time that the stream ends and begins again
        pass


def test_a_child_that_was_redriven_is_read_behind_that(tabs: Tabs, ask: Http) -> None:
    page = tabs.open("tasks/lone/children/0")
    settled(page, "pre")
    page.get_by_role("button", name="Redrive").click()
    page.get_by_role("button", name="Redrive 1").click()
    with page.expect_request(lambda request: "/children/0?at_least=" in request.url):
        pass
    until(page, "document.querySelector('.actions').textContent.includes('once it has ended')")
    assert ask.get("/v1/tasks/lone").json["redrive"] == 1


def test_limits_that_others_set_meanwhile_are_kept(tabs: Tabs, ask: Http) -> None:
    waiting(ask, "bounded")
    page = tabs.open("tasks/bounded")
    settled(page, ".figures dd")
    until(page, "document.querySelector('.live.open') !== null")
    page.get_by_role("button", name="Limits").click()
    assert ask("PATCH", "/v1/tasks/bounded", {"limits": {"rate": "9/m"}, "priority": 4}).status == 200
    until(page, "document.querySelector('.facts').textContent.includes('9/m')")
    page.get_by_label("parallelism").fill("2")
    page.get_by_role("button", name="Set 1").click()
    page.wait_for_selector("dialog", state="detached")
    found = ask.get("/v1/tasks/bounded").json
    assert (found["limits"]["parallelism"], found["limits"]["rate"], found["priority"]) == (2, "9/m", 4)


def test_a_server_that_does_not_answer_is_not_asked_again_and_again(tabs: Tabs) -> None:
    page = tabs.open("")
    page.route("**/v1/tasks/good/stragglers", lambda route: route.fulfill(json=RUNS))
    page.goto(f"{page.url.partition('#')[0]}#/tasks/good")
    tabs.await_requests(page, "/v1/tasks/good/durations", 3)  # again and again, as something runs
    held: list[object] = []
    page.route("**/v1/tasks/good/durations", lambda route: held.append(route))
    tabs.await_requests(page, "/v1/me", 3)
    assert len(held) == 1
    page.goto(f"{page.url.partition('#')[0]}#/nodes")
    settled(page, "section code")
    page.route("**/v1/nodes", lambda route: held.append(route))
    known = sum(each == "/v1/me" for each in tabs.requests)
    tabs.await_requests(page, "/v1/me", known + 2)
    assert len(held) == 2


def test_a_stream_that_is_refused_is_not_asked_for_again(tabs: Tabs) -> None:
    page = tabs.open("tasks/none")
    page.wait_for_selector(".live.refused")
    known = sum(each.startswith("/v1/tasks/none/events") for each in tabs.requests)
    tabs.await_requests(page, "/v1/me", 3)
    assert sum(each.startswith("/v1/tasks/none/events") for each in tabs.requests) == known
    page.goto(f"{page.url.partition('#')[0]}#/tasks")
    page.wait_for_selector(".live.open")
    tabs.expect(f"{REFUSED} 404 (Not Found)")


def listed(number: int) -> dict[str, Any]:
    counts = dict.fromkeys(("waiting", "queued", "running", "failed", "cancelled"), 0)
    return {
        "task_id": f"task-{number:04}", "template": "many", "state": "succeeded", "labels": {}, "eta": None,
        "submitted_at": "2026-11-29T12:00:00Z", "submitted_by": "me", "started_at": None, "finished_at": None,
        "children": {**counts, "total": 1, "succeeded": 1},
    }  # fmt: skip


def test_what_was_listed_further_down_stays(tabs: Tabs) -> None:
    asked: list[str] = []

    def tasks(route: Any) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        first, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        asked.append(f"{first}+{limit}")
        route.fulfill(json={"items": [listed(first + each) for each in range(limit)], "next": str(first + limit)})

    page = tabs.open("")
    page.route("**/v1/tasks?*", tasks)
    rows = "document.querySelectorAll('.tasks tbody tr').length === {}"
    page.goto(f"{page.url.partition('#')[0]}#/tasks")
    until(page, rows.format(50))
    for number in (100, 150):
        page.get_by_role("button", name="More").click()
        until(page, rows.format(number))
    asked.clear()
    page.reload()
    until(page, rows.format(150))
    assert asked[0] == "0+150"
    page.locator("[data-row]").first.click()
    page.wait_for_selector("[role=alert]")  # there is no such task
    page.go_back()
    until(page, rows.format(150))
    page.get_by_label("State").select_option("failed")  # another list begins anew
    until(page, rows.format(50))
    tabs.expect(f"{REFUSED} 404 (Not Found)")


def test_a_task_that_is_touched_again_and_again_is_asked_for_now_and_then(tabs: Tabs, ask: Http) -> None:
    status = ask.get("/v1/tasks/good").json
    told = "".join(
        f"id: 0:{each}\nevent: tasks\ndata: {json.dumps({'tasks': [status], 'schedules': [], 'full': False})}\n\n"
        for each in range(1, 200)
    )
    page = tabs.open("tasks/good")
    settled(page, ".figures dd")
    page.route("**/v1/events", lambda route: route.fulfill(content_type="text/event-stream", body=told))
    other = tabs.open("tasks")  # two tabs that want different streams: they share the one of all tasks
    known = sum(each == "/v1/tasks/good/grid" for each in tabs.requests)
    tabs.await_requests(page, "/v1/tasks/good/grid", known + 2)
    tabs.await_requests(page, "/v1/me", sum(each == "/v1/me" for each in tabs.requests) + 2)
    assert sum(each == "/v1/tasks/good/grid" for each in tabs.requests) < 100
    other.close()
    tabs.forget(other)
