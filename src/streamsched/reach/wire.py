"""HTTP to one server: bounded in bytes and time. The token is sent to no other address."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from streamsched.reach.problems import WAIT, ServerUnreachable, WrongServer, error_of, problem_of
from streamsched.version import __version__

SILENT_S: Final = 60.0
"""How long the server may send nothing: on an embedded log a command may wait half a minute for its turn."""
WHOLE_S: Final = 180.0
"""How long a document, or the head of a long answer, may take in all."""
DOCUMENT_BYTES: Final = 64 * 1024 * 1024
"""Limit of a document, and of a line of a long answer: pages of a server are much smaller."""
PATIENCE_S: Final = 10.0
"""How long a request is repeated while the server reads the journal, or is behind."""
AGAIN_S: Final = 0.5
POSITION: Final = "Streamsched-Position"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_READ_BYTES: Final = 64 * 1024
Query = Iterable[tuple[str, object]]
logger = logging.getLogger(__name__)


class Reply(NamedTuple):
    """An answer, whole."""

    status: int
    etag: str
    data: bytes


class Wire:
    """Requests to one server, one after the other. A read sees what this client wrote before."""

    def __init__(self, server: str, token: str) -> None:
        parts = urlsplit(server)
        self.server = server
        self._host, self._port, self._base = parts.hostname or "", parts.port, parts.path
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._headers = {"User-Agent": f"streamsched/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
            if self._context is None and self._host not in _LOOPBACK:
                logger.warning("the token goes to %s without encryption: give its https:// address", server)
        self._kept: http.client.HTTPConnection | None = None
        self._written: dict[str, int] = {}

    def close(self) -> None:
        """Close the connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: str | None = None,
        headers: Mapping[str, str] = {},
        fresh: bool = True,
    ) -> Reply:
        """Send a request; returns a success, or 304. ``fresh``: the server first reads up to what this client wrote.

        Raise the error of a problem document, ServerUnreachable, WrongServer.
        """
        target = self._target(path, query, fresh=fresh and method == "GET")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, answered, data = self._exchange(method, target, body, headers)
            media_type = answered.get_content_type()
            if status == 304 or (200 <= status < 300 and media_type == JSON):
                self._note(method, answered.get(POSITION, ""))
                return Reply(status, answered.get("ETag", ""), data)
            error = self._error(status, answered, data)
            problem = problem_of(media_type, data)
            passes = method in ("GET", "PUT") and problem is not None and problem.code in WAIT
            if not passes or time.monotonic() >= deadline:
                raise error
            time.sleep(AGAIN_S)

    def lines(self, path: str, query: Query = (), *, fresh: bool = True) -> Iterator[bytes]:
        """Send a request for a long answer and yield its lines. It raises what ``ask`` does."""
        connection = self._opened()
        try:
            with self._told("GET"):
                with _bounded(connection):
                    connection.request("GET", self._target(path, query, fresh=fresh), headers=self._headers)
                    response = connection.getresponse()
                    told = response.headers.get_content_type()
                    if response.status != 200 or told != NDJSON:
                        raise self._error(response.status, response.headers, _whole(response))
                rest = b""
                while part := response.read1(_READ_BYTES):
                    *lines, rest = (rest + part).split(b"\n")
                    yield from lines
                    if len(rest) > DOCUMENT_BYTES:
                        raise _TooLong
                if rest:
                    yield rest
        finally:
            connection.close()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _target(self, path: str, query: Query, *, fresh: bool) -> str:
        pairs = [(name, str(value)) for name, value in query if value is not None]
        if fresh and self._written:
            pairs.append(("at_least", ",".join(f"{part}:{offset}" for part, offset in self._written.items())))
        return self._base + path + (f"?{urlencode(pairs, errors='replace')}" if pairs else "")

    def _note(self, method: str, position: str) -> None:
        """Remember the position of a write."""
        for each in position.split(",") if method != "GET" else ():
            partition, _, offset = each.strip().partition(":")
            if partition.isdecimal() and offset.isdecimal() and len(each) < 25:
                self._written[partition] = max(int(offset), self._written.get(partition, 0))

    def _exchange(
        self, method: str, target: str, body: str | None, headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send a request; once more, over a new connection, where the server had closed the one that was kept."""
        sent = {**self._headers, **headers, **({} if body is None else {"Content-Type": JSON})}
        repeatable = method in ("GET", "PUT")
        if not repeatable:
            self.close()
        kept = self._kept
        try:
            with self._told(method):
                try:
                    return self._once(kept or self._opened(), method, target, body, sent)
                except ConnectionError:
                    if kept is None:
                        raise
                    return self._once(self._opened(), method, target, body, sent)
        except BaseException:
            self.close()
            raise

    def _once(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: str | None, sent: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        self._kept = connection
        with _bounded(connection):
            connection.request(method, target, None if body is None else body.encode(), sent)
            response = connection.getresponse()
            data = _whole(response)
        if response.will_close:
            self.close()
        return response.status, response.headers, data

    def _opened(self) -> http.client.HTTPConnection:
        self.close()
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=SILENT_S)
        return http.client.HTTPSConnection(self._host, self._port, timeout=SILENT_S, context=self._context)

    def _error(self, status: int, headers: http.client.HTTPMessage, data: bytes) -> Exception:
        if 300 <= status < 400:
            where = headers.get("Location", "nowhere")[:300]
            remedy = "if that is the server, give its address as STREAMSCHED_SERVER"
            return WrongServer(
                f"{self.server} redirects to {where}, and the token is sent to no other address; {remedy}"
            )
        if 200 <= status < 300:
            kind = headers.get_content_type()
            remedy = "check STREAMSCHED_SERVER: a page of another server may be there"
            return WrongServer(f"{self.server} answers {kind}, where JSON was expected; {remedy}")
        return error_of(self.server, status, problem_of(headers.get_content_type(), data))

    @contextmanager
    def _told(self, method: str) -> Iterator[None]:
        """Turn failures of the connection into errors that say what to do."""
        unknown = "" if method in ("GET", "PUT") else "; whether it was done is unknown, so look before you repeat it"
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            remedy = "name the authority's certificate in SSL_CERT_FILE"
            reason = f"its certificate is not trusted ({error.verify_message})"
            raise ServerUnreachable(f"nothing was sent to {self.server}: {reason}; {remedy}") from None
        except ssl.SSLError as error:
            remedy = "write http:// if it has no TLS"
            raise ServerUnreachable(f"no TLS with {self.server} ({error.reason or error}); {remedy}") from None
        except socket.gaierror as error:
            remedy = "check STREAMSCHED_SERVER"
            raise ServerUnreachable(f"the host of {self.server} is unknown ({error.strerror}); {remedy}") from None
        except TimeoutError:
            raise ServerUnreachable(f"{self.server} does not answer in time; try again later{unknown}") from None
        except _TooLong:
            raise WrongServer(f"{self.server} answers with more than {DOCUMENT_BYTES:,} bytes; ask for less") from None
        except ConnectionRefusedError:
            raise ServerUnreachable(f"nothing listens at {self.server}; start it, or correct the address") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise ServerUnreachable(f"{self.server} broke the answer off ({reason}); try again{unknown}") from None


class _TooLong(Exception):
    """An answer is larger than any that a server gives."""


def _whole(response: http.client.HTTPResponse) -> bytes:
    """Read an answer to its end."""
    length = response.length
    if length is not None and length > DOCUMENT_BYTES:
        raise _TooLong
    data = bytearray()
    while part := response.read1(_READ_BYTES):
        data += part
        if len(data) > DOCUMENT_BYTES:
            raise _TooLong
    if length is not None and len(data) < length:
        raise http.client.IncompleteRead(b"")
    response.close()
    return bytes(data)


@contextmanager
def _bounded(connection: http.client.HTTPConnection) -> Iterator[None]:
    """End the connection if an exchange takes longer than WHOLE_S in all, even if bytes keep coming."""
    if connection.sock is None:
        connection.connect()
    late: list[bool] = []

    def end(sock: socket.socket) -> None:
        late.append(True)
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS: a reader elsewhere sees the end

    timer = Timer(WHOLE_S, end, (connection.sock,))
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if late:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
    if late:
        raise TimeoutError
