"""The pages in a real browser: nothing is wrong on any of them, nothing runs that was in a name, keys suffice."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from streamsched.http.access import Tokens
from tests.support.browser import REFUSED, Tabs, settled, until
from tests.support.http_server import Http, serving
from tests.support.needs import unreadable
from tests.ui.conftest import EVIL

OWN = quote(EVIL, safe="")
PLACES = {
    "": ("Overview", ".figures dd"), "tasks": ("Tasks", ".tasks tbody tr"),
    "tasks/good": ("good", ".grid canvas"), "tasks/bad": ("bad", ".failures h3"), "tasks/idle": ("idle", ".figures dd"),
    "tasks/good?as_of=2100-01-01": ("good", ".past button"),
    "tasks/bad?where=index=0..1": ("bad", "#children tbody tr"),
    "tasks/bad/children/1": ("Child 1", ".rows dd"), "schedules": ("Schedules", "tbody .strip .t-succeeded"),
    "schedules/hourly": ("hourly", ".times li"), "schedules/fired": ("fired", ".ledger .t-succeeded"),
    "nodes": ("Nodes", "section code"), "dead-letters": ("Dead letters", "tbody tr"),
    "dead-letters/0": ("Dead letter 0", "section pre"), "new": ("New task", "textarea"),
    "system": ("System", "section tbody tr"),
    f"tasks/{OWN}": (EVIL, ".failures h3"), f"tasks/{OWN}/children/0": ("Child 0", "pre"),
    "tasks/none": ("none", "[role=alert]"), "nowhere": ("There is nothing here", "p a"),
}  # fmt: skip
"""The heading of each page, and something of it that is there once it has its answers."""
WORKER = {
    "name": "w", "role": "worker", "version": "1", "state": "running", "pending": 0, "loop_age": 1, "age_ms": 1,
    "partitions": [], "modules": None, "running": [], "queues": [], "labels": {},
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_page_opens(tabs: Tabs, place: str) -> None:
    page = tabs.open(place)
    heading, sign = PLACES[place]
    settled(page, sign)
    assert heading in page.locator("h1").inner_text()
    assert not re.search(r"\b(NaN|undefined|Invalid)\b", page.locator("main").inner_text())
    if place == "tasks/none":
        tabs.expect(f"{REFUSED} 404 (Not Found)")


def test_the_overview_tells_what_the_server_answers(chrome: Any, ask: Http) -> None:
    beats = [{**WORKER, "node_id": str(each), "slots": 4, "free": each} for each in range(3)]
    context = chrome.new_context()
    tabs = Tabs(context, f"http://127.0.0.1:{ask.port}")
    context.route("**/v1/nodes", lambda route: route.fulfill(json={"items": beats, "missing": ""}))
    page = tabs.open("")
    settled(page, ".figures dd")
    scaling = ask.get("/v1/scaling").json
    figures = page.locator(".figures dd").all_inner_texts()
    assert figures[0] == "9 of 12"
    assert figures[1] == str(scaling["runnable"])
    assert figures[3].startswith(f"{scaling['desired_slots']} ")
    tabs.check()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_read_it(chrome: Any, ask: Http, theme: str) -> None:
    context = chrome.new_context(color_scheme=theme, reduced_motion="reduce")
    tabs = Tabs(context, f"http://127.0.0.1:{ask.port}")
    wrong = []
    for place, (_, sign) in PLACES.items():
        page = tabs.open(place)
        settled(page, sign)
        if place == "new":
            planned(page)
        wrong += [f"{place}: {each}" for each in unreadable(page)]
        page.close()
    assert wrong == [], "\n".join(wrong)
    context.close()


def planned(page: Any) -> None:
    """Have the form of a template, and what the task would be."""
    page.get_by_role("button", name="Take an example").click()
    page.get_by_label("n *", exact=True).fill("9000")
    page.get_by_text("9 children").wait_for()


def test_what_is_in_names_and_messages_is_text(tabs: Tabs) -> None:
    page = tabs.open(f"tasks/{quote(EVIL, safe='')}")
    page.wait_for_selector(".failures h3")
    text = page.locator("article").inner_text()
    assert "<script>alert(2)</script><img src=x onerror=alert(3)>\\x1b[31m\\u202eevil" in text
    assert "team=<b>bold</b>" in text
    assert page.locator("main img, main script, main svg, main b b").count() == 0
    page.locator(".failures").get_by_text("List").click()
    page.wait_for_selector("#children tbody tr")
    page.locator("#children a[data-row]").first.click()
    page.wait_for_selector("pre")
    assert "\\u202eevil" in page.locator("pre").first.inner_text()
    page.goto(f"{page.url.partition('#')[0]}#/tasks")
    page.wait_for_selector(".tasks tbody tr")
    assert EVIL in page.locator(".tasks").inner_text()


def test_keys_suffice(tabs: Tabs) -> None:
    page = tabs.open("tasks")
    page.wait_for_selector(".tasks tbody tr")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("/")
    page.keyboard.type("count")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.tasks tbody tr').length === 2")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "good"
    page.keyboard.press("Enter")
    page.wait_for_selector(".grid canvas")
    settled(page)
    page.locator(".grid canvas").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    until(page, "document.querySelector('#grid-told').textContent.includes('child 101')")
    page.keyboard.press("Shift+ArrowRight")
    until(page, "document.querySelector('#where').value === 'index=101..102'")
    page.keyboard.press("t")
    assert "0 to 1,199" in page.locator(".grid table").inner_text()
    page.get_by_role("button", name="as a grid").press("Enter")
    page.locator(".grid canvas").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('h1').textContent.startsWith('Child')")


def test_children_are_chosen_by_dragging_and_redriven_after_a_look(tabs: Tabs, ask: Http) -> None:
    page = tabs.open("tasks/good")
    settled(page)
    box = page.locator(".grid canvas").bounding_box()
    cell = round(box["width"]) // 100
    page.mouse.move(box["x"] + 3.5 * cell, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 7.5 * cell, box["y"] + 2, steps=5)
    page.mouse.up()
    chosen = page.locator("#where").input_value()
    first, last = map(int, re.findall(r"\d+", chosen))
    assert 0 <= first < last < 20
    page.wait_for_selector("#children tbody tr")
    page.locator(".chosen").get_by_role("button", name="Redrive these").click()
    page.wait_for_selector("dialog[open]")
    page.wait_for_selector("dialog [role=alert]")  # there is nothing to do again
    tabs.expect(f"{REFUSED} 409 (Conflict)")
    page.get_by_label("also those that succeeded").check()
    until(page, f"document.querySelector('.preview')?.textContent?.startsWith('{last - first + 1} ')")
    assert ask.get("/v1/tasks/good").json["redrive"] == 0
    page.get_by_role("button", name="Not now").click()
    page.wait_for_selector("dialog", state="detached")


def test_children_that_meet_a_selector_are_counted_listed_and_redriven(tabs: Tabs, ask: Http) -> None:
    page = tabs.open("tasks/good")
    settled(page, "#where")
    page.get_by_label("Children where").fill("state=succeeded and index=100..299")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#children').textContent.includes('200 children: 200 succeeded')")
    assert page.locator("#children tbody tr").count() == 50
    assert "--where 'state=succeeded and index=100..299'" in page.locator("#children pre").text_content()
    until(page, "location.hash.includes('where=state%3Dsucceeded')")
    page.reload()
    until(page, "document.querySelector('#children')?.textContent.includes('200 children: 200 succeeded')")
    page.locator("#children").get_by_role("button", name="Redrive these").press("Enter")
    page.wait_for_selector("dialog [role=alert]")  # all of them have succeeded
    tabs.expect(f"{REFUSED} 409 (Conflict)")
    page.get_by_label("also those that succeeded").check()
    until(page, "document.querySelector('.preview')?.textContent?.startsWith('200 ')")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.get_by_label("Children where").fill("error=KeyError")
    page.get_by_role("button", name="List").press("Enter")
    until(page, "document.querySelector('#children [role=status]')?.textContent === 'None.'")


def test_a_count_goes_on_where_a_request_had_no_time_for_it(tabs: Tabs) -> None:
    page = tabs.open("")
    parts = [
        {"children": 7, "states": {"failed": 7}, "next": "more"},
        {"children": 3, "states": {"cancelled": 1, "failed": 2}, "next": None},
    ]
    page.route("**/v1/tasks/bad/count?*", lambda route: route.fulfill(json=parts["cursor=more" in route.request.url]))
    page.goto(f"{page.url.partition('#')[0]}#/tasks/bad?where=index=0..2")
    until(page, "document.querySelector('#children')?.textContent.includes('10 children: 9 failed, 1 cancelled')")


def test_a_group_of_failures_is_redriven(tabs: Tabs, ask: Http) -> None:
    page = tabs.open("tasks/bad")
    page.get_by_role("button", name="Redrive this group").click()
    until(page, "document.querySelector('.preview')?.textContent?.startsWith('3 children run again')")
    page.get_by_label("Reason").fill("the store is back")
    page.get_by_role("button", name="Redrive 3").click()
    page.wait_for_selector("dialog", state="detached")
    until(page, "document.querySelector('article').textContent.includes('redrive 1')")
    assert ask.get("/v1/tasks/bad").json["redrive"] == 1
    last = ask.get("/v1/tasks/bad/history").lines[-1]
    assert (last["event"], last["reason"]) == ("TaskRedriven", "the store is back")


def test_a_task_is_made_by_a_form_of_its_template(tabs: Tabs, ask: Http) -> None:
    page = tabs.open("new")
    page.get_by_role("button", name="Take an example").click()
    page.get_by_label("n *", exact=True).fill("2500")
    page.get_by_label("Task id").fill("by-form")
    plan = page.get_by_role("region", name="What it would be")
    plan.get_by_text("3 children").wait_for()
    assert "streamsched.examples.numbers:print_numbers" in plan.inner_text()
    assert '{"first":2001,"last":2500}' in plan.inner_text()
    assert ask.get("/v1/tasks/by-form").status == 404
    command = page.locator(".copy pre").first.inner_text()
    assert command == "streamsched submit print-numbers.yaml -p n=2500 --task-id by-form"
    assert "curl -X PUT" in page.locator(".copy pre").last.inner_text()
    page.get_by_role("button", name="Submit").click()
    page.wait_for_selector("article")
    assert ask.get("/v1/tasks/by-form").json["params"] == {"n": 2500, "chunk": 1000}


LONG = """
name: long
params:
  id: {type: integer}
  ids: {type: array, default: []}
  share: {type: number, default: 1}
