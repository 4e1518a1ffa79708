"""The sign-in of a browser at an issuer, end to end: code, PKCE, state, nonce, and all that can be wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from streamsched.http.code_flow import CodeFlow
from streamsched.http.oidc import Oidc
from tests.support.access import bearer, oidc_file
from tests.support.http_server import BODY, Http, Reply, serving
from tests.support.issuer import CLIENT, CLIENT_SECRET, Issuer, issuing

URL = "http://localhost:8080"  # what browsers have; the tests know the port
BEGIN, CALLBACK = "/v1/session/begin", "/v1/session/callback"

NAVIGATION = {"Accept": "text/html,*/*", "Sec-Fetch-Mode": "navigate", "Host": "localhost:8080"}

CONFIDENTIAL = {"client_secret_file": "client.txt"}


class Browser:
    """Keeps cookies and follows what it is told, as far as a test says."""

    def __init__(self, ask: Http) -> None:
        self._port = ask.port
        self.cookies: dict[str, str] = {}
        self.marks: dict[str, str] = {}

    def get(self, path: str, site: str = "same-origin") -> Reply:
        """Go to a page of the server; from another ``site`` without the cookies that are for the server's own pages."""
        strict = {name for name, marks in self.marks.items() if "SameSite=Strict" in marks}
        sent = {name: value for name, value in self.cookies.items() if site == "same-origin" or name not in strict}
        given = {"Cookie": "; ".join(f"{name}={value}" for name, value in sent.items())} if sent else {}
        found = Http(self._port, given | NAVIGATION).get(path, Sec_Fetch_Site=site)
        for each in found.headers.get_all("Set-Cookie", []):
            pair, _, self.marks[pair.partition("=")[0]] = each.partition("; ")
            name, _, self.cookies[name] = pair.partition("=")
            if "Max-Age=0" in each:
                del self.cookies[name]
        return found

    def to_issuer(self, to: str | None = None) -> str:
        """Begin to sign in; returns the address at the issuer."""
        found = self.get(BEGIN if to is None else f"{BEGIN}?{urlencode({'to': to})}")
        assert found.status == 303
        return found.headers["Location"]

    def at_issuer(self, address: str) -> str:
        """Sign in at the issuer; returns the address, without the host, with which it sends back."""
        parts = urlsplit(address)
        port = parts.port
        assert port is not None
        back = Http(port).get(f"{parts.path}?{parts.query}").headers["Location"]
        assert back.startswith(URL + CALLBACK)
        return back.removeprefix(URL)

    def sign_in(self, to: str | None = None) -> Reply:
        """Sign in."""
        return self.get(self.at_issuer(self.to_issuer(to)), "cross-site")


def served(folder: Path, issuer: Issuer, **changed: Any) -> Oidc:
    return Oidc(oidc_file(folder, issuer.url, **{"audience": None, "client_id": CLIENT, "url": URL, **changed}))


