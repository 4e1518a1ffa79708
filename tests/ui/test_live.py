"""Pages that are open while a task runs: what happens is seen, and all tabs share one stream."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Tabs, until
from tests.support.cli import LIMIT, TEMPLATES, Cli
from tests.support.http_server import COUNT, Http, serving


@pytest.fixture
def cli(tmp_path: Path, chrome: Any) -> Iterator[Cli]:
    """Have a folder that ``up`` works on."""
    found = Cli(tmp_path)
    process = found.start("up", "--slots", "2", stdout=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        assert "up, process" in process.stderr.readline()
        yield found
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.communicate()


def slow(ask: Http, task_id: str, n: int, seconds: float = 0.2) -> None:
    handler, _ = TEMPLATES["sleep"]
    child = {"handler": handler, "args": {"seconds": seconds, "checkpoint_every": 0.05}}
    assert (
        ask(
            "PUT", f"/v1/tasks/{task_id}", {"template": {**COUNT, "name": "slow", "child": child}, "params": {"n": n}}
        ).status
        == 201
    )


def test_three_tabs_see_a_task_run_by_one_stream(chrome: Any, cli: Cli) -> None:
    with serving(cli.folder / ".streamsched") as ask:
        slow(ask, "slow", 40)
        context = chrome.new_context()
        tabs = Tabs(context, f"http://127.0.0.1:{ask.port}")
        pages = [tabs.open("tasks/slow") for _ in range(3)]
        for page in pages:
            page.wait_for_selector(".head .s-succeeded", timeout=60_000)
            until(page, "document.querySelector('.figures').textContent.includes('40 of 40')")
        assert sum(each.endswith("/events") for each in tabs.requests) == 1
        tabs.check()
        context.close()


def test_tabs_that_look_at_different_things_share_it_too(chrome: Any, cli: Cli) -> None:
    with serving(cli.folder / ".streamsched") as ask:
        slow(ask, "one", 20)
        slow(ask, "other", 20)
        context = chrome.new_context()
        tabs = Tabs(context, f"http://127.0.0.1:{ask.port}")
        first = tabs.open("tasks/one")
        second = tabs.open("tasks/other")
        third = tabs.open("tasks")
        for page in (first, second):
            page.wait_for_selector(".head .s-succeeded", timeout=60_000)
        until(third, "document.querySelectorAll('.tasks .s-succeeded').length === 2")
        assert [each for each in tabs.requests if each.endswith("/events")][-1] == "/v1/events"
        first.close()  # it had the stream: another tab reads on
        tabs.forget(first)
        slow(ask, "later", 3)
        until(third, "document.querySelectorAll('.tasks .s-succeeded').length === 3")
        tabs.check()
        context.close()


def test_a_page_whose_server_is_away_says_so(chrome: Any, cli: Cli) -> None:
    context = chrome.new_context()
    with serving(cli.folder / ".streamsched") as ask:
        slow(ask, "kept", 2)
        tabs = Tabs(context, f"http://127.0.0.1:{ask.port}")
        page = tabs.open("nodes")
        page.wait_for_selector("tbody tr")
    until(page, "document.querySelector('.banner')?.textContent?.includes('cannot be reached')")
    assert page.locator("tbody tr").count() > 0
    context.close()
