"""The grid of a task's children: chosen by keys and by a form, coloured as its legend says, zoomed."""

from __future__ import annotations

import re
from typing import Any

from tests.support.browser import Tabs, settled, until
from tests.support.needs import unreadable


def select(page: Any, first: int, last: int) -> None:
    page.get_by_label("first child").fill(str(first))
    page.get_by_label("last child").fill(str(last))
    page.keyboard.press("Enter")


def test_children_are_chosen_by_their_numbers(tabs: Tabs) -> None:
    page = tabs.open("tasks/good")
    settled(page, ".grid canvas")
    select(page, 740, 130)
    assert page.locator("#where").input_value() == "index=130..740"
    assert "611 selected" in page.locator(".chosen").inner_text()
    page.get_by_role("button", name="Zoom in").press("Enter")
    page.get_by_label("first child").fill("7")  # it is not shown
    page.get_by_label("last child").fill("200")
    page.get_by_role("button", name="Select").press("Enter")
    assert "selected" not in page.locator(".chosen").inner_text()


def pixel(condition: str) -> str:
    """Say of ``colour``, that of the first cell, whether it is so."""
    return f"""(() => {{
        const copy = new OffscreenCanvas(1, 1).getContext('2d', {{willReadFrequently: true}});
        copy.drawImage(document.querySelector('.grid canvas'), -1, -1);
        const [r, g, b, alpha] = copy.getImageData(0, 0, 1, 1).data, colour = `rgb(${{r}}, ${{g}}, ${{b}})`;
        const ramp = document.querySelector('.ramp.r0');
        return {condition};
    }})()"""


LEAST = pixel("ramp && colour === getComputedStyle(ramp).backgroundColor")


def test_the_colours_are_those_of_the_legend(tabs: Tabs) -> None:
    page = tabs.open("tasks/good")
    settled(page, ".grid canvas")
    page.get_by_text("attempts", exact=True).click()
    until(page, LEAST)
    assert "1 " in page.locator(".key").inner_text()
    assert "6 or more" in page.locator(".key").inner_text()
    layer = bytes([41] + 598 * [81] + [121] + 600 * [201])
    page.route("**/v1/tasks/good/grid?layer=duration", lambda route: route.fulfill(body=layer))
    page.get_by_text("duration", exact=True).click()
    until(page, LEAST)
    assert re.search(r"32 ms\s+9 h 19 m", page.locator(".key").inner_text())
    select(page, 1, 599)
    page.get_by_role("button", name="Zoom in").click()
    until(page, LEAST)
    assert re.search(r"1.0 s\s+33 s", page.locator(".key").inner_text())


def test_the_cursor_does_not_stay_where_it_was_before_a_zoom(tabs: Tabs) -> None:
    page = tabs.open("tasks/good")
    settled(page, ".grid canvas")
    page.locator(".grid canvas").focus()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    until(page, "document.querySelector('#grid-told').textContent.includes('child 100')")
    select(page, 500, 600)
    page.get_by_role("button", name="Zoom in").click()
    until(page, "document.querySelector('#grid-told').textContent.includes('Point at')")
    page.locator(".grid canvas").focus()
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#grid-told').textContent.includes('child 500')")


def test_the_grid_is_painted_again_behind_the_table(tabs: Tabs) -> None:
    page = tabs.open("tasks/good")
    settled(page, ".grid canvas")
    until(page, pixel("alpha === 255"))
    page.get_by_role("button", name="as a table").click()
    page.get_by_role("button", name="as a grid").click()
    page.wait_for_selector(".grid canvas")
    until(page, pixel("alpha === 255"))


def painted(name: str, x: int = 1) -> str:
    """Say whether the grid has, at a point of its first row, the colour of this swatch of the legend."""
    return f"""(() => {{
        const copy = new OffscreenCanvas(1, 1).getContext('2d', {{willReadFrequently: true}});
        copy.drawImage(document.querySelector('.grid canvas'), -{x}, -1);
        const [r, g, b] = copy.getImageData(0, 0, 1, 1).data, swatch = document.querySelector('.kinds svg.{name}');
        return !!swatch && `rgb(${{r}}, ${{g}}, ${{b}})` === getComputedStyle(swatch).fill;
    }})()"""


def test_children_are_told_apart_by_why_they_failed(tabs: Tabs) -> None:
    page = tabs.open("tasks/bad")
    settled(page, ".grid canvas")
    page.get_by_text("cause of failure", exact=True).click()
    until(page, painted("k0"))
    cause = page.locator(".failures li h3").inner_text().split()[0]
    (legend,) = page.locator(".kinds li").all_inner_texts()
    assert legend.startswith(cause)
    assert legend.split()[-1] == "3"
    assert unreadable(page) == []
    page.get_by_role("button", name="as a table").click()
    cells = page.locator(".grid tbody td").all_inner_texts()
    assert cells[:2] == ["0 to 2", "3"]
    assert cells[3].startswith(cause)


def test_children_are_told_apart_by_who_ran_them(tabs: Tabs) -> None:
    page = tabs.open("tasks/bad")
    settled(page, ".grid canvas")
    shares = [{"worker": f"w{number}", "children": 20 - number} for number in range(10)]
    page.route("**/v1/tasks/bad/workers", lambda route: route.fulfill(json={"items": shares, "others": 4}))
    page.route("**/v1/tasks/bad/grid?layer=worker&*", lambda route: route.fulfill(body=bytes([2, 255, 0])))
    page.get_by_text("worker", exact=True).click()
    until(page, painted("k1"))
    legend = page.locator(".kinds li").all_inner_texts()
    assert [each.split() for each in legend[:2]] == [["w0", "20"], ["w1", "19"]]
    assert legend[-1].split() == ["3", "other", "workers", str(13 + 12 + 11 + 4)]
    asked = [each for each in tabs.requests if "layer=worker" in each]
    assert "&".join(f"worker=w{number}" for number in range(7)) in asked[0]
    assert "w7" not in asked[0]


def test_few_children_are_large_enough_to_point_at(tabs: Tabs) -> None:
    page = tabs.open("tasks/bad")
    settled(page, ".grid canvas")
    told = "document.querySelector('#grid-told').textContent"
    box = page.locator(".grid canvas").bounding_box()
    for child, x in ((0, 1), (1, 25), (2, 70)):
        page.mouse.move(box["x"] + x, box["y"] + 22)
        until(page, f"{told}.includes('child {child}')")
    until(page, f"{told}.includes('{{')")  # its arguments
    page.mouse.move(box["x"] + 80, box["y"] + 12)  # no child
    page.mouse.down()
    page.mouse.up()
    until(page, f"{told}.includes('Point at')")
    page.mouse.move(box["x"] + 12, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 12)
    page.mouse.up()
    until(page, "document.querySelector('#where').value === 'index=0..2'")
    page.set_viewport_size({"width": 330, "height": 700})
    page.locator(".grid canvas").scroll_into_view_if_needed()
    box = page.locator(".grid canvas").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 12)
    until(page, f"{told}.includes('child 2')")
