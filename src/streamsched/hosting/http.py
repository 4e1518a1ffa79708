"""A small HTTP server beside a node's loop, for probes and metrics: GET and HEAD, one answer a connection.

Whoever asks costs little, whatever they do: so many connections at once, so many bytes of a request, so many seconds
for all of it. What is beyond is closed.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO, Final, NamedTuple

from streamsched.domain.errors import InputError

CONNECTIONS: Final = 16
"""At once; one more is closed without an answer."""
REQUEST_BYTES: Final = 16 * 1024
PATIENCE_S: Final = 5.0
"""From the connection to the end of the answer."""
LOOK_S: Final = 0.25
TEXT: Final = "text/plain; charset=utf-8"

logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What a path answers."""

    status: HTTPStatus
    body: bytes
    kind: str = TEXT


Routes = Mapping[str, Callable[[], Answer]]


def said(text: str, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return an answer of one line."""
    return Answer(status, f"{text}\n".encode(errors="backslashreplace"))


class _Limited:
    """A request's stream, which ends after so many bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.left = REQUEST_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(self.left if limit < 0 else min(limit, self.left))
        self.left -= len(line)
        return line

    def close(self) -> None:
        self._stream.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    server_version = "streamsched"
    sys_version = ""
    timeout = PATIENCE_S

    def setup(self) -> None:
        super().setup()
        self._limited = _Limited(self.rfile)  # type: ignore[arg-type] # a buffered reader
        self.rfile = self._limited  # type: ignore[assignment] # what is used of it

    def do_GET(self) -> None:
        """Answer."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if not self._limited.left:
            answer = said("the request is too large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            answer = self.server.answer(self.path.partition("?")[0])
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: probes come every few seconds."""


class Server(ThreadingHTTPServer):
    """Serves these paths until it is closed, in threads of its own."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(self, host: str, port: int, routes: Routes) -> None:
        """Take the port; 0 is any that is free. Raise InputError where that cannot be."""
        self._routes = routes
        self._open: dict[socket.socket, float] = {}
        """Connections, and until when each may take."""
        self._lock = threading.Lock()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family = found[0][0]
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"cannot listen on {host} port {port}: {reason}",
                "choose another --http-port or --http-host, or leave them out",
            ) from error
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    def server_bind(self) -> None:
        """Bind, without asking for the name of this machine."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def where(self) -> str:
        """The address, as people write it."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}"

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving; who is connected is cut off."""
        if self._thread.is_alive():
            self.shutdown()
        self.server_close()
        self._cut(float("inf"))

    def answer(self, path: str) -> Answer:
        """Return what a path answers now; an error is logged, and is no one's business but ours."""
        route = self._routes.get(path)
        if route is None:
            return said(f"there are {', '.join(self._routes)}", HTTPStatus.NOT_FOUND)
        try:
            return route()
        except Exception:
            logger.exception("%s cannot be answered", path)
            return said("it failed; the log of this node says why", HTTPStatus.INTERNAL_SERVER_ERROR)

    # --- what socketserver calls ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        self.serve_forever(LOOK_S)

    def service_actions(self) -> None:
        """Cut off those that take too long, whatever they do meanwhile."""
        self._cut(time.monotonic())

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether there is room for one more."""
        with self._lock:
            if len(self._open) >= CONNECTIONS:
                return False
            self._open[request] = time.monotonic() + PATIENCE_S
        return True

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection, and close it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the other end is gone, or was cut off."""

    def _cut(self, now: float) -> None:
        with self._lock:
            late = [connection for connection, until in self._open.items() if until <= now]
        for connection in late:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
