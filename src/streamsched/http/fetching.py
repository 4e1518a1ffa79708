"""Asking another server, over https or on this machine: bounded in time and bytes, and no redirect is followed."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import h11

from streamsched.http.guard import is_loopback
from streamsched.version import __version__

SLOWEST_S: Final = 5.0
"""How long the other server may take, from the connection to the end of its answer."""
MOST_BYTES: Final = 256 * 1024
"""Of the body of an answer."""
_PART: Final = 64 * 1024
"""Bytes that are read at once; also the most of the head of an answer."""


class Unreachable(Exception):
    """The other server does not answer, or not as it must; the text says why."""


def problem_of_url(url: str) -> str:
    """Return why an address may not be asked; empty where it may."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address"
    is_plain = url.isascii() and url.isprintable() and " " not in url and not parts.fragment and parts.username is None
    if not host or not is_plain or parts.scheme not in ("https", "http"):
        return "is no address"
    if parts.scheme == "http" and not is_loopback(host):
        return "is not https"
    return ""


async def fetch(
    url: str, trust: ssl.SSLContext, form: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Return the status and the body of an answer to GET, or to POST of a form. Raise Unreachable."""
    if problem := problem_of_url(url):
        raise Unreachable(f"{url[:200]!r} {problem}")
    try:
        async with asyncio.timeout(SLOWEST_S):
            return await _ask(url, trust, form, headers or {})
    except TimeoutError:
        raise Unreachable(f"it did not answer within {SLOWEST_S:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"its certificate is not trusted: {error.verify_message}") from None
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0  # asyncio has words of its own for those of the system
        raise Unreachable(os.strerror(number) if number > 0 else str(error) or type(error).__name__) from None
    except h11.RemoteProtocolError as error:
        raise Unreachable(f"it does not speak HTTP/1.1: {error}") from None


async def _ask(url: str, trust: ssl.SSLContext, form: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    reader, writer = await asyncio.open_connection(
        host, parts.port or (443 if secure else 80), ssl=trust if secure else None
    )
    try:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_PART)
        sent = {
            "Host": parts.netloc, "Accept": "application/json", "Accept-Encoding": "identity",
            "Connection": "close", "User-Agent": f"streamsched/{__version__}", **headers,
        }  # fmt: skip
        if form is not None:
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form))}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        method = "GET" if form is None else "POST"
        writer.write(connection.send(h11.Request(method=method, target=target, headers=list(sent.items()))) or b"")
        writer.write(connection.send(h11.Data(data=form)) or b"" if form else b"")
        connection.send(h11.EndOfMessage())
        await writer.drain()
        return await _answer(connection, reader)
    finally:
        writer.transport.abort()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_PART))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST_BYTES:
                raise Unreachable(f"its answer has more than {MOST_BYTES:,} bytes")
        elif not isinstance(event, h11.InformationalResponse):
            return status, bytes(body)
