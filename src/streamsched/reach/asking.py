"""Requests to a server, and its answers as structs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import MsgspecError, Struct

from streamsched.domain.placeholders import encode
from streamsched.installation.settings import Settings
from streamsched.installation.way import NeedsLog, needs_log
from streamsched.queries.documents import read
from streamsched.reach.problems import WrongServer
from streamsched.reach.wire import Query, Reply, Wire

if TYPE_CHECKING:
    from streamsched.domain.events import Event
    from streamsched.log.codec import Undecodable
    from streamsched.log.port import Record

T = TypeVar("T")
E = TypeVar("E")


PAGE: Final = 1_000
"""Entries that a server gives at once, at most."""


class Page(Struct, Generic[E], frozen=True):
    """A list as a server gives it, whole or a page of it. Each list has some of these fields beside its entries."""

    items: tuple[E, ...]
    next: str | None = None
    more: bool = False
    missing: str = ""


class Server:
    """A server and its answers. Each method raises the error that an answer tells, ServerUnreachable, WrongServer."""

    def __init__(self, settings: Settings) -> None:
        self._where = settings.where
        self._wire = Wire(settings.server, settings.token)
        self.close = self._wire.close

    def get(self, path: str, kind: type[T], query: Query = (), *, fresh: bool = True) -> T:
        """Send a GET. ``fresh``: the answer has what this client has written before."""
        return self.read(self._wire.ask("GET", path, query=query, fresh=fresh), kind)

    def entries(self, path: str, kind: type[Page[E]], query: Query = (), *, fresh: bool = True) -> Iterator[E]:
        """Get the first page of a list now, and each other page when its entries are wanted."""
        page = self.get(path, kind, [*query, ("limit", PAGE)], fresh=fresh)

        def entries(page: Page[E]) -> Iterator[E]:
            yield from page.items
            while page.next is not None:
                page = self.get(path, kind, [*query, ("limit", PAGE), ("cursor", page.next)], fresh=fresh)
                yield from page.items

        return entries(page)

    def poll(self, path: str, seen: str, seconds: int) -> Reply:
        """Send a GET that is answered once the document differs from ``seen`` (an ETag), or after so many seconds."""
        prefer = {"Prefer": f"wait={seconds}"} if seconds else {}
        return self._wire.ask("GET", path, headers={**prefer, **({"If-None-Match": seen} if seen else {})})

    def send(
        self, method: str, path: str, kind: type[T], body: Mapping[str, object] | None = None, *, query: Query = (),
        headers: Mapping[str, str] = {},
    ) -> T:  # fmt: skip
        """Send a request that changes something, with JSON as its body."""
        text = None if body is None else encode(body)
        return self.read(self._wire.ask(method, path, query=query, body=text, headers=headers), kind)

    def events(self, path: str, query: Query) -> Iterator[tuple[Record, Event | Undecodable]]:
        """Yield the events of a history, each with the place of its record."""
        from streamsched.audit.event_lines import read_line

        for line in self._wire.lines(path, query):
            try:
                found = read_line(line)
            except (MsgspecError, ValueError, LookupError, TypeError, RecursionError) as error:
                raise self._wrong("event", error) from None
            yield found

    def lines(self, path: str, query: Query, kind: type[T], *, fresh: bool = True) -> Iterator[T | None]:
        """Yield the documents of a long answer; None for an empty line."""
        for line in self._wire.lines(path, query, fresh=fresh):
            yield self._document(line, kind) if line else None

    def read(self, reply: Reply, kind: type[T]) -> T:
        """Read the document of an answer. Raise WrongServer."""
        return self._document(reply.data, kind)

    def _document(self, data: bytes, kind: type[T]) -> T:
        try:
            return read(data, kind)
        except (MsgspecError, ValueError, RecursionError) as error:
            raise self._wrong(kind.__name__, error) from None

    def _wrong(self, what: str, error: Exception) -> WrongServer:
        remedy = "check STREAMSCHED_SERVER, and whether client and server are of one version"
        reason = f"an answer that is no {what} ({type(error).__name__}: {str(error)[:200]})"
        return WrongServer(f"{self._where} gives {reason}; {remedy}")

    def refuse(self, what: str) -> NeedsLog:
        """Return the error for what no server does for its clients."""
        return needs_log(what, self._where)
