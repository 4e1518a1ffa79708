"""Tokens of an issuer: whose are accepted, for how long, and what mistakes a file may have."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import OctKey, RSAKey

from streamsched.domain.errors import InputError
from streamsched.http.oidc import Oidc
from tests.support.access import bearer, oidc_file, two_tasks
from tests.support.http_server import BODY, Http, serving
from tests.support.issuer import CLIENT, Issuer, issuing, public, sign


@pytest.fixture(scope="module")
def ask(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    folder = tmp_path_factory.mktemp("oidc")
    with serving(folder / "log", Oidc(oidc_file(folder, issuer.url))) as found:
        yield found


def why_not(ask: Http, token: str) -> str:
    """Return why a token is not accepted, of a request that is refused as it should be."""
    for path in ("/v1/me", "/v1/tasks", "/v1/events"):
        found = bearer(ask, token).get(path)
        assert (found.status, found.problem) == (401, "not-authenticated")
        assert found.headers["WWW-Authenticate"].startswith("Bearer")
    assert bearer(ask, token).post("/v1/session").status == 401
    return str(found.json["detail"])


def test_the_issuer_names_the_user_and_the_groups(ask: Http, issuer: Issuer) -> None:
    assert bearer(ask, issuer.token()).get("/v1/me").json == {"name": "ada", "role": "admin", "within": ""}
    counter = bearer(ask, issuer.token(sub="bea", groups="counters"))
    assert counter.get("/v1/me").json == {"name": "bea", "role": "operator", "within": "count"}
    assert bearer(ask, issuer.token(sub="vera", groups=None)).get("/v1/me").json["role"] == "viewer"
    assert bearer(ask, issuer.token(aud=["other", CLIENT])).get("/v1/me").status == 200
    refused = bearer(ask, issuer.token(sub="eve", groups=["Admins"])).get("/v1/me")
    assert (refused.status, refused.problem) == (403, "not-permitted")


def test_what_a_user_of_some_templates_may_is_bounded_and_signed(ask: Http, issuer: Issuer) -> None:
    ada = bearer(ask, issuer.token())
    bea = bearer(ask, issuer.token(sub="bea@example.com", groups=["counters"]))
    assert {each["template"] for each in bea.get(f"/v1/tasks?at_least={two_tasks(ada)}").json["items"]} == {"count"}
    assert bea.get("/v1/tasks/other").problem == bea.post("/v1/tasks/other/cancel").problem == "no-such-task"
    assert bea("PUT", "/v1/tasks/new", BODY).problem == "not-permitted"
    assert bea.post("/v1/tasks/mine/pause").status == 200
    assert [each["by"] for each in ada.get("/v1/tasks/mine/history").lines] == ["ada", "bea@example.com"]


def test_a_token_has_its_times(ask: Http, issuer: Issuer) -> None:
    now = time.time()
    assert bearer(ask, issuer.token(exp=now - 20, nbf=now + 20)).get("/v1/me").status == 200  # clocks differ
    assert "has expired" in why_not(ask, issuer.token(exp=now - 40))
    assert "does not hold yet" in why_not(ask, issuer.token(nbf=now + 40))
    for wrong in (None, "soon", True, -1, 1e300, [now + 60]):
        assert "how long" in why_not(ask, issuer.token(exp=wrong))
    assert "how long" in why_not(ask, issuer.token(nbf="now"))


def test_a_token_that_was_accepted_ends(ask: Http, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.streams.HEARTBEAT_S", 0.05)
    ada, now = bearer(ask, issuer.token(exp=int(time.time()) + 300)), time.time()
    browser = Http(ask.port, {"Cookie": cookie_of(ada)})
    assert ada.get("/v1/me").status == browser.get("/v1/me").status == 200
    with ada.stream("/v1/events") as messages, browser.stream("/v1/events") as others:
        next(messages)
        next(others)
        monkeypatch.setattr("streamsched.http.oidc.time.time", lambda: now + 400)
        assert [*messages, *others] == []
    assert ada.get("/v1/me").status == browser.get("/v1/me").status == 401


def cookie_of(user: Http) -> str:
    return user.post("/v1/session").headers["Set-Cookie"].partition(";")[0]


def test_sessions_are_bounded(ask: Http, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.sign_in.MOST_OF_ALL", 2)
    cookies = [cookie_of(bearer(ask, issuer.token(sub=name))) for name in ("one", "two", "three")]
    assert [Http(ask.port, {"Cookie": each}).get("/v1/me").status for each in cookies] == [401, 200, 200]


def test_a_token_is_of_this_issuer_and_for_this_audience(ask: Http, issuer: Issuer) -> None:
    for wrong in (f"{issuer.url}/", "https://evil.example.com", None, [issuer.url]):
        assert "another issuer" in why_not(ask, issuer.token(iss=wrong))
    for other in ("other", ["other"], [], None, {CLIENT: 1}, [[CLIENT]]):
        assert "another audience" in why_not(ask, issuer.token(aud=other))
    assert "of the type" in why_not(ask, issuer.token(header={"typ": "logout+jwt"}))
    assert bearer(ask, issuer.token(header={"typ": "at+jwt"})).get("/v1/me").status == 200


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_a_forged_token_is_refused(ask: Http, issuer: Issuer) -> None:
    head, body, mark = issuer.token(sub="vera", groups=[]).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = b64(json.dumps({**claims, "sub": "ada", "groups": ["admins"]}).encode())
    assert "signature is wrong" in why_not(ask, f"{head}.{forged}.{mark}")
    assert "signature is wrong" in why_not(ask, f"{head}.{body}.{mark[:-4]}AAAA")
    assert "signature is wrong" in why_not(ask, f"{head}.{body}.")
    thief = RSAKey.generate_key(2048, {"kid": "first", "alg": "RS256"})
    assert "signature is wrong" in why_not(ask, issuer.token(thief))
    assert "signature is wrong" in why_not(ask, issuer.token(thief, {"jwk": public(thief)}))
    assert "signature is wrong" in why_not(ask, issuer.token(thief, {"jku": "http://127.0.0.1:1/keys"}))
    head = b64(json.dumps({"alg": "RS256", "kid": "first", "crit": ["must"], "must": 1}).encode())
    own: Any = issuer.key.private_key
    sure = own.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    assert "signature is wrong" in why_not(ask, f"{head}.{body}.{b64(sure)}")  # what it demands is not known here


def test_only_algorithms_for_public_keys_are_accepted(ask: Http, issuer: Issuer) -> None:
    body = issuer.token().split(".")[1]
    for name in ("none", "None", "NONE", "nOnE"):
        none = b64(json.dumps({"alg": name, "kid": "first"}).encode())
        for mark in ("", "AAAA", issuer.token().split(".")[2]):
            assert "not accepted" in why_not(ask, f"{none}.{body}.{mark}")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    for secret in (issuer.key.as_pem(private=False), json.dumps(public(issuer.key)), public(issuer.key)["n"]):
        as_password = OctKey.import_key(
            base64.urlsafe_b64encode(bytes(secret, "utf-8") if isinstance(secret, str) else secret)
        )
        for name in ("HS256", "HS512"):
            token = sign(as_password, claims, {"alg": name, "kid": "first"})
            assert "not accepted" in why_not(ask, token)
    unmarked = RSAKey.import_key({**issuer.key.as_dict(private=True), "alg": "RS512"})
    assert "does not have" in why_not(ask, issuer.token(unmarked))  # the key is for RS256


@pytest.mark.parametrize("token", [
    "x", "a.b.c", "..", "....", "a" * 60_000, "e30.e30.", "eyJhbGciOiJSUzI1NiJ9.e30.", "W10.e30.AA", "\xff.\xff.\xff",
    "eyJhbGciOjF9.e30.AA", "." * 60, "bnVsbA.bnVsbA.bnVsbA",
])  # fmt: skip
def test_what_is_no_token_is_refused(ask: Http, token: str) -> None:
    assert "not accepted" in why_not(ask, token)


def test_claims_that_are_none_are_refused(ask: Http, issuer: Issuer) -> None:
    for wrong in ("", " ", "ada ", " ada", "a\nb", "ada\u202e", 7, None, ["ada"], "a" * 101):
        assert "is no name of" in why_not(ask, issuer.token(sub=wrong))
    for groups in ([7], [["admins"]], ["a\x00"], {"admins": 1}, list(map(str, range(1_001)))):
        assert "the groups are no list" in why_not(ask, issuer.token(groups=groups))
    for payload in ("[]", '"x"', "x", "[" * 5_000):
        token = sign_text(issuer.key, payload)
        assert "no claims" in why_not(ask, token)


def test_a_token_that_is_too_long_is_refused(ask: Http, issuer: Issuer) -> None:
    assert "it is no JWT" in why_not(ask, issuer.token(more="a" * 30_000))
    assert bearer(ask, issuer.token(more="a" * 20_000)).get("/v1/me").status == 200


def test_the_tokens_that_are_kept_are_bounded(tmp_path: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.oidc.MOST_SEEN", 2)
    access = Oidc(oidc_file(tmp_path, issuer.url))
    with serving(tmp_path / "log", access) as ask:
        for name in ("one", "two", "three", "one"):
            assert bearer(ask, issuer.token(sub=name)).get("/v1/me").json["name"] == name
    assert len(access._seen) == 2


def sign_text(key: Any, payload: str) -> str:
    from joserfc import jws

    return jws.serialize_compact({"alg": "RS256", "kid": "first"}, payload, key, ["RS256"])


def test_claims_may_be_elsewhere(tmp_path: Path) -> None:
    changed = {"groups_claim": "realm_access.roles", "name_claim": "email", "algorithms": ["ES256", "RS256"]}
    with issuing() as issuer, serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url, **changed))) as ask:
        issuer.user = {"sub": "1", "email": "ada@example.com", "realm_access": {"roles": ["admins"]}}
        assert bearer(ask, issuer.token()).get("/v1/me").json["name"] == "ada@example.com"
        assert bearer(ask, issuer.token(email_verified=True)).get("/v1/me").status == 200
        assert "not verified" in why_not(ask, issuer.token(email_verified=False))
        assert bearer(ask, issuer.token(realm_access="admins")).get("/v1/me").status == 403
        key = RSAKey.generate_key(2048, {"kid": "ps", "alg": "PS256"})
        assert "not accepted" in why_not(ask, issuer.token(key))


def test_a_key_without_a_name_does_where_it_is_the_only_one(tmp_path: Path) -> None:
    with issuing() as issuer, serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url))) as ask:
        token = issuer.token(header={"kid": None})
        assert bearer(ask, token).get("/v1/me").status == 200
    with issuing() as issuer, serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url))) as ask:
        issuer.keys.append(public(RSAKey.generate_key(2048, {"kid": "other"})))
        assert "does not name its key" in why_not(ask, issuer.token(header={"kid": None}))


GOOD: dict[str, Any] = {"client_id": CLIENT, "url": "https://jobs.example.com"}
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"issuer": "http://id.example.com"}, "issuer: .*is not https"),
    ({"issuer": "id.example.com"}, "issuer: .*no address"),
    ({"issuer": "https://id.example.com?x=1"}, "issuer: .*has a query"), ({"issuer": 7}, "issuer: does not fit"),
    ({"issuer": "https://u:p@id.example.com"}, "issuer: .*no address"), ({"audience": None}, "audience: is missing"),
    ({"audience": []}, "audience: is missing"), ({"audience": [""]}, "audience: is missing"),
    ({"client_id": "a b"}, "client_id: is no name"), ({"url": "https://jobs.example.com"}, "client_id: is missing"),
    ({**GOOD, "url": "http://jobs.example.com"}, "url: .*no https address"),
    ({**GOOD, "url": "https://jobs.example.com/a"}, "url: .*without a path"),
    ({**GOOD, "client_secret_file": "none.txt"}, "client_secret_file .*cannot be read"),
    ({"client_id": CLIENT, "client_secret_file": "a"}, "url: is missing"), ({"scopes": ["profile"]}, "scopes: "),
    ({"scopes": ["openid", "a b"]}, "scopes: "), ({"algorithms": []}, "algorithms: there is none"),
    ({"algorithms": ["RS256", "HS256"]}, r"algorithms\[1\]: 'HS256' is not accepted"),
    ({"algorithms": ["none"]}, r"algorithms\[0\]: 'none' is not accepted"), ({"name_claim": ""}, "name_claim: is not"),
    ({"leeway": "1h"}, "leeway: '1h' is not a duration of 0s to 5m"),
    ({"session": "8"}, "session: '8' is not a duration"),
    ({"session": "30d"}, "session: .*1m to 1d"), ({"ca_file": "none.pem"}, "ca_file: none.pem cannot be read"),
    ({"ca_file": "oidc.json"}, "ca_file: oidc.json cannot be read"), ({"groups_claim": None}, "without groups_claim"),
    ({"roles": []}, "roles: there is no role"), ({"role": "admin"}, "role: is not a field here; did you mean roles?"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "told"), MISTAKES)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"oidc.json.*{told}"):
        Oidc(oidc_file(tmp_path, "https://id.example.com", **changed))
