"""What is written in one turn of the loop is sent together, in its order, and whole before an end."""

from __future__ import annotations

import asyncio

import pytest

from streamsched.http import protocol
from streamsched.http.protocol import Joined


class Line:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


def test_a_head_goes_with_its_document_and_turns_stay_apart() -> None:
    async def turns() -> list[bytes]:
        line = Line()
        joined = Joined(line, asyncio.get_running_loop())
        joined.write(b"head ")
        joined.write(b"body")
        assert line.sent == []
        await asyncio.sleep(0)
        joined.write(b"more")
        await asyncio.sleep(0)
        return line.sent

    assert asyncio.run(turns()) == [b"head body", b"more"]


def test_what_is_much_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HELD_BYTES", 10)

    async def turn() -> None:
        line = Line()
        joined = Joined(line, asyncio.get_running_loop())
        joined.write(b"small")
        joined.write(b"and large")
        assert line.sent == [b"smalland large"]
        joined.write(b"rest")
        await asyncio.sleep(0)
        assert line.sent == [b"smalland large", b"rest"]

    asyncio.run(turn())


def test_a_close_sends_what_is_held_and_an_abort_does_not() -> None:
    async def turn() -> None:
        closed, aborted = Line(), Line()
        loop = asyncio.get_running_loop()
        ends = [Joined(line, loop) for line in (closed, aborted)]
        for each in ends:
            each.write(b"last words")
        ends[0].close()
        ends[1].abort()
        await asyncio.sleep(0)
        assert (closed.sent, aborted.sent) == ([b"last words"], [])
        assert closed.is_closing()

    asyncio.run(turn())
