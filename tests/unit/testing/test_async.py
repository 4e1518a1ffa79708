"""Async handlers and setups in the test kit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamsched import AsyncChildContext
from streamsched.testing import Cluster, assert_effects_idempotent, crash_after, run_child
from streamsched.worker.errors import BadArguments

rows: dict[int, int] = {}
begun: list[Any] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    rows.clear()
    begun.clear()


def warm() -> None:
    """Set an executor up."""
    begun.append("warm")


async def fetch(ctx: AsyncChildContext, first: int, last: int) -> int:
    """Write rows, each waited for."""
    begun.append(ctx.last_checkpoint)
    for number in range(ctx.last_checkpoint or first, last + 1):
        await asyncio.sleep(0)
        rows[number] = 1
        await ctx.checkpoint(number + 1, wait=True)
    return last - first + 1


async def steps(ctx: AsyncChildContext, count: int) -> None:
    """Let the context resume."""
    for number in ctx.resume(range(count)):
        rows[number] = 1
        await asyncio.sleep(0)


ARGS = {"first": 1, "last": 4}
JOB = {
    "name": "t",
    "split": {"range": {"first": 1, "last": 20, "size": 10}},
    "child": {
        "handler": f"{__name__}:fetch",
        "setup": f"{__name__}:warm",
        "concurrency": 5,
        "args": {"first": "${child.first}", "last": "${child.last}"},
    },
}


def test_a_child() -> None:
    run = run_child(fetch, ARGS, crash=crash_after("checkpoint", 2))
    assert (run.died, run.checkpoints, run.waited) == (True, [2, 3], 1)
    again = run_child(fetch, ARGS, resume=run.state)
    assert (again.result, again.waited, begun) == (4, 2, [None, 3])
    assert run_child(steps, {"count": 3}).checkpoints == [{"resume": 1}, {"resume": 2}, {"resume": 3}]
    assert run_child(steps, {"count": 3}, stop_after=1).stopped
    with pytest.raises(BadArguments, match="last"):
        run_child(fetch, {"first": 1, "last": "x"})


def test_effects() -> None:
    assert_effects_idempotent(fetch, ARGS, effects=lambda: rows)


def test_a_task_whose_worker_dies(cluster: Cluster) -> None:
    task = cluster.submit(JOB)
    cluster.run_until_checkpoint(task, 3)
    cluster.kill_worker()
    cluster.add_worker()
    assert cluster.results(task) == [10, 10]
    assert begun.count("warm") == 2  # once on each worker
    assert begun.count(None) == 2
