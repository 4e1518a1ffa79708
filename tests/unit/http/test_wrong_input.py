"""What clients do wrong: each time a problem document or a closed connection, and the next request is answered."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest

from streamsched.http import bodies, protocol
from tests.support.http_server import BODY, COUNT, LIMIT, Http, serving


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    with serving(tmp_path_factory.mktemp("wrong") / "log") as found:
        yield found


def raw(ask: Http, *parts: bytes) -> bytes:
    """Send bytes as they are, and return all that comes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", ask.port), LIMIT) as connection:
        connection.settimeout(LIMIT)
        for part in parts:
            connection.sendall(part)
        found = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                found += part
        return found


DEEP = b'{"template":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BODIES: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"name: count", 400, "bad-request"),
    "half": (b'{"template": {', 400, "bad-request"),
    "no text": (b'{"template": {"name": "\xff"}}', 400, "bad-request"),
    "a list": (b"[]", 422, "wrong-content"),
    "null": (b"null", 422, "wrong-content"),
    "nothing": (b"{}", 422, "wrong-content"),
    "an unknown field": (b'{"template": {}, "colour": 1}', 422, "wrong-content"),
    "a wrong type": (b'{"template": {}, "priority": "high"}', 422, "wrong-content"),
    "too deep": (DEEP, 422, "wrong-content"),
    "deep": (b'{"template": {"name": ' + b"[" * 300 + b"]" * 300 + b"}}", 422, "input-error"),
    "a large number": (b'{"template": {}, "priority": 99999999999999999999}', 422, "input-error"),
    "an empty template": (b'{"template": {}}', 422, "input-error"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_that_is_not_as_it_should_be(ask: Http, kind: str) -> None:
    body, status, name = BODIES[kind]
    found = ask.post("/v1/tasks", body)
    assert (found.status, found.problem) == (status, name)
    assert ask.get("/livez").status == 200


def test_an_unknown_field_is_named_by_a_pointer(ask: Http) -> None:
    assert ask.post("/v1/tasks", {**BODY, "colour": 1}).json["errors"][0]["pointer"] == "/colour"
    wrong = ask.post("/v1/tasks", {"template": COUNT, "labels": {"a": 1}})
    assert wrong.json["errors"][0]["pointer"].startswith("/labels")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_type(ask: Http, kind: str) -> None:
    found = ask.post("/v1/tasks", BODY, Content_Type=kind)
    assert (found.status, found.problem) == (415, "wrong-media-type")


def test_a_body_that_is_too_large_is_not_read(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    found = ask.post("/v1/tasks", b" " * 1001)
    assert (found.status, found.problem) == (413, "too-large")
    head = b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    assert b" 413 " in raw(ask, head + b"Transfer-Encoding: chunked\r\n\r\n", chunk)
    assert b" 413 " in raw(ask, head + b"Content-Length: 99999999999\r\n\r\n")


def test_a_body_that_is_too_slow(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SLOWEST_S", 0.1)
    head = b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    assert b" 408 " in raw(ask, head, b"{")


def test_a_head_that_does_not_come_is_cut_off(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.1)
    assert raw(ask) == b""
    assert raw(ask, b"GET /livez HTTP/1.1\r\nHost: loc") == b""
    with socket.create_connection(("127.0.0.1", ask.port), LIMIT) as connection:
        connection.settimeout(LIMIT)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in connection.recv(65536)
        connection.sendall(b"GET /liv")
        with suppress(ConnectionResetError):
            while connection.recv(65536):
                pass


def test_a_reader_that_does_not_read_is_cut_off(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "UNREAD_S", 0.1)
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(LIMIT)
        connection.connect(("127.0.0.1", ask.port))
        assert _is_cut_off(connection, request * 10)
    assert ask.get("/livez").status == 200


def _is_cut_off(connection: socket.socket, requests: bytes) -> bool:
    for _ in range(100_000):
        try:
            connection.sendall(requests)
        except (ConnectionResetError, BrokenPipeError):
            return True
    return False


NO_REQUESTS = [
    b"HELLO\r\n\r\n",
    b"GET /v1/tasks\r\n\r\n",
    b"GET /v1/tasks HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\0" * 70_000,
]


@pytest.mark.parametrize("number", range(len(NO_REQUESTS)))
def test_what_is_no_request_is_told_or_cut_off(ask: Http, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    found = raw(ask, NO_REQUESTS[number])
    assert found == b"" or (found.split()[1][:1] == b"4" and b"application/problem+json" in found), found
    assert ask.get("/livez").status == 200


def test_addresses_and_methods_that_are_none(ask: Http) -> None:
    for path in ("/v1", "/v1/", "/v1/tasks/", "/v1/tasks/a/b/c", "/v2/tasks", "/assets/none.js", "/%2e%2e/etc/passwd"):
        assert ask.get(path).problem == "no-such-page"
    found = ask("DELETE", "/v1/tasks/a")
    assert (found.status, found.problem) == (405, "no-such-method")
    assert "GET" in found.headers["Allow"]
    assert ask("BREW", "/v1/tasks").problem == "no-such-method"
    assert ask.post("/v1/tasks/a/children").problem == "no-such-method"


PARAMETERS = [
    "/v1/tasks?limit=0", "/v1/tasks?limit=1001", "/v1/tasks?limit=many", "/v1/tasks?limit=1&limit=2",
    "/v1/tasks?colour=red", "/v1/tasks?state=blue", "/v1/tasks?since=soon", "/v1/tasks?label=x",
    "/v1/tasks?label=a=1&label=a=2", "/v1/tasks?template=" + "x" * 3000, "/v1/scaling?target=0",
    "/v1/schedules?all=perhaps", "/v1/dead-letters?topic=none", "/v1/dead-letters?since=9999999-01-01",
    "/v1/events?after=x", "/v1/tasks?at_least=" + "1:1," * 2000, "/livez?x=1", "/v1/tasks?since=0001-01-01T00:00:00",
]  # fmt: skip


@pytest.mark.parametrize("path", PARAMETERS)
def test_parameters_that_are_not_as_they_should_be(ask: Http, path: str) -> None:
    found = ask.get(path)
    if path.endswith("T00:00:00"):
        assert found.status in (200, 422)
    else:
        assert (found.status, found.problem in ("wrong-content", "input-error")) == (422, True)


LONG = {
    "/v1/tasks?template=": 2_000, "/v1/tasks?cursor=": 2_000, "/v1/tasks?since=": 40, "/v1/tasks/a/why?child=": 200,
    "/v1/tasks/a/children?where=": 32_000, "/v1/tasks?at_least=": 4_000, "/v1/tasks?label=a=&label=": 2_000,
}  # fmt: skip


@pytest.mark.parametrize("path", LONG)
def test_a_parameter_that_is_too_long_is_refused(ask: Http, path: str) -> None:
    assert ask.get(f"{path}{'1' * (LONG[path] + 1)}").problem == "wrong-content"


def test_texts_of_bodies_positions_in_headers_and_lists_are_bounded_too(ask: Http) -> None:
    assert ask.get("/v1/tasks?" + "&".join(f"label=n{number}=1" for number in range(21))).problem == "wrong-content"
    assert ask.post("/v1/tasks/a/pause", {"reason": "x" * 2_001}).problem == "wrong-content"
    assert ask.post("/v1/schedules/a/pause", {"note": "x" * 2_001}).problem == "wrong-content"
    position = ",".join(["1:1"] * 1_001)
    assert "is not a position" in ask.get("/v1/events", Last_Event_ID=position).json["detail"]
    assert "is not a position" in ask("PATCH", "/v1/tasks/a", {}, If_Match=position).json["detail"]


HOSTILE = ["<script>alert(1)</script>", "\x1b[31mred", "\u202eevil", "'; drop table", "%00", "a" * 500]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_come_back_as_text_that_nothing_obeys(ask: Http, name: str) -> None:
    found = ask.get(f"/v1/tasks/{quote(name, safe='')}")
    assert found.problem in ("no-such-task", "no-such-page")
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert "\x1b" not in found.json["detail"]
    assert "\u202e" not in found.json["detail"]


def test_an_unexpected_failure_tells_no_secrets(ask: Http, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr("streamsched.http.reports.durations_of", fail)
    ask("PUT", "/v1/tasks/a", BODY)
    found = ask.get("/v1/tasks/a/durations")
    assert (found.status, found.problem) == (500, "unexpected")
    assert "secret" not in found.data.decode()
    assert "unexpected KeyError" in caplog.text
