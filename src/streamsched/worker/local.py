"""Running a handler in the caller's process: for ``streamsched try`` and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamsched.worker.arguments import arguments_of
from streamsched.worker.context import ChildContext
from streamsched.worker.handlers import is_async, not_async
from streamsched.worker.seekable import Result, Seekable


def checked(handler: Callable[..., Any], arguments: Mapping[str, Any], concurrency: int = 1) -> Mapping[str, Any]:
    """Return the arguments as the annotations of a handler say. Raise BadArguments, as an executor would."""
    if concurrency > 1 and not is_async(handler):
        raise not_async(getattr(handler, "__qualname__", str(handler)))
    check = arguments_of(handler)
    return arguments if check is None else check(dict(arguments))


def call(
    handler: Callable[..., Any], context: ChildContext, arguments: Mapping[str, Any], results: object = None, *,
    setup: Callable[[], Any] | None = None, check: bool = True,
) -> Any:  # fmt: skip
    """Call a handler as an executor does, a reduce with its results; returns what it returned.

    An async one runs in a loop of its own, and its context becomes one whose waits are awaited. ``setup`` runs before
    it. Without ``check`` the arguments are what ``checked`` has returned.
    """
    given = checked(handler, arguments) if check else arguments
    positional = (context,) if results is None else (context, results)
    if not (is_async(handler) or (setup is not None and is_async(setup))):
        if setup is not None:
            setup()
        return handler(*positional, **given)
    returned, error = _in_loop(handler, positional, given, setup)
    if error is not None:
        raise error
    return returned


def _in_loop(
    handler: Callable[..., Any], positional: Any, given: Mapping[str, Any], setup: Any
) -> tuple[Any, BaseException | None]:  # fmt: skip
    import asyncio  # late, as the next: few handlers are async

    from streamsched.worker.async_context import make_async

    async def run() -> tuple[Any, BaseException | None]:
        try:
            if setup is not None:
                await setup() if is_async(setup) else setup()
            if not is_async(handler):
                return handler(*positional, **given), None
            make_async(positional[0])  # the caller keeps it, and asks it later
            return await handler(*positional, **given), None
        except asyncio.CancelledError:  # Ctrl-C
            raise
        except BaseException as error:
            return None, error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)

    return asyncio.run(run())


class LocalResults(Seekable):
    """Results as a reduce gets them, from a list in memory; ``missing`` counts the children that have none."""

    def __init__(self, results: Sequence[Result], missing: int = 0) -> None:
        self._results = sorted(results, key=lambda result: result.index)
        self._next = 0
        self.missing = missing

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> LocalResults:
        return self

    def __next__(self) -> Result:
        if self._next >= len(self._results):
            raise StopIteration
        self._next += 1
        return self._results[self._next - 1]

    def seek(self, done: int) -> None:
        """Go on behind the first ``done`` results."""
        self._next = done
