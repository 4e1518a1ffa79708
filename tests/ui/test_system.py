"""The page of the system, where all is not well: what hangs, what differs, and what the log does not tell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.browser import Tabs, settled, until
from tests.support.http_server import Http
from tests.support.needs import unreadable

HANGS = "streamsched.children-3 at 120: the transaction of <b>w</b> was committed, and never ended"


def ill(system: dict[str, Any]) -> dict[str, Any]:
    """Return a document in which much is wrong."""
    nodes = [
        {"node_id": str(each), "name": f"w{each}", "role": "worker", "state": "running", "version": version}
        for each, version in enumerate(["0.9.8", *[system["version"]] * 9])
    ]
    for part in ("journal", "work_log"):
        for each in system[part]:
            each.update(end=5_000_000, stable=5_000_000, committed=4_990_000 - 9 * each["partition"], owner="w1")
            each["lag"] = each["end"] - each["committed"]
    system["journal"][2]["halted"] = "partition 2 of the journal stands still: its schema is not known"
    system["work_log"][3]["owner"] = None
    place = {"topic": "streamsched.children", "partition": 3, "position": 120}
    transaction = {"transactional_id": "x", "producer_id": 7, "decided": "commit", "detail": HANGS}
    return {
        **system, "nodes": nodes, "unknown": ["positions of group g: no right"], "trouble": "Kafka does not answer",
        "age_ms": 90_000,
        "hanging": [{**place, **transaction, "command": "streamsched topics repair"}],
        "held": [{**place, "held_ms": 9_000}, {**place, "partition": 4, "held_ms": 65_000}],
    }  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_says_what_is_wrong_and_what_ends_it(chrome: Any, ask: Http, theme: str) -> None:
    context = chrome.new_context(color_scheme=theme, reduced_motion="reduce")
    tabs = Tabs(context, f"http://127.0.0.1:{ask.port}")
    found = ask.get("/v1/system").json
    context.route("**/v1/system", lambda route: route.fulfill(json=ill(found)))
    page = tabs.open("system")
    settled(page, "tbody progress")
    text = page.locator("main").inner_text()
    for said in (
        "Kafka does not answer", "1 m 30 s old", "partition 2 of the journal stands still", HANGS,
        "positions of group g: no right", "streamsched.children-4 at 120: open for 1 m 5 s", "Versions differ",
        "0.9.8 (1)", "readers wait at 120", "nobody",
    ):  # fmt: skip
        assert said in text, said
    assert page.locator(".copy pre").inner_text() == "streamsched topics repair"
    assert page.locator("tbody tr").count() == 16 + 64
    page.get_by_role("button", name="Copy").press("Enter")
    until(page, "/copied|selected/.test(document.querySelector('.copy [role=status]').textContent)")
    assert unreadable(page) == []
    tabs.check()
    context.close()


def test_it_follows_what_the_log_tells(chrome: Any, ask: Http) -> None:
    context = chrome.new_context()
    context.clock.install()
    tabs = Tabs(context, f"http://127.0.0.1:{ask.port}")
    found = ask.get("/v1/system").json
    context.route("**/v1/system", lambda route: route.fulfill(json=ill(found)))
    page = tabs.open("system")
    page.wait_for_selector("main .why")
    context.unroute("**/v1/system")
    context.clock.fast_forward(4_000)
    page.wait_for_selector("main .why", state="detached")
    assert "Transactions that hang\n0" in page.locator(".figures").inner_text()
    tabs.check()
    context.close()
