"""The small server beside a node: it answers, and whoever asks costs little, whatever they do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection

import pytest

from streamsched.domain.errors import InputError
from streamsched.hosting import http
from streamsched.hosting.http import Answer, Server, said

LIMIT = 20.0


def broken() -> Answer:
    raise RuntimeError("a secret")


@pytest.fixture
def server() -> Iterator[Server]:
    opened = Server("127.0.0.1", 0, {"/hello": lambda: said("hello"), "/broken": broken})
    opened.start()
    yield opened
    opened.close()


def ask(server: Server, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=LIMIT)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_port), timeout=LIMIT)


def rest(connection: socket.socket) -> bytes:
    """Read until the other end closes."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionError:
        pass
    return found


def test_it_answers_what_it_has(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    assert ask(server, "/hello") == (200, b"hello\n")
    assert ask(server, "/hello?x=1") == (200, b"hello\n")
    assert ask(server, "/hello", "HEAD") == (200, b"")
    assert ask(server, "/../etc") == (404, b"there are /hello, /broken\n")
    assert ask(server, "/hello", "POST", b"x")[0] == HTTPStatus.NOT_IMPLEMENTED
    status, body = ask(server, "/broken")
    assert (status, b"secret" in body) == (500, False)
    assert "/broken cannot be answered" in caplog.messages


def test_a_request_that_is_too_large_is_refused(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /hello HTTP/1.0\r\n" + b"X-Y: " + b"z" * 1000 + b"\r\n")
        for _ in range(30):
            try:
                connection.sendall(b"X-Y: " + b"z" * 1000 + b"\r\n")
            except OSError:
                break
        assert b" 200 " not in rest(connection)
    with connected(server) as connection:
        connection.sendall(b"GET /" + b"a" * 20_000)
        assert b" 200 " not in rest(connection)
    assert ask(server, "/hello")[0] == 200


def test_who_says_nothing_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE_S", 0.1)
    with connected(server) as silent, connected(server) as slow:
        slow.sendall(b"GET /hello HTTP/1.0\r\nX: ")
        assert rest(silent) == b""
        assert b" 200 " not in rest(slow)
    assert ask(server, "/hello")[0] == 200


def test_more_connections_than_there_is_room_for_are_closed(server: Server) -> None:
    held = [connected(server) for _ in range(http.CONNECTIONS)]
    try:
        for connection in held:
            connection.sendall(b"GET /hello HTTP/1.0\r\n")  # not whole yet
        with connected(server) as one_more:
            assert rest(one_more) == b""
        held[0].sendall(b"\r\n")
        assert b" 200 " in rest(held[0])
    finally:
        for connection in held:
            connection.close()


def test_a_port_that_is_taken_or_an_address_that_is_none_is_wrong_input(server: Server) -> None:
    for host, port in (("127.0.0.1", server.server_port), ("no.such.host.invalid", 0), ("203.0.113.1", 0)):
        with pytest.raises(InputError, match=r"cannot listen on .*--http-port or --http-host"):
            Server(host, port, {})
