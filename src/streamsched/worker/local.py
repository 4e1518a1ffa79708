"""Running a handler in the caller's process: for ``streamsched try`` and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamsched.worker.context import ChildContext, Result, Seekable


def call(
    handler: Callable[..., Any], context: ChildContext, arguments: Mapping[str, Any], results: object = None
) -> Any:
    """Call a handler as an executor does, a reduce with its results; returns what it returned."""
    return handler(context, **arguments) if results is None else handler(context, results, **arguments)


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
