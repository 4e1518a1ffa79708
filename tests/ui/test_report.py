"""A report in a real browser: it stands alone, breaks no rule of its own policy, runs nothing, and can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import WATCH
from tests.support.cli import Cli
from tests.support.needs import unreadable
from tests.ui.conftest import EVIL, SAYS

WORK = f"""
import time

def work(ctx, first, last):
    time.sleep(0.002 * first)
    if first % 3 == 0:
        raise ValueError({SAYS!r})
"""
TEMPLATE = """
name: report
params: {n: {type: integer}}
split: {range: {first: 1, last: "${n}", size: 1}}
child:
  handler: "markup:work"
  args: {first: "${child.first}", last: "${child.last}"}
  retry: {max_attempts: 2, initial_interval: 1ms}
failure: {on: run_all}
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report")
    (place / "markup.py").write_text(WORK)
    (place / "report.yaml").write_text(TEMPLATE)
    cli = Cli(place)
    cli("run", "report.yaml", "-p", "n=40", "--task-id", EVIL, "--label", "team=<b>bold</b>", code=1)
    cli("report", EVIL, "--html", "report.html")
    return place / "report.html"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_stands_alone(chrome: Any, report: Path, theme: str) -> None:
    context = chrome.new_context(color_scheme=theme, offline=True)
    context.add_init_script(WATCH)
    page = context.new_page()
    wrong: list[str] = []
    requests: list[str] = []

    def opened(dialog: Any) -> None:
        wrong.append(dialog.message)
        dialog.dismiss()

    page.on("console", lambda said: wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", opened)
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    assert requests == [report.as_uri()]
    text = page.locator("main").inner_text()
    assert EVIL in page.locator("h1").inner_text()
    assert "<script>alert(2)</script><img src=x onerror=alert(3)>\\x1b[31m\\u202eevil" in text
    assert "team=<b>bold</b>" in text
    assert page.locator("main img, main script, main a, main b").count() == 0
    assert page.locator("svg.grid path.failed").count() == 1
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(251, 251, 249)", "dark": "rgb(20, 23, 26)"}[theme]  # so the style was taken
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (wrong, page.evaluate("window.__wrong")) == ([], [])
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_read_it(chrome: Any, report: Path, theme: str) -> None:
    context = chrome.new_context(color_scheme=theme)
    page = context.new_page()
    page.goto(report.as_uri())
    assert unreadable(page) == []
    context.close()
