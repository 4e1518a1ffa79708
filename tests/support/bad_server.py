"""A server that answers what a test says, byte by byte, and keeps what it was sent."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

LIMIT = 30.0
STUCK_S = 3.0
"""After which it does not wait to get rid of more: its client may have left without that it is told."""
Talk = Callable[[socket.socket, int], object]
"""Answer one request, by its number; the connection is closed behind it unless it returns True."""


class BadServer(NamedTuple):
    """Where it listens, and the heads of the requests that it was sent."""

    port: int
    heads: list[str]


def answer(data: bytes = b"", *, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """Write an answer with its length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{more}\r\n"
    return head.encode() + data


@contextmanager
def badly_serving(talk: Talk | bytes, context: ssl.SSLContext | None = None) -> Iterator[BadServer]:
    """Listen on loopback until it is left; every connection is served in its turn."""
    listening = socket.create_server(("127.0.0.1", 0))
    heads: list[str] = []
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with suppress(OSError):
                accepted, _ = listening.accept()
                accepted.settimeout(STUCK_S)
                with accepted if context is None else context.wrap_socket(accepted, server_side=True) as connection:
                    _talk(connection, talk, heads)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield BadServer(listening.getsockname()[1], heads)
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(LIMIT)
    assert not thread.is_alive()


def _talk(connection: socket.socket, talk: Talk | bytes, heads: list[str]) -> None:
    goes_on: object = True
    while goes_on:
        head = _head(connection)
        if not head:
            return
        heads.append(head)
        goes_on = None
        if isinstance(talk, bytes):
            connection.sendall(talk)
        else:
            goes_on = talk(connection, len(heads))


def _head(connection: socket.socket) -> str:
    """Read a request, with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        if not part:
            return ""
        data += part
        if data.startswith(b"\x16"):
            return "a greeting of TLS"
    head, _, body = data.partition(b"\r\n\r\n")
    wanted = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < wanted:
        body += connection.recv(65_536)
    return (head + b"\r\n\r\n" + body).decode()
