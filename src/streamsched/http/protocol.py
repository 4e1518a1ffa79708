"""Connections that are bounded in time: a head that does not arrive, and a reader that does not read, are cut off."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from streamsched.http.problems import BadRequest, problem_answer

HEAD_S: Final = 20.0
"""How long the head of a request may take."""
HELD_BYTES: Final = 64 * 1024
"""Of what is sent together."""
UNREAD_S: Final = 20.0
"""How long a reader may leave what was sent to it unread."""


class Joined:
    """A transport that sends together what is written in one turn of the loop: a head with its document.

    Each send that is spared is one less moment in which the thread that folds takes the interpreter.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it at the end of this turn, or now what is much."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held += data
        if len(self._held) > HELD_BYTES:
            self._send()

    def close(self) -> None:
        """Send what is held, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._held and not self._transport.is_closing():
            self._transport.write(bytes(self._held))
        self._held.clear()


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with limits; a request that is none is answered with a problem document."""

    def connection_made(self, transport: Any) -> None:
        """Begin, and wait for the first head."""
        super().connection_made(transport)
        self.transport: Any = Joined(transport, self.loop)
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop("_head")
        self._stop("_unread")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._await_head()
        else:
            self._stop("_head")

    def on_response_complete(self) -> None:
        """Wait for the next request: its keep-alive limit counts until it begins."""
        super().on_response_complete()
        self._stop("_head")

    def pause_writing(self) -> None:
        """Wait for the reader."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self._stop("_unread")
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer to what is no request."""
        answer = problem_answer(BadRequest("this is no HTTP/1.1 request", "send a well-formed one"))
        answer.headers.update({"Connection": "close", "X-Content-Type-Options": "nosniff"})
        head = h11.Response(status_code=answer.status_code, headers=answer.raw_headers)
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            try:
                self.transport.write(self.conn.send(event) or b"")
            except h11.LocalProtocolError:  # an answer was begun already
                break
        self.transport.close()

    def _await_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop(self, name: str) -> None:
        timer = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)
