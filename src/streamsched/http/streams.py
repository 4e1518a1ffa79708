"""Streams of events (SSE): who reads which channel, and the loop that makes the messages of all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

from streamsched.domain import events as e
from streamsched.http.channels import Channel, TaskChannel, TasksChannel
from streamsched.http.desk import Desk
from streamsched.http.missed import missed
from streamsched.http.problems import NotReady
from streamsched.http.readers import Readers
from streamsched.http.session import Change, FollowingSession

EVERY_S: Final = 0.5
"""At most two messages a second."""
HEARTBEAT_S: Final = 15.0
"""After so long without a message a comment is sent, and it is looked whether the reader may still read."""
LOOK_TICKS: Final = 4
"""Ticks after which it is looked whether anything has changed without an event."""
STREAMS: Final = 500
"""That are open at once."""
logger = logging.getLogger(__name__)


class Stream:
    """One reader of a channel; to be closed."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.channel: Channel | None = None
        self.first = b""
        self.sent = 0

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield messages, and a heartbeat where there are none, until the server ends or this reader is too slow."""
        yield b"retry: 1000\n\n" + self.first
        channel, closing = self.channel, self._streams.closing
        while channel is not None and not closing.is_set():
            news = channel.news
            found = channel.since(self.sent)
            if found is None:
                return
            self.sent = channel.sent
            if found:
                yield b"".join(found)
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                yield b": still here\n\n"

    def close(self) -> None:
        """Leave the channel; again is the same as once."""
        self._streams.open.discard(self)
        if self.channel is not None:
            self.channel.readers.discard(self)


class Streams:
    """The channels and their readers."""

    def __init__(self) -> None:
        self._channels: dict[str, TaskChannel] = {}
        self._lists: dict[str, TasksChannel] = {}
        self._ticks = 0
        self.open: set[Stream] = set()
        self.logs = Readers("have logs open")
        """Who reads what handlers have printed."""
        self.attempts = Readers("look for attempts")
        """Who reads the attempts at a child."""
        self.histories = Readers("read the whole history")
        """Who reads the history of everything."""
        self.closing = asyncio.Event()

    def take(self, change: Change) -> None:
        """Take note of an event that was folded; called in the thread of the session."""
        event = change.event
        for each in self._lists.values():
            each.take(event)
        if isinstance(event, e.OfTask):
            channel = self._channels.get(event.task_id)
            if channel is not None:
                channel.take(event)
        elif not isinstance(event, e.OfSchedule):
            for channel in self._channels.values():
                channel.take(event)

    async def serve(self, desk: Desk) -> None:
        """Make messages until ``close``."""
        while not self.closing.is_set():
            if (self._channels or self._lists) and desk.ready:
                try:
                    made = await desk.read(self._messages)
                except NotReady:  # the desk closes
                    made = []
                for channel, message in made:
                    channel.push(message)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self.closing.wait()

    def close(self) -> None:
        """End all streams."""
        self.closing.set()
        for channel in (*self._channels.values(), *self._lists.values()):
            channel.news.set()

    async def of_task(self, desk: Desk, task_id: str, after: dict[int, int] | None) -> Stream:
        """Begin a stream of a task. Raise NotReady, Behind."""
        return await self._begin(desk, self._channels, task_id, lambda: TaskChannel(task_id), after, task_id)

    async def of_all(self, desk: Desk, within: str, after: dict[int, int] | None) -> Stream:
        """Begin a stream of all tasks whose templates begin so. Raise NotReady, Behind."""
        return await self._begin(desk, self._lists, within, lambda: TasksChannel(within), after, None)

    async def _begin(
        self,
        desk: Desk,
        channels: dict[str, Any],
        key: str,
        make: Callable[[], Channel],
        after: dict[int, int] | None,
        task_id: str | None,
    ) -> Stream:
        if self.closing.is_set() or len(self.open) >= STREAMS:
            reason = "the server ends" if self.closing.is_set() else f"there are {STREAMS} streams already"
            raise NotReady(reason, "ask again later")
        stream = Stream(self)
        self.open.add(stream)
        try:
            stream.channel = await desk.read(lambda _: _joined(channels, key, make, stream))
            stream.sent = stream.channel.sent
            stream.first = await _first(desk, make, after, task_id)
        except BaseException:
            stream.close()
            raise
        return stream

    def _messages(self, session: FollowingSession) -> list[tuple[Channel, bytes]]:
        """Make the messages of all channels, and forget those without readers; in the thread of the session."""
        self._ticks += 1
        look = self._ticks % LOOK_TICKS == 0
        made: list[tuple[Channel, bytes]] = []
        channels: dict[str, Any]
        for channels in (self._channels, self._lists):
            for key, channel in list(channels.items()):
                if not channel.readers:
                    del channels[key]
                elif (message := _made(channel, session, look=look)) is not None:
                    made.append((channel, message))
        return made


def _made(channel: Channel, session: FollowingSession, *, look: bool) -> bytes | None:
    """Make the message of a channel; one that cannot be made ends no stream, neither its own nor others."""
    try:
        message = channel.message(session, look=look, full=channel.failed)
    except Exception as error:
        if not channel.failed:
            logger.error("a message of the stream %r cannot be made", channel.name, exc_info=error)
        channel.failed = True
        return None
    channel.failed = False
    return message


async def _first(desk: Desk, make: Callable[[], Channel], after: dict[int, int] | None, task_id: str | None) -> bytes:
    """Return the message that brings a reader to where the channel is."""
    known = None if after is None else await missed(desk, after, task_id)
    own = make()
    for event in known or ():
        own.take(event)
    return await desk.read(lambda session: own.message(session, look=False, full=known is None)) or b""


def _joined(channels: dict[str, Any], key: str, make: Callable[[], Channel], stream: Stream) -> Channel:
    channel: Channel = channels.get(key) or channels.setdefault(key, make())
    channel.readers.add(stream)
    return channel
