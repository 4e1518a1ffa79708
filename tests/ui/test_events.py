"""The events on the page of a task: all of them from one offset on, however far somebody reads back."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.browser import REFUSED, Tabs, settled, until

STEP = 10
OFTEN = "ChildCompleted"


def record(offset: int) -> dict[str, Any]:
    often = offset % (2 * STEP) != 0 or 3_000 <= offset < 6_000
    event = OFTEN if often else "ChildFailed"
    return {"event": event, "offset": offset, "partition": 0, "timestamp": 1_700_000_000_000 + offset}


def offsets(page: Any) -> list[int]:
    return [int(each) for each in page.locator(".events tbody td:first-child").all_inner_texts()]


def listening(page: Any, end: int) -> None:
    """Have a journal of this task with a record at each tenth offset."""

    def history(route: Any) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        first, last = int(asked["since"][0]), int(asked.get("until", [end])[0])
        found = [record(each) for each in range(-(-first // STEP) * STEP, last, STEP)]
        route.fulfill(content_type="application/x-ndjson", body="".join(f"{json.dumps(each)}\n" for each in found))

    def status(route: Any) -> None:
        reply = route.fetch()
        route.fulfill(response=reply, headers={**reply.headers, "streamsched-position": f"0:{end}"})

    page.route("**/v1/tasks/good/history?*", history)
    page.route("**/v1/tasks/good", status)
    page.route("**/v1/tasks/good/events*", lambda route: route.fulfill(status=404, body="{}"))


def test_reading_further_back_leaves_nothing_out(tabs: Tabs) -> None:
    page = tabs.open("")
    listening(page, 20_000)
    page.goto(f"{page.url.partition('#')[0]}#/tasks/good")
    settled(page, ".events tbody tr")
    seen = offsets(page)
    assert seen == list(range(19_980, 17_999, -2 * STEP))
    while page.get_by_role("button", name="Read further back").count():
        page.get_by_role("button", name="Read further back").click()
        until(page, f"document.querySelectorAll('.events tbody tr').length > {len(seen)}")
        assert offsets(page)[: len(seen)] == seen
        seen = offsets(page)
    assert seen == [each for each in range(19_980, -1, -2 * STEP) if not 3_000 <= each < 6_000]
    assert "From the beginning." in page.locator(".events").inner_text()
    page.get_by_label("also each dispatch").check()
    until(page, "document.querySelector('.events').textContent.includes('From offset')")
    assert offsets(page)[:2] == [19_990, 19_980]
    tabs.expect(f"{REFUSED} 404 (Not Found)")
