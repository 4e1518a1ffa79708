"""The page of a child: its attempts, what its handler was given, and what it printed, asked for when that is opened."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.support.browser import Tabs, settled, until
from tests.support.needs import unreadable
from tests.ui.conftest import EVIL


def show(page: Any, place: str, sign: str) -> None:
    page.goto(f"{page.url.partition('#')[0]}#/{place}")
    settled(page, sign)


def test_a_child_shows_its_attempts_its_arguments_and_its_output(tabs: Tabs) -> None:
    page = tabs.open(f"tasks/{quote(EVIL, safe='')}/children/0")
    settled(page, "[aria-label=Attempts] tbody tr")
    rows = page.locator("[aria-label=Attempts] tbody tr")
    assert [row.split("\t")[:2] for row in rows.all_inner_texts()] == [["2", "2"], ["1", "1"]]
    rows.nth(1).locator("summary").click()
    assert "\\u202eevil" in page.get_by_label("Traceback of dispatch 1").inner_text()
    given = page.locator("pre[aria-label=Arguments]").inner_text()
    assert given.splitlines()[0] == "{"
    assert "<script>alert(2)</script>" in given
    assert "\\u202eevil" in given
    assert page.locator("main img, main script").count() == 0
    assert unreadable(page) == []

    show(page, "tasks/good/children/3", "[aria-label=Attempts] tbody tr")
    assert not any("/logs" in each for each in tabs.requests)
    page.locator("summary", has_text="Output").click()
    page.wait_for_selector("pre[aria-label=Output]")
    assert page.locator("pre[aria-label=Output]").inner_text().endswith("#1 4")
    assert "All that is kept." in page.locator("details.panel").inner_text()
    assert unreadable(page) == []


def test_long_arguments_are_cut_until_all_are_wanted_and_numbers_stay_as_they_are(tabs: Tabs) -> None:
    page = tabs.open("")
    text = f'{{"runs": "m:f", "args": {{"items": [{", ".join([str(2**60)] * 2_000)}], "last": 2.0}}, "inputs": []}}'
    page.route("**/children/1/arguments", lambda route: route.fulfill(content_type="application/json", body=text))
    show(page, "tasks/good/children/1", "pre[aria-label=Arguments]")
    given = page.locator("pre[aria-label=Arguments]")
    assert given.inner_text().startswith(f'{{\n "items": [\n  {2**60},')
    assert '"last"' not in given.inner_text()
    page.get_by_role("button", name="Show all").click()
    until(page, "!document.querySelector('main').innerText.includes('more characters')")
    assert given.inner_text().endswith('\n ],\n "last": 2.0\n}')
