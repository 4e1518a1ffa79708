"""The sign-in at an issuer in a real browser, which holds back cookies that are for the server's own pages alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamsched.http.oidc import Oidc
from streamsched.http.proxied import Proxied
from tests.support.access import bearer, oidc_file, proxied, proxy_file
from tests.support.browser import Tabs
from tests.support.http_server import BODY, Http, serving
from tests.support.issuer import CLIENT, Issuer, issuing


def at(issuer: Issuer, folder: Path, **changed: Any) -> Callable[[int], Oidc]:
    """Sign in at this issuer, which is at 127.0.0.1: for a browser another site than localhost, where the server is."""

    def made(port: int) -> Oidc:
        given = {"client_id": CLIENT, "url": f"http://localhost:{port}", **changed}
        return Oidc(oidc_file(folder, issuer.url, **given))

    return made


def test_a_browser_signs_in_at_the_issuer_and_comes_back_to_its_page(chrome: Any, tmp_path: Path) -> None:
    with issuing() as issuer:
        issuer.asks = True
        with serving(tmp_path / "log", at(issuer, tmp_path, title="Example")) as ask:
            here = f"http://localhost:{ask.port}"
            assert bearer(ask, issuer.token())("PUT", "/v1/tasks/mine", BODY).status == 201
            context = chrome.new_context()
            tabs = Tabs(context, here)
            page = tabs.open("tasks/mine")
            page.get_by_role("button", name="Sign in with Example").click()
            page.get_by_text("It is me").click()  # so it comes back from another site
            page.wait_for_selector("article")
            assert page.url == f"{here}/#/tasks/mine"
            assert "ada admin" in page.locator("nav").inner_text()
            page.get_by_role("button", name="Pause").click()
            page.locator("dialog").get_by_role("button", name="Pause").click()
            page.wait_for_selector(".head .s-paused")
            kept = {cookie["name"]: cookie for cookie in context.cookies()}
            assert kept.keys() == {"streamsched_session"}
            assert (kept["streamsched_session"]["sameSite"], kept["streamsched_session"]["httpOnly"]) == (
                "Strict",
                True,
            )
            assert page.evaluate("document.cookie") == ""
            assert ask.get("/v1/me").status == 401
            assert page.evaluate("window.__wrong") == []
            context.close()


def test_what_is_wrong_is_a_page(chrome: Any, tmp_path: Path) -> None:
    with issuing() as issuer:
        issuer.user = {"sub": "<img src=x onerror=alert(1)>", "groups": []}
        with serving(tmp_path / "log", at(issuer, tmp_path)) as ask:
            context = chrome.new_context()
            tabs = Tabs(context, f"http://localhost:{ask.port}")
            page = tabs.open("")
            page.get_by_role("button", name="Sign in with 127.0.0.1").click()
            page.wait_for_selector("a[href='/v1/session/begin']")
            assert "<img src=x onerror=alert(1)> has no role here" in page.locator("body").inner_text()
            issuer.user = {"sub": "vera"}
            page.get_by_text("Sign in again").click()
            page.wait_for_selector("nav")
            page.get_by_text("vera viewer").wait_for()
            context.close()


def test_a_page_that_did_not_come_through_the_proxy_says_so(chrome: Any, tmp_path: Path) -> None:
    with serving(tmp_path / "log", Proxied(proxy_file(tmp_path))) as ask:
        context = chrome.new_context()
        page = Tabs(context, f"http://127.0.0.1:{ask.port}").open("")
        page.get_by_text("open it under the address of the proxy").wait_for()
        context.close()
        headers = proxied(Http(ask.port), "ada", "admins").headers
        context = chrome.new_context(extra_http_headers=headers)
        page = Tabs(context, f"http://127.0.0.1:{ask.port}").open("")
        page.get_by_text("ada admin").wait_for()
        context.close()
