"""Every address with every parameter, header and field as nobody means it: an answer each time, and never 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest

from streamsched.http.call import SSE, Route
from streamsched.http.table import ROUTES
from tests.support.http_server import BODY, Http, serving

pytestmark = pytest.mark.slow

TEXTS = ["", "x", "-1", "0", "1e9", "99999999999999999999", "\0", "é\u202e", "a=b", "3:1", "true", "'\"", "a" * 3_000]
VALUES: list[Any] = [None, True, -1, 1.5, 1 << 70, "", "x", "\0", "\ud800", [], [[]], {}, {"": {}}, "a" * 3_000]
NAMES = {route.path + " " + route.method: route for route in ROUTES}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    with serving(tmp_path_factory.mktemp("fuzz") / "log") as found:
        found("PUT", "/v1/tasks/a", BODY)
        found("PUT", "/v1/schedules/a", {"schedule": {"interval": "1h", "template": BODY["template"]}})
        yield found


def filled(route: Route, name: str = "a") -> str:
    """Return the address with something in the place of its names."""
    return route.path.replace("{id}", quote(name, safe="")).replace("{child}", quote(name, safe="")).replace(
        "{number}", quote(name, safe="")
    ).replace("{name}", quote(name, safe=""))  # fmt: skip


def fields(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


@pytest.mark.parametrize("name", NAMES)
def test_no_request_makes_the_server_fail(ask: Http, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.http.desk.PATIENCE_S", 0.01)
    route, paths, bodies = NAMES[name], [], [b""]
    paths += [filled(route, text) for text in TEXTS]
    if route.media_type != SSE:  # a stream that begins does not end
        paths += [
            f"{filled(route)}?{urlencode({each: text})}"
            for each in fields(route.query)
            for text in TEXTS
            if (each, text) != ("follow", "true")
        ]  # nor does one that follows
    if route.body is not None:
        known = BODY if "template" in fields(route.body) else {}
        bodies += [json.dumps({**known, each: value}).encode() for each in fields(route.body) for value in VALUES]
        bodies += [json.dumps(value).encode() for value in VALUES]
    for path in paths if route.media_type != SSE else [each for each in paths if each != filled(route)]:
        found = ask("HEAD" if route.media_type == SSE else route.method, path)
        assert found.status not in (500, 501), (path, found.data)
    for body in bodies if route.media_type != SSE else []:
        found = ask(route.method, filled(route), body)
        assert found.status not in (500, 501), (body[:200], found.data)
    headers = ("If-Match", "If-None-Match", "Prefer", "Last-Event-ID", "Idempotency-Key", "Accept-Encoding", "Cookie",
               "Authorization", "Content-Type", "X-Forwarded-For", "X-Forwarded-Proto")  # fmt: skip
    for header in headers:
        for text in ("", "x", "*", '"', "1:2", "wait=0", ";;,,", "gzip;q=x", "\xff" * 50):
            given = {header.replace("-", "_"): text}
            found = ask("HEAD" if route.media_type == SSE else route.method, filled(route), **given)
            assert found.status not in (500, 501), (header, text, found.data)
    assert ask.get("/livez").status == 200
