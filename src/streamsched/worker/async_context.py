"""The context of an async handler: what waits can be awaited there, so that it does not hold up others."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Protocol, cast

from streamsched.worker.context import ChildContext, Transport
from streamsched.worker.errors import StopChild


class AsyncTransport(Transport, Protocol):
    """Receives the reports of an async context."""

    async def until(self, number: int) -> None:
        """Return when the checkpoint of this number is durable, or a stop was asked for."""


class AsyncChildContext(ChildContext):
    """One attempt at one child, as its async handler sees it: ``await ctx.checkpoint(state, wait=True)``.

    ``AsyncChildContext(LocalTransport())`` serves a handler without any worker.
    """

    __slots__ = ()

    def checkpoint(self, state: Any, *, wait: bool = False) -> Awaitable[None]:  # type: ignore[override]
        """Keep ``state``, as ``ChildContext.checkpoint``; what it returns is to be awaited only with ``wait``."""
        super().checkpoint(state)
        return self._until(self._number) if wait else _AT_ONCE

    async def _until(self, number: int) -> None:
        await cast("AsyncTransport", self._transport).until(number)
        if self._stop:
            raise StopChild


class _AtOnce:
    """What need not be awaited, and may be."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_AT_ONCE = _AtOnce()