split: {by: "a.module:pieces"}
child: {handler: "a.module:work", args: {id: "${id}"}}
"""


def test_a_form_keeps_long_integers_and_tells_what_is_refused(tabs: Tabs, ask: Http) -> None:
    page = tabs.open("new")
    page.get_by_label("Its content").fill(LONG)
    page.get_by_label("id *", exact=True).fill("12345678901234567")
    page.get_by_label("ids", exact=True).fill("[98765432109876543, 2.0, 1]")
    page.get_by_label("share", exact=True).fill("76543210987654321")
    plan = page.get_by_role("region", name="What it would be")
    plan.get_by_text("found once it runs").wait_for()
    page.get_by_label("Labels").fill("team=a_b/c=d")
    assert "-p id=12345678901234567 -p 'ids=[98765432109876543,2.0,1]'" in page.locator(".copy pre").first.inner_text()
    page.get_by_label("Labels").fill("")
    page.get_by_label("Task id").fill("bad id")
    plan.get_by_role("alert").wait_for()
    page.get_by_label("Task id").fill("long")
    plan.get_by_text("found once it runs").wait_for()
    page.get_by_role("button", name="Submit").click()
    page.wait_for_selector("article")
    told = b'"params":{"id":12345678901234567,"ids":[98765432109876543,2.0,1],"share":76543210987654321}'
    assert told in ask.get("/v1/tasks/long").data
    tabs.expect(f"{REFUSED} 422 (Unprocessable Entity)")
    tabs.expect(f"{REFUSED} 422 (Unprocessable Content)")


LISTS = """
name: lists
params:
  files: {type: array, items: string}
  sizes: {type: array, items: integer, default: [1, 2]}
