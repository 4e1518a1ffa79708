"""A request as handlers have it, an address as they declare it, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from streamsched.http import positions
from streamsched.http.access import Role, User
from streamsched.http.bodies import JSON
from streamsched.http.certificates import Certificates
from streamsched.http.desk import Desk
from streamsched.http.encoding import encode
from streamsched.http.inputs import NoQuery
from streamsched.http.layers import Layers
from streamsched.http.measures import Measures
from streamsched.http.pasts import Pasts
from streamsched.http.problems import HttpError
from streamsched.http.session import FollowingSession
from streamsched.http.sign_in import SignIns
from streamsched.http.streams import Stream, Streams
from streamsched.queries.lanes import Endings

NDJSON: Final = "application/x-ndjson"
BYTES: Final = "application/octet-stream"
SSE: Final = "text/event-stream"
HTML: Final = "text/html; charset=utf-8"
POSITION: Final = "Streamsched-Position"
ENDING: Final = "streamsched.ending"
"""In the scope of a request: what ends with it."""
HELD_BYTES: Final = 64 * 1024
"""Of lines that are sent together."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all requests share."""

    desk: Desk
    streams: Streams
    endings: Endings
    layers: Layers
    pasts: Pasts
    certificates: Certificates
    sign_ins: SignIns
    measures: Measures
    draining: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: who sends it, and what it holds."""

    shared: Shared
    request: Request
    user: User
    query: Any
    body: Any

    @property
    def desk(self) -> Desk:
        """The threads that answer."""
        return self.shared.desk

    @property
    def id(self) -> str:
        """The id in the address."""
        return str(self.request.path_params["id"])

    @property
    def child(self) -> str:
        """The child in the address."""
        return str(self.request.path_params["child"])

    @property
    def ending(self) -> ExitStack:
        """What ends with this request, however that ends: also where its answer was never begun."""
        ending: ExitStack = self.request.scope[ENDING]
        return ending

    def header(self, name: str) -> str | None:
        """Return a header."""
        return self.request.headers.get(name)

    async def holds(self) -> bool:
        """Return whether who sent it may still do so: a token may be taken away, and a session ends."""
        try:
            return await self.shared.sign_ins.user_of(self.request) == self.user
        except HttpError:
            return False


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An address and a method: who may use it, what it takes, and what it answers. The API document is made of it."""

    method: str
    path: str
    handler: Handler
    summary: str
    role: Role = Role.VIEWER
    query: type[Struct] = NoQuery
    body: type[Struct] | None = None
    body_type: str = JSON
    answers: Mapping[int, Any] = field(default_factory=dict)
    """By status: the type of the document, a tuple of several, or None without one."""
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that it takes, with what they say."""


def answer(document: object, status: int = 200, *, position: str = "", etag: str = "", **headers: str) -> Response:
    """Answer with a document."""
    return written(encode(document), status, position=position, etag=etag, **headers)


def written(data: bytes, status: int = 200, *, position: str = "", etag: str = "", **headers: str) -> Response:
    """Answer with a document that is written already."""
    response = Response(data, status, media_type=JSON)
    mark(response, position, etag)
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def mark(response: Response, position: str, etag: str = "") -> None:
    """Say from which position an answer is."""
    if position:
        response.headers[POSITION] = position
    if etag:
        response.headers["ETag"] = etag
        response.headers["Cache-Control"] = "private, no-cache"


def unchanged(call: Call, position: str, etag: str) -> Response | None:
    """Answer that nothing has changed, if If-None-Match says what was seen."""
    seen = call.header("if-none-match")
    if seen is None or not positions.matches(seen, etag):
        return None
    response = Response(status_code=304)
    mark(response, position, etag)
    return response


def everywhere(session: FollowingSession) -> str:
    """Write up to where the whole journal was folded."""
    return positions.write(session.follower.view.positions)


def home(session: FollowingSession, key: str) -> str:
    """Write up to where the partition of a task or a schedule was folded."""
    partition = session.site.topics.journal_of(key).partition
    return f"{partition}:{session.follower.view.positions.get(partition, 0)}"


def written_up_to(session: FollowingSession, key: str) -> str:
    """Write the end of the partition of a task or schedule: what was written before is folded there."""
    place = session.site.topics.journal_of(key)
    return f"{place.partition}:{session.site.log.end([place])[place]}"


def lines(entries: AsyncIterator[object], position: str = "") -> Response:
    """Answer with a document a line. None in place of an entry: send what is held, or an empty line."""

    async def written() -> AsyncIterator[bytes]:
        held = bytearray()
        async for entry in entries:
            if entry is None:
                yield bytes(held) or b"\n"
                held.clear()
                continue
            held += encode(entry) + b"\n"
            if len(held) > HELD_BYTES:
                yield bytes(held)
                held.clear()
        yield bytes(held)

    response = LinesResponse(written(), media_type=NDJSON)
    mark(response, position)
    return response


class LinesResponse(StreamingResponse):
    """Documents, one a line; none is read for who asks for the headers alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if scope["method"] != "HEAD":
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b""})


class EventResponse(Response):
    """A stream of events, until its reader leaves, may not read it any more, or it ends."""

    media_type = SSE

    def __init__(self, call: Call, stream: Stream) -> None:
        super().__init__(status_code=200, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._call = call
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            tasks = [asyncio.ensure_future(self._pump(send)), asyncio.ensure_future(_left(receive))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._stream.close()

    async def _pump(self, send: Send) -> None:
        async for message in self._stream.messages():
            if not await self._call.holds():
                break
            await send({"type": "http.response.body", "body": message, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _left(receive: Receive) -> None:
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()
