"""The charts of a task, and the past times of a schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.browser import Tabs, settled, until

END = datetime.now(UTC)


def piece(child: int, since_s: float, took_s: float) -> dict[str, Any]:
    begin = END - timedelta(seconds=since_s)
    end = begin + timedelta(seconds=took_s)
    times = {"started_at": begin.isoformat(), "finished_at": end.isoformat()}
    return {"child": child, "attempt": 1, "outcome": "succeeded", **times}


def drawn(page: Any, lanes: list[dict[str, Any]]) -> None:
    """Open a task whose workers did this."""
    found = {"since": END.isoformat(), "items": lanes}
    page.route("**/v1/tasks/good/lanes", lambda route: route.fulfill(json=found))
    page.goto(f"{page.url.partition('#')[0]}#/tasks/good")
    settled(page, ".lanes canvas")


def test_attempts_that_have_no_room_are_counted(tabs: Tabs) -> None:
    page = tabs.open("")
    wide = [{"worker": f"w{each}", "items": [piece(n, 100, 50) for n in range(20)]} for each in range(5)]
    drawn(page, [*wide, {"worker": "last", "items": [piece(0, 100, 50)]}])
    said = page.locator(".lanes").inner_text()
    assert "41 of 101 attempts are not shown" in said
    assert "Of 2 workers nothing is shown." in said


def test_all_is_said_to_be_shown_where_it_is(tabs: Tabs) -> None:
    page = tabs.open("")
    drawn(page, [{"worker": "w", "items": [piece(n, 100 - n, 1) for n in range(40)]}])
    assert "not shown" not in page.locator(".lanes").inner_text()


def spread(buckets: dict[int, int], **more: Any) -> dict[str, Any]:
    """Make a histogram: how many children there are below each of these milliseconds, in buckets of doubling width."""
    found = [{"from_ms": below // 2, "to_ms": below, "count": count} for below, count in buckets.items()]
    return {"measured": sum(buckets.values()), "p50": 20, "p90": 700, "p99": 700, "max": 900, "buckets": found, **more}


def test_how_long_children_ran_and_waited_is_shown_on_one_scale(tabs: Tabs) -> None:
    page = tabs.open("")
    waits = spread({1: 30, 4: 9}, p50=0, p90=3, p99=3, max=3)
    found = spread({32: 40, 1024: 10}, ended=50, waits=waits, task_id="good")
    page.route("**/v1/tasks/good/durations", lambda route: route.fulfill(json=found))
    page.goto(f"{page.url.partition('#')[0]}#/tasks/good")
    settled(page, ".histogram")
    chart = page.locator(".histogram")
    rows = [row.split() for row in chart.locator("tbody tr").all_inner_texts()]
    assert rows == [["ran", "20", "ms", *2 * ["700", "ms"], "900", "ms"], ["waited", "0", "ms", *3 * ["3", "ms"]]]
    bars = [bar.get_attribute("aria-label") for bar in chart.get_by_role("listitem").all()]
    assert len(bars) == 11
    assert bars[0] == "0 ms to 1 ms: 0 ran, 0 %; 30 waited, 76 %"
    assert bars[2] == "2 ms to 4 ms: 0 ran, 0 %; 9 waited, 23 %"
    assert bars[-1] == "512 ms to 1.0 s: 10 ran, 20 %; 0 waited, 0 %"
    assert "is known of 39." in chart.inner_text()
    high = "[...document.querySelectorAll('.bars span i')].map((bar) => bar.offsetHeight)"
    tall = page.evaluate(high)
    assert tall[1] * 4 == pytest.approx(tall[10] * 3, rel=0.1)  # 30 waited at first, 40 ran in the sixth
    hatched = "getComputedStyle(document.querySelector('.bars span .{}')).backgroundImage.includes('gradient')"
    assert [page.evaluate(hatched.format(kind)) for kind in ("ran", "waited")] == [False, True]


def test_the_throughput_follows_the_theme(tabs: Tabs) -> None:
    page = tabs.open("")
    page.emulate_media(color_scheme="light")
    drawn(page, [{"worker": "w", "items": [piece(n, 100 - n, 1) for n in range(40)]}])
    picture = "document.querySelector('.plot canvas').toDataURL()"
    light = page.evaluate(picture)
    page.emulate_media(color_scheme="dark")
    until(page, f"{picture} !== {light!r}")
    dark = page.evaluate(picture)
    page.emulate_media(color_scheme="light")
    until(page, f"{picture} !== {dark!r}")
    assert page.evaluate(picture) == light


def test_the_throughput_tells_what_is_under_the_pointer(tabs: Tabs) -> None:
    page = tabs.open("")
    drawn(page, [{"worker": "w", "items": [piece(n, 100 - n / 10, 1) for n in range(40)]}])
    chart = page.locator(".plot canvas")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + 60)
    said = "document.querySelector('.plot ~ .hint:not([hidden])').textContent"
    until(page, rf"/:\d\d: [1-9][\d.]* ended a second, 0.0 failed/.test({said})")
    page.mouse.move(box["x"] + 2, box["y"] + 60)  # beside the axis there is no time
    until(page, f"{said}.includes('as far as the server')")


def test_arrows_move_through_past_times(tabs: Tabs) -> None:
    noon = [f"2026-11-{day:02}T12:0{minute}:00Z" for day in (1, 2, 3) for minute in (0, 1)]
    ticks = [
        {"nominal": at, "kind": "regular", "outcome": "skipped", "reason": "r", "decided_at": at, "task_id": None,
         "task_outcome": None} for at in noon
    ]  # fmt: skip
    page = tabs.open("")
    page.route("**/v1/schedules/fired/ticks?*", lambda route: route.fulfill(json={"items": ticks, "more": False}))
    page.goto(f"{page.url.partition('#')[0]}#/schedules/fired")
    settled(page, ".ledger button")
    at = "document.activeElement.getAttribute('aria-label')"
    page.keyboard.press("ArrowDown")
    for key, label in (
        ("ArrowRight", noon[5]), ("ArrowRight", noon[2]), ("ArrowLeft", noon[5]), ("ArrowDown", noon[2]),
        ("ArrowDown", noon[0]), ("ArrowDown", noon[0]), ("ArrowUp", noon[2]), ("ArrowUp", noon[4]),
        ("ArrowLeft", noon[4]),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert page.evaluate(at) == f"{label}: skipped"
    assert noon[4] in page.locator("[aria-live=polite]").last.inner_text()