split: {list: {items: "${files}"}}
child: {handler: "a.module:work", args: {file: "${child.item}", sizes: "${sizes}"}}
"""


def test_lists_are_written_a_value_a_line_and_the_command_is_what_the_form_says(tabs: Tabs) -> None:
    page = tabs.open("new")
    page.get_by_label("Its content").fill(LISTS)
    terminal = page.get_by_role("region", name="The same from a terminal")
    terminal.get_by_text("once the form is complete").wait_for()
    page.get_by_label("files *", exact=True).fill('in/a b.log\n\n["c"]\n')
    assert page.get_by_label("sizes", exact=True).get_attribute("placeholder") == "1\n2"
    page.get_by_label("sizes", exact=True).fill("12345678901234567\n\n x7\n")
    page.get_by_text('sizes has "x7" in line 3, which is not an integer').first.wait_for()
    assert page.get_by_role("button", name="Submit").is_disabled()
    terminal.get_by_text("once the form is complete").wait_for()
    page.get_by_label("sizes", exact=True).fill("12345678901234567\n 7\n")
    command = page.locator(".copy pre").first
    assert command.inner_text() == (
        """streamsched submit template.yaml -p 'files=["in/a b.log","[\\"c\\"]"]' -p 'sizes=[12345678901234567,7]'"""
    )
    page.get_by_label("as JSON (files)").check()
    assert page.get_by_label("files *", exact=True).input_value() == '["in/a b.log","[\\"c\\"]"]'
    page.get_by_label("files *", exact=True).fill('["c"')
    page.get_by_text("files is not JSON").first.wait_for()
    assert command.count() == 0
    page.get_by_label("files *", exact=True).fill('["c", "d"]')
    page.get_by_label("as JSON (files)").uncheck()
    assert page.get_by_label("files *", exact=True).input_value() == "c\nd"
    page.get_by_label("Labels").fill("team")
    page.get_by_text("label team is not name=value").wait_for()
    assert command.count() == 0
    page.get_by_label("Labels").fill("")
    page.get_by_label("Its content").fill(LISTS.replace("sizes:", "bytes:", 1).replace("${sizes}", "${bytes}"))
    assert command.count() == 0, "what was read before is not shown any more"
    command.wait_for()
    assert '"bytes":{"type":"array"' in page.locator(".copy pre").last.inner_text()
    page.get_by_role("region", name="What it would be").get_by_text("2 children").wait_for()


def test_long_parameters_are_cut_until_all_is_asked_for(tabs: Tabs, ask: Http) -> None:
    document = {
        "name": "wordy",
        "params": {"n": {"type": "integer"}, "names": {"type": "array"}, "text": {"type": "string"}},
        "split": {"range": {"first": 1, "last": "${n}", "size": 1}},
        "child": {"handler": "a.module:work", "args": {"first": "${child.first}"}},
    }
    given = {"n": 2, "names": [f"name-{n}" for n in range(10_000)], "text": "<b>\u202e" + "x" * 50_000}
    body = {"template": document, "params": given}
    assert ask("PUT", "/v1/tasks/wordy", body).status == 201
    page = tabs.open("tasks/wordy")
    page.locator("summary", has_text="Parameters").click()
    shown = page.get_by_label("Parameters", exact=True)
    text = shown.inner_text()
    assert len(text) < 1_500
    assert 'names: ["name-0", "name-1", ' in text
    assert text.endswith(" more characters)")
    assert "<b>\\u202exxx" in text
    page.get_by_text("streamsched status wordy --json").wait_for()
    page.get_by_role("button", name="Show all of it").click()
    until(page, "document.querySelector('details pre').textContent.includes('name-9999')")


def test_a_task_is_held_and_its_limits_are_set(tabs: Tabs, ask: Http) -> None:
    page = tabs.open("tasks/idle")
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Reason").fill("a look first")
    page.locator("dialog").get_by_role("button", name="Pause").click()
    page.wait_for_selector(".head .s-paused")
    assert "a look first" in page.locator(".why").inner_text()
    page.get_by_role("button", name="Limits").click()
    page.get_by_label("parallelism").fill("2")
    page.get_by_label("rate dispatches").fill("7/m")
    page.get_by_role("button", name="Set 2").click()
    page.wait_for_selector("dialog", state="detached")
    until(page, "document.querySelector('.facts').textContent.includes('7/m')")
    assert ask.get("/v1/tasks/idle").json["limits"]["parallelism"] == 2


def test_who_may_only_look_is_told_so(chrome: Any, folder: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"ann:viewer:{sha256(b'ann-secret').hexdigest()}\n")
    with serving(folder, Tokens(tokens)) as ask:
        context = chrome.new_context()
        tabs = Tabs(context, f"http://127.0.0.1:{ask.port}")
        page = tabs.open("tasks/idle")
        page.get_by_label("Token").fill("ann-secret")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("article")
        button = page.get_by_role("button", name="Cancel")
        assert button.get_attribute("aria-disabled") == "true"
        assert "needs the role operator" in button.inner_text()
        button.click(force=True)
        assert page.locator("dialog").count() == 0
        assert "ann viewer" in page.locator("nav").inner_text()
        context.close()


def test_a_page_from_before_the_log_fell_silent_says_so(tabs: Tabs) -> None:
    page = tabs.open("tasks")
    page.wait_for_selector(".tasks tbody tr")
    me = {"name": "tester", "role": "admin", "within": ""}
    page.route("**/v1/me", lambda route: route.fulfill(json=me, headers={"Streamsched-Stale": "42"}))
    page.wait_for_selector(".banner")
    said = page.locator(".banner").inner_text()
    assert "has not answered for 42 s" in said
    assert re.search(r"position \d+:\d+", said)
    page.unroute("**/v1/me")
    page.wait_for_selector(".banner", state="detached")


def test_the_page_without_scripts_tells_where_the_documents_are(chrome: Any, ask: Http) -> None:
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{ask.port}/")
    assert page.locator("a[href='/v1/tasks']").count() == 1
    context.close()
