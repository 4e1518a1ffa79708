"""The past of a task: the slider and the events lead there, nothing that happens meanwhile changes it, and back."""

from __future__ import annotations

import json
from typing import Any

from tests.support.browser import REFUSED, Tabs, settled, until
from tests.support.http_server import Http
from tests.ui.test_events import offsets
from tests.ui.test_meanwhile import waiting

SHOWN = "document.querySelector('.past [role=status]')?.textContent.includes('before offset')"
NOW = "document.querySelector('.past') === null"


def done(page: Any) -> int:
    return int(page.locator(".figures dd").first.inner_text().split()[0].replace(",", ""))


def test_the_slider_leads_into_the_past_and_back(tabs: Tabs) -> None:
    page = tabs.open("tasks/good")
    settled(page, ".slider input")
    assert done(page) == 1200
    slider = page.get_by_role("slider")
    assert slider.get_attribute("aria-valuetext") == "now"
    slider.focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("Home")
    until(page, SHOWN)
    assert done(page) == 0
    assert page.locator(".head button, #children").count() == 0
    assert page.get_by_role("radio").count() == 2  # no durations
    earlier = page.url
    assert "?as_of=2" in earlier
    page.reload()
    until(page, SHOWN)
    assert page.url == earlier
    assert done(page) == 0
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    until(page, NOW)
    settled(page, "#children")
    assert done(page) == 1200
    assert "as_of" not in page.url


def test_an_event_leads_to_the_moment_behind_it(tabs: Tabs, ask: Http) -> None:
    history = ask.get("/v1/tasks/bad/history").lines
    failed = [each["offset"] for each in history if each["event"] == "ChildFailed"]
    page = tabs.open("tasks/bad")
    settled(page, ".events tbody tr")
    row = page.locator(".events tbody tr").filter(has_text=str(failed[1]))
    row.get_by_role("button").first.press("Enter")
    until(page, SHOWN)
    until(page, f"document.querySelector('.events tbody td')?.textContent === '{failed[1]}'")
    assert max(offsets(page)) == failed[1]
    found = ask.get(f"/v1/tasks/bad?as_of={failed[1] + 1}").json
    assert f"{found['children']['failed']} " in page.locator(".figures dd").nth(1).inner_text()
    assert page.url.endswith(f"?as_of={failed[1] + 1}")
    assert page.locator(".failures button").count() == 0
    page.get_by_text("attempts", exact=True).click()
    until(page, "document.querySelector('.key').textContent.includes('dispatches')")
    assert any(f"grid?layer=attempts&as_of={failed[1] + 1}" in each for each in tabs.requests)
    page.get_by_role("button", name="Back to now").click()
    until(page, NOW)
    page.wait_for_selector(".failures button")


def test_what_happens_meanwhile_does_not_change_it(tabs: Tabs, ask: Http) -> None:
    waiting(ask, "looked-back")
    page = tabs.open("tasks/looked-back")
    settled(page, ".events tbody button")
    page.wait_for_selector(".live.open")
    page.locator(".events tbody button").first.click()
    until(page, SHOWN)
    asked = len(tabs.requests)
    assert ask.post("/v1/tasks/looked-back/pause", {"reason": "meanwhile"}).status == 200
    waiting(ask, "looked-back-too")  # a later message of the same stream was heard, too
    tabs.await_requests(page, "/v1/me", sum(each == "/v1/me" for each in tabs.requests) + 2)
    assert "requested" in page.locator("h1").inner_text()
    assert {each for each in tabs.requests[asked:] if "/tasks/" in each} == set()
    page.get_by_role("button", name="Back to now").click()
    page.wait_for_selector(".head .s-paused")
    assert "meanwhile" in page.locator(".why").inner_text()


def test_a_past_that_takes_long_says_how_far_it_is(tabs: Tabs) -> None:
    page = tabs.open("")
    told = {"title": "t", "detail": "7 of 90 records were folded", "hint": "", "errors": []}
    often: list[object] = []

    def fold(route: Any) -> None:
        often.append(route)
        if len(often) > 4:
            route.continue_()
        else:
            route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(told))

    page.route("**/v1/tasks/good?as_of=*", fold)
    page.goto(f"{page.url.partition('#')[0]}#/tasks/good?as_of=2100-01-01")
    until(page, "document.querySelector('.past')?.textContent.includes('7 of 90 records')")
    until(page, SHOWN)
    assert len(often) == 5
    tabs.expect(f"{REFUSED} 503 (Service Unavailable)")


def test_a_past_that_there_is_not_says_so(tabs: Tabs) -> None:
    page = tabs.open("tasks/good?as_of=yesterday")
    page.wait_for_selector("main [role=alert]")
    assert "neither an offset nor a time" in page.locator("[role=alert]").inner_text()
    page.get_by_role("button", name="Back to now").click()
    settled(page, ".figures dd")
    assert page.locator("main [role=alert]").count() == 0
    tabs.expect(f"{REFUSED} 422 (Unprocessable Entity)")
    tabs.expect(f"{REFUSED} 422 (Unprocessable Content)")