@pytest.fixture(scope="module")
def ask(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    folder = tmp_path_factory.mktemp("flow")
    with serving(folder / "log", served(folder, issuer)) as found:
        yield found


@pytest.fixture
def browser(ask: Http) -> Browser:
    return Browser(ask)


def text(found: Reply, status: int) -> str:
    """Return the words of a page that says what is wrong, and that begins no session."""
    assert found.status == status
    assert found.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in found.headers["Content-Security-Policy"]
    assert not any("streamsched_session=" in each for each in found.headers.get_all("Set-Cookie", []))
    return unescape(re.sub(r"<[^>]*>", "", found.data.decode()))


def test_a_browser_signs_in_and_goes_on_by_itself(ask: Http, browser: Browser) -> None:
    ways = ask.get("/v1/session").json
    assert ways == {"kind": "oidc", "sign_in": BEGIN, "title": "127.0.0.1"}
    assert browser.get("/v1/me").status == 401
    found = browser.sign_in("/#/tasks/a?x=1&y='2'")
    assert found.status == 200
    assert '<meta http-equiv="refresh" content="0; url=/#/tasks/a?x=1&amp;y=&#x27;2&#x27;">' in found.data.decode()
    assert found.headers["Referrer-Policy"] == "no-referrer"
    assert found.headers["Cache-Control"] == "no-store"
    assert browser.cookies.keys() == {"streamsched_session"}
    marks = browser.marks["streamsched_session"]
    assert ("HttpOnly" in marks, "SameSite=Strict" in marks, "Path=/;" in marks) == (True, True, True)
    assert browser.get("/v1/me").json == {"name": "ada", "role": "admin", "within": ""}
    session = Http(ask.port, {"Cookie": f"streamsched_session={browser.cookies['streamsched_session']}"})
    assert session("PUT", "/v1/tasks/a", BODY).status == 201
    assert session.get("/v1/tasks/a/history").lines[0]["by"] == "ada"
    with session.stream("/v1/events") as messages:
        next(messages)
        assert session("DELETE", "/v1/session").status == 204
    assert browser.get("/v1/me").status == 401


def test_what_the_issuer_is_asked(browser: Browser, issuer: Issuer) -> None:
    address = browser.to_issuer()
    asked = parse_qs(urlsplit(address).query)
    assert asked.keys() == {
        "response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
        "code_challenge_method",
    }  # fmt: skip
    kept = browser.cookies["streamsched_sign_in"]
    marks = browser.marks["streamsched_sign_in"]
    assert ("HttpOnly" in marks, "SameSite=Lax" in marks, f"Path={CALLBACK}" in marks) == (True, True, True)
    browser.get(browser.at_issuer(address), "cross-site")
    form = issuer.forms[-1]
    assert form["redirect_uri"] == URL + CALLBACK
    for secret in (asked["nonce"][0], form["code_verifier"]):
        assert len(secret) >= 43
        assert secret not in kept
    other = parse_qs(urlsplit(browser.to_issuer()).query)
    assert all(asked[name] != other[name] for name in ("state", "nonce", "code_challenge"))


@pytest.mark.parametrize("to", [
    "https://evil.example.com",
    "//evil.example.com", "/\\evil.example.com", "\\\\evil", "/%09/evil", "/..//evil", "evil",
    "javascript:alert(1)", "/\n/evil", "/\t/evil", "/ /evil", "", "/v1/session", "http:///evil", "/@evil", "/#a b",
    "/#\u202e", "data:text/html,x",
])  # fmt: skip
def test_nobody_is_sent_to_another_site_afterwards(browser: Browser, to: str) -> None:
    found = browser.get(f"{BEGIN}?{urlencode({'to': to})}")
    assert (found.status, found.problem) == (422, "wrong-content")
    assert browser.cookies == {}


@pytest.mark.parametrize(
    "to", ['/#"><script>alert(1)</script>', "/#'onload=alert(1)", "/#//evil", "/#;url=//evil", "/#&#x22;"]
)
def test_markup_in_where_to_go_on_is_text(browser: Browser, to: str) -> None:
    page = browser.sign_in(to).data.decode()
    assert "<script" not in page
    assert [unescape(each) for each in re.findall(r'(?:content="0; url=|href=")([^"]*)"', page)] == [to, to]


def test_a_state_and_a_code_do_once(browser: Browser, issuer: Issuer) -> None:
    back = browser.at_issuer(browser.to_issuer())
    kept = dict(browser.cookies)
    assert browser.get(back, "cross-site").status == 200
    browser.cookies = dict(kept)
    assert "has ended already" in text(browser.get(back, "cross-site"), 401)
    code = parse_qs(urlsplit(back).query)["code"][0]
    again = parse_qs(urlsplit(browser.to_issuer()).query)["state"][0]
    asked = len(issuer.forms)
    assert "does not know this code" in text(browser.get(f"{CALLBACK}?code={code}&state={again}", "cross-site"), 401)
    assert len(issuer.forms) == asked + 1


def test_a_sign_in_that_another_browser_began_is_refused(ask: Http, browser: Browser, issuer: Issuer) -> None:
    back = browser.at_issuer(browser.to_issuer())
    other, asked = Browser(ask), len(issuer.forms)
    assert "has begun no sign-in" in text(other.get(back, "cross-site"), 401)
    other.to_issuer()
    assert "another sign-in" in text(other.get(back, "cross-site"), 401)
    state = parse_qs(urlsplit(back).query)["state"][0]
    for forged in ("", "x", ".", f"{state}.9999999999.Lw.", f"{state}.9999999999.Lw.AAAA", f"{state}.x.y.z", "\xff"):
        other.cookies = {"streamsched_sign_in": forged}
        assert "has begun no sign-in" in text(other.get(back, "cross-site"), 401)
    assert len(issuer.forms) == asked
    assert browser.get(back, "cross-site").status == 200


def test_a_sign_in_takes_ten_minutes_at_most(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.code_flow.KEPT_S", 0)
    assert "took too long" in text(browser.sign_in(), 401)


def test_many_states_fill_no_memory(tmp_path: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.code_flow.MOST_USED", 2)
    access = served(tmp_path, issuer)
    with serving(tmp_path / "log", access) as ask:
        for _ in range(5):
            assert Browser(ask).sign_in().status == 200
    assert isinstance(access.flow, CodeFlow)
    assert len(access.flow._used) == 2


def test_what_the_issuer_refuses_is_told(browser: Browser) -> None:
    state = parse_qs(urlsplit(browser.to_issuer()).query)["state"][0]
    query = urlencode({"state": state, "error": "access_denied", "error_description": "<script>call 555</script>"})
    page = text(browser.get(f"{CALLBACK}?{query}", "cross-site"), 401)
    assert "did not sign you in: access_denied" in page
    assert "555" not in page
    state = parse_qs(urlsplit(browser.to_issuer()).query)["state"][0]
    assert "no code" in text(browser.get(f"{CALLBACK}?state={state}&error=<b>", "cross-site"), 401)
    assert "has begun no sign-in" in text(browser.get(CALLBACK, "cross-site"), 401)
    plain = Http(browser._port).get(f"{CALLBACK}?state=x&code=y")
    assert (plain.status, plain.problem) == (401, "not-authenticated")
    for query in ("state=x&state=y", f"state={'x' * 8_001}", f"code={'x' * 8_001}", f"error={'x' * 2_001}"):
        assert Http(browser._port).get(f"{CALLBACK}?{query}").problem == "wrong-content"


@pytest.mark.parametrize(("claims", "told"), [
    ({"nonce": "another"}, "another sign-in"), ({"nonce": None}, "another sign-in"),
    ({"aud": "other"}, "another audience"),
    ({"iss": "https://x"}, "another issuer"), ({"exp": 1}, "has expired"), ({"azp": "other"}, "another client"),
    ({"aud": [CLIENT, "other"]}, "another client"), ({"sub": None}, "is no name"),
])  # fmt: skip
def test_an_id_token_that_does_not_fit_is_refused(
    browser: Browser, issuer: Issuer, claims: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer, "id_claims", claims)
    assert told in text(browser.sign_in(), 401)
    assert browser.get("/v1/me").status == 401


def test_a_user_without_a_role_is_told_so(browser: Browser, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer, "user", {"sub": "<b>eve</b>", "groups": []})
    assert "<b>eve</b> has no role here" in text(browser.sign_in(), 403)


@pytest.mark.parametrize(("status", "body", "told"), [
    (500, b"<html>", "answers 500"), (200, b"{}", "without an ID token"), (200, b"[" * 9_999, "without an ID token"),
    (200, b" " * 300_000, "more than"), (400, b'{"error": "invalid_client"}', "answers 400"), (302, b"", "answers 302"),
])  # fmt: skip
def test_an_issuer_that_fails_is_told(
    browser: Browser, issuer: Issuer, status: int, body: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(issuer.answers, "/token", (status, body))
    page = text(browser.sign_in(), 503)
    assert told in page
    assert "Traceback" not in page


def test_an_id_token_that_nobody_signed_is_refused(
    browser: Browser, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("x", "eyJhbGciOiJub25lIn0.e30.", issuer.token().rpartition(".")[0] + ".AAAA"):
        monkeypatch.setitem(issuer.answers, "/token", (200, f'{{"id_token": "{token}"}}'.encode()))
        assert "the token is not accepted" in text(browser.sign_in(), 401)


def test_an_issuer_that_is_away_begins_no_sign_in(tmp_path: Path) -> None:
    with issuing() as issuer, serving(tmp_path / "log", served(tmp_path, issuer)) as ask:
        issuer.answers["/keys"] = 500, b""
        assert "is away" in text(Browser(ask).get(BEGIN), 503)


@pytest.mark.parametrize("ways", [[], ["client_secret_basic", "client_secret_post"], ["client_secret_post"]])
def test_a_confidential_client_proves_itself(tmp_path: Path, ways: list[str]) -> None:
    (tmp_path / "client.txt").write_text(CLIENT_SECRET)
    with issuing() as issuer:
        issuer.secret = CLIENT_SECRET
        issuer.told = {"token_endpoint_auth_methods_supported": ways} if ways else {}
        with serving(tmp_path / "log", served(tmp_path, issuer, **CONFIDENTIAL)) as ask:
            assert Browser(ask).sign_in().status == 200
            assert ("client_secret" in issuer.forms[-1]) == (ways == ["client_secret_post"])
        (tmp_path / "client.txt").write_text("wrong")
        with serving(tmp_path / "log2", served(tmp_path, issuer, **CONFIDENTIAL)) as ask:
            assert "answers 400" in text(Browser(ask).sign_in(), 503)


def test_over_https_cookies_are_for_that_alone(tmp_path: Path) -> None:
    with issuing() as issuer:
        access = served(tmp_path, issuer, url="https://jobs.example.com/", title="Example", session="10m")
        with serving(tmp_path / "log", access) as ask:
            assert ask.get("/v1/session").json["title"] == "Example"
            found = ask.get(BEGIN, Host="jobs.example.com")
            assert found.headers["Set-Cookie"].endswith("; Secure")
            address = urlsplit(found.headers["Location"])
            back = Http(int(address.port or 0)).get(f"{address.path}?{address.query}").headers["Location"]
            assert back.startswith(f"https://jobs.example.com{CALLBACK}?")
            cookie = found.headers["Set-Cookie"].partition(";")[0]
            done = ask.get(back.removeprefix("https://jobs.example.com"), Host="jobs.example.com", Cookie=cookie)
            session = done.headers.get_all("Set-Cookie", [])[0]
            assert session.endswith("; Secure")
            assert "Max-Age=600;" in session


def test_a_server_without_an_issuer_has_no_such_sign_in(tmp_path: Path, issuer: Issuer) -> None:
    with serving(tmp_path / "log") as ask:
        assert ask.get(BEGIN).problem == ask.get(CALLBACK).problem == "no-such-page"
        assert ask.get("/v1/session").json == {"kind": "none", "sign_in": None, "title": None}
    with serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url))) as ask:
        assert ask.get("/v1/session").json == {"kind": "oidc", "sign_in": None, "title": None}
        assert bearer(ask, issuer.token()).get("/v1/me").status == 200
        assert ask.get(f"{BEGIN}?to={quote('/')}").problem == "no-such-page"
