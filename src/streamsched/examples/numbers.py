"""Print the numbers of a range: the first example."""

from __future__ import annotations

from streamsched.worker.context import ChildContext


def print_numbers(ctx: ChildContext, first: int, last: int) -> dict[str, int]:
    """Print ``first`` to ``last``, inclusive; after a crash only what is not known to be printed."""
    for i in ctx.resume(range(first, last + 1)):
        print(i)
    return {"count": last - first + 1}
