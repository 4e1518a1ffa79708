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


class _Awaited(ChildContext):
    """What differs from a plain context."""

    __slots__ = ()

    def checkpoint(self, state: Any, *, wait: bool = False) -> Awaitable[None]:  # type: ignore[override]
        """Keep ``state``, as ``ChildContext.checkpoint``; what it returns is to be awaited only with ``wait``."""
        super().checkpoint(state)
        return self._until(self._told[1]) if wait else _AT_ONCE

    async def _until(self, number: int) -> None:
        await cast("AsyncTransport", self._transport).until(number)
        if self._stop:
            raise StopChild


class AsyncChildContext(_Awaited):
    """One attempt at one child, as its async handler sees it: ``await ctx.checkpoint(state, wait=True)``.

    ``AsyncChildContext(LocalTransport())`` serves a handler without any worker.
    """

    __slots__ = ()


def make_async(context: ChildContext) -> None:
    """Make a context one of an async handler; it remains of its class."""
    if not isinstance(context, _Awaited):
        kind = type(context)
        context.__class__ = type(kind.__name__, (_Awaited, kind), {"__slots__": ()})


class _AtOnce:
    """What need not be awaited, and may be."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_AT_ONCE = _AtOnce()
