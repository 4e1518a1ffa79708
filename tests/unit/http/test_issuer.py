"""The issuer of tokens: its keys change, and it may be away, answer as it must not, or not be the one that is meant."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from streamsched.domain.errors import InputError
from streamsched.http.oidc import Oidc
from tests.support.access import bearer, oidc_file
from tests.support.http_server import serving
from tests.support.issuer import certificate, issuing, public
from tests.unit.http.test_oidc import b64, why_not


def test_keys_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing() as issuer, serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url))) as ask:
        first = bearer(ask, issuer.token())
        assert first.get("/v1/me").status == 200
        old, issuer.key = issuer.key, ECKey.generate_key("P-256", {"kid": "second", "alg": "ES256"})
        assert "the issuer does not have" in why_not(ask, issuer.token())
        asked = issuer.asked.count("/keys")
        for _ in range(20):
            why_not(ask, issuer.token())
        assert issuer.asked.count("/keys") == asked == 1  # it is not asked for each
        monkeypatch.setattr("streamsched.http.issuer.AGAIN_S", 0.0)
        issuer.keys.append(public(issuer.key))
        second = bearer(ask, issuer.token())
        assert second.get("/v1/me").status == first.get("/v1/me").status == 200
        issuer.keys = [public(issuer.key)]
        monkeypatch.setattr("streamsched.http.issuer.FRESH_S", 0.0)
        for _ in range(600):  # the keys are asked for beside
            if first.get("/v1/me").status != 200:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("a key that was taken away still does")
        assert "the issuer does not have" in why_not(ask, issuer.token(old))
        assert second.get("/v1/me").status == 200


def test_so_many_keys_are_taken_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.issuer.MOST_KEYS", 1)
    with issuing() as issuer, serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url))) as ask:
        issuer.keys.insert(0, public(RSAKey.generate_key(2048, {"kid": "other"})))
        assert "the issuer does not have" in why_not(ask, issuer.token())


def test_an_issuer_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.issuer.AGAIN_S", 0.0)
    with issuing() as issuer, serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url))) as ask:
        issuer.answers["/keys"] = 500, b"<html>"
        ada = bearer(ask, issuer.token())
        found = ada.get("/v1/me")
        assert (found.status, found.problem, found.headers["Retry-After"]) == (503, "issuer-away", "5")
        assert ask.get("/v1/tasks").status == 401
        assert ask.get("/livez").status == ask.get("/readyz").status == 200
        del issuer.answers["/keys"]
        assert ada.get("/v1/me").status == 200
        issuer.answers["/.well-known/openid-configuration"] = 503, b""
        monkeypatch.setattr("streamsched.http.issuer.FRESH_S", 0.0)
        for _ in range(5):
            assert ada.get("/v1/me").status == bearer(ask, issuer.token(sub="bob")).get("/v1/me").status == 200
        monkeypatch.setattr("streamsched.http.issuer.LAST_S", 0.0)
        assert ada.get("/v1/me").problem == "issuer-away"


KEYS = "/keys"
ABOUT = "/.well-known/openid-configuration"
ADDRESSES = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
POINT = {"crv": "P-256", "x": "AAAA", "y": "AAAA"}
WRONG_KEYS: list[dict[str, Any]] = [
    {}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", **POINT},
    {"kty": "EC"}, {"kty": ["EC"]}, {"kty": "RSA", "n": "A" * 400}, {"kty": "RSA", "n": "A" * 400, "e": "é"},
    {"kty": "RSA", "n": 7, "e": "AQAB"}, {"kty": "RSA", "use": "enc", "n": "A" * 400, "e": "AQAB"},
    *({"kty": "RSA", "n": b64((1 << bits - 1 | 1).to_bytes(bits // 8, "big")), "e": "AQAB"} for bits in (2_040, 8_200)),
]  # fmt: skip
ANSWERS: dict[str, tuple[str, bytes, str]] = {
    "huge": (KEYS, b'{"keys": [' + b" " * 300_000 + b"]}", "more than"),
    "no JSON": (KEYS, b"<html>", "cannot be read"),
    "nested": (KEYS, b'{"keys": ' + b"[" * 100_000, "cannot be read"),
    "no keys": (KEYS, b'{"keys": []}', "no public key"),
    "wrong keys": (KEYS, json.dumps({"keys": WRONG_KEYS}).encode(), "no public key"),
    "many keys": (KEYS, b'{"keys": [' + b",".join([b"{}"] * 80_000) + b"]}", "no public key"),
    "no addresses": (ABOUT, b"{}", "cannot be read"),
    "another issuer": (ABOUT, json.dumps(dict.fromkeys(ADDRESSES, "https://x")).encode(), "names itself"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_an_issuer_that_answers_as_it_must_not(tmp_path: Path, name: str) -> None:
    path, body, told = ANSWERS[name]
    with issuing() as issuer, serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url))) as ask:
        issuer.answers[path] = 200, body
        found = bearer(ask, issuer.token()).get("/v1/me")
        assert (found.status, found.problem) == (503, "issuer-away")
        assert told in found.json["detail"]


@pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint", "authorization_endpoint"])
@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/keys", "ftp://127.0.0.1/", "javascript:alert(1)", "https://a b/", ""]
)
def test_an_issuer_that_sends_elsewhere_is_not_followed(tmp_path: Path, url: str, name: str) -> None:
    with issuing() as issuer:
        issuer.told[name] = url
        assert "its address" in asyncio.run(Oidc(oidc_file(tmp_path, issuer.url)).check())
        assert issuer.asked == [ABOUT]


def test_a_redirect_of_an_issuer_is_not_followed(tmp_path: Path) -> None:
    with issuing() as issuer, serving(tmp_path / "log", Oidc(oidc_file(tmp_path, issuer.url))) as ask:
        issuer.answers[KEYS], issuer.location = (302, b""), f"{issuer.url}/others"
        assert "answers 302" in bearer(ask, issuer.token()).get("/v1/me").json["detail"]
        assert issuer.asked == [ABOUT, KEYS]


def test_an_issuer_that_does_not_end_its_answer_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.fetching.SLOWEST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with serving(tmp_path / "log", Oidc(oidc_file(tmp_path, url))) as ask:
            assert "within 0.2 s" in bearer(ask, "e30.e30.e30").get("/v1/me").json["detail"]


def test_an_issuer_has_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    with issuing(certificate(tmp_path)) as issuer:
        assert "certificate is not trusted" in asyncio.run(Oidc(oidc_file(tmp_path, issuer.url)).check())
        access = Oidc(oidc_file(tmp_path, issuer.url, ca_file="ca.pem"))
        with serving(tmp_path / "log", access) as ask:
            assert bearer(ask, issuer.token()).get("/v1/me").json["name"] == "ada"
        (tmp_path / "other").mkdir()
        certificate(tmp_path / "other")
        other = Oidc(oidc_file(tmp_path, issuer.url, ca_file="other/ca.pem"))
        assert "certificate is not trusted" in asyncio.run(other.check())


def test_at_the_start_an_issuer_may_be_away_and_not_another(tmp_path: Path) -> None:
    assert "refused" in asyncio.run(Oidc(oidc_file(tmp_path, "http://127.0.0.1:1")).check()).lower()
    with issuing() as issuer:
        assert asyncio.run(Oidc(oidc_file(tmp_path, issuer.url)).check()) == ""
        with pytest.raises(InputError, match=f"oidc.json.*issuer: it names itself '{issuer.url}'"):
            asyncio.run(Oidc(oidc_file(tmp_path, f"{issuer.url}/")).check())
