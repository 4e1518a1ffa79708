"""The page of a task of a million children, of which some failed, in a real browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bench.cluster import READY_LIMIT, TEMPLATES, Bench, BenchError
from bench.figures import Figures, percentile
from bench.http_server import serving
from streamsched.client import Client
from tools import chromium

OPENED: Final = 10
"""How often the page is opened, each time in a browser that has just been started."""
RUN_LIMIT_S: Final = 600.0
AGAIN: Final = "index=0"
"""A child that has failed: it is run again while the page is open."""
COMPLETE: Final = """new Promise((complete, give_up) => {
  setTimeout(give_up, 60_000, "the page is never complete");
  const look = () => document.querySelector("main article")?.dataset.complete === "true"
    ? complete(performance.now()) : requestAnimationFrame(look);
  look();
})"""
"""Milliseconds from the navigation until all of the page is there."""
CHANGED: Final = """new Promise((changed, give_up) => {
  setTimeout(give_up, 60_000, "the page never changes");
  const before = document.querySelector(".figures").textContent;
  const look = () => document.querySelector(".figures").textContent !== before
    ? changed(Date.now()) : requestAnimationFrame(look);
  look();
})"""
"""When the counts of the page change, in milliseconds since the epoch."""


def http_page(bench: Bench) -> Iterator[Figures]:
    """Start a server, open the page in ten browsers, then run a failed child again while the page is open."""
    children = 50_000 if bench.quick else 1_000_000
    with bench.site() as site, site.client() as client:
        task = client.submit(TEMPLATES / "troubled.yaml", {"children": children}).task_id
        client.wait(task, RUN_LIMIT_S)
        for _ in range(bench.repeats):
            begun = time.monotonic()
            with serving(site) as (server, port):
                ready, address = time.monotonic() - begun, f"http://127.0.0.1:{port}"
                opened = [_open(address, task) for _ in range(OPENED)]
                took = [each["ms"] for each in opened]
                yield {
                    "ready_s": ready,
                    "complete_p50_ms": percentile(took, 0.5),
                    "complete_max_ms": max(took),
                    "largest_answer_bytes": max(each["largest"] for each in opened),
                    "all_answers_bytes": max(each["all"] for each in opened),
                    "delta_ms": _delta_ms(address, task, client),
                    "server_rss_mb": server.memory_info().rss / 1e6,
                }


def _open(address: str, task: str) -> dict[str, float]:
    """Return how long it took until the page was complete, and how many bytes the answers have."""
    sizes: list[int] = []
    with _page() as page:
        page.on("response", lambda response: sizes.append(int(response.headers.get("content-length", 0))))
        page.goto(f"{address}/#/tasks/{task}", wait_until="commit")
        took = page.evaluate(COMPLETE)
    return {"ms": took, "largest": max(sizes), "all": sum(sizes)}


def _delta_ms(address: str, task: str, client: Client) -> float:
    """Return the milliseconds from a command until an open page shows what it did."""
    with _page() as page:
        page.goto(f"{address}/#/tasks/{task}", wait_until="commit")
        page.evaluate(COMPLETE)
        asked: list[float] = []

        def run_again() -> None:
            asked.append(1000 * time.time())
            client.redrive(task, where=AGAIN)

        command = threading.Timer(1.0, run_again)
        command.start()
        changed = page.evaluate(CHANGED)
        command.join()
    client.wait(task, READY_LIMIT)
    return float(changed - asked[0])


@contextmanager
def _page() -> Iterator[Any]:
    """Give an empty page of a new browser."""
    path = chromium.find()
    if path is None:
        raise BenchError(f"Chromium is needed: put it on PATH, or name it in {chromium.WHERE}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BenchError("pages are measured with Playwright: pip install '.[browser]'") from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser.new_page()
        finally:
            browser.close()
