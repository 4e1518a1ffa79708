"""A real browser, where there is one: Chromium by Playwright. It notes what a page does and must not do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tools import chromium

LIMIT = 60.0
REFUSED = "Failed to load resource: the server responded with a status of"
WATCH = """
window.__wrong = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.__wrong.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


def program() -> str:
    """Return where Chromium is; skip the test where it is not, or Playwright is not."""
    pytest.importorskip("playwright.sync_api", reason="pages are tested with Playwright: pip install '.[browser]'")
    found = chromium.find()
    if not found:
        pytest.skip(f"pages are tested with Chromium: none is on PATH, and {chromium.WHERE} names none")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """Start a browser, for as long as the block lasts."""
    path = program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield found
        finally:
            found.close()


def until(page: Any, condition: str) -> None:
    """Wait until an expression is true. Playwright's own waiting evaluates texts in the page: its policy forbids it."""
    deadline = time.monotonic() + LIMIT
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never so: {condition}\n{page.locator('body').inner_text()}"
        page.wait_for_timeout(50)


def settled(page: Any, sign: str = "h1") -> None:
    """Wait until a page has what it asked for: there is no sign of waiting, and there is a row or a figure."""
    page.wait_for_selector("main h1")
    page.wait_for_selector(f"main {sign}")
    until(
        page,
        "![...document.querySelectorAll('main [role=status]')].some((each) => /ing\\b.*…$/.test(each.textContent))",
    )
    until(page, "!/^(…|loading…)/m.test(document.querySelector('main').innerText)")
    until(page, "(document.querySelector('main article')?.dataset.complete ?? 'true') === 'true'")


class Tabs:
    """Tabs of one user: whatever is wrong on one of them is in ``wrong``."""

    def __init__(self, context: Any, address: str) -> None:
        self._context = context
        self._address = address
        self._pages: list[Any] = []
        self.wrong: list[str] = []
        self._expected: set[str] = set()
        self.requests: list[str] = []
        context.set_default_timeout(30_000)
        context.add_init_script(WATCH)

    def open(self, place: str) -> Any:
        """Open a page in a new tab."""
        page = self._context.new_page()
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.requests.append(request.url.removeprefix(self._address)))
        self._pages.append(page)
        page.goto(f"{self._address}/#/{place}")
        return page

    def forget(self, page: Any) -> None:
        """Ask no more of a tab that was closed."""
        self._pages.remove(page)

    def await_requests(self, page: Any, start: str, number: int) -> None:
        """Wait until so many requests were sent whose addresses begin so."""
        deadline = time.monotonic() + LIMIT
        while sum(each.startswith(start) for each in self.requests) < number:
            assert time.monotonic() < deadline, f"not asked {number} times: {start}"
            page.wait_for_timeout(50)

    def expect(self, message: str) -> None:
        """Take it that the browser complains so, as of an answer that refuses: it may do so later, too."""
        self._expected.add(message)

    def check(self) -> None:
        """Fail where anything was wrong."""
        for page in self._pages:
            self.wrong += page.evaluate("window.__wrong")
        wrong = [each for each in self.wrong if each not in self._expected]
        assert wrong == [], "\n".join(wrong)
        assert [each for each in self.requests if not each.startswith("/")] == []

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(f"a dialog says {dialog.message}")
        dialog.dismiss()
