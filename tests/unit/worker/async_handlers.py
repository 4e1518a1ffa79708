"""Async handlers for the tests of the pool; executors import this module by its bare name."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from typing import Any

from streamsched.worker.async_context import AsyncChildContext

SHARED = {"runs": 0, "most": 0}


async def echo(ctx: AsyncChildContext, **args: Any) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {**args, "task": ctx.task_id, "child": ctx.child_index, "attempt": ctx.attempt, "pid": os.getpid()}


async def fails(ctx: AsyncChildContext) -> None:
    await asyncio.sleep(0)
    raise ValueError("async and wrong")


async def leaves(ctx: AsyncChildContext) -> None:
    raise SystemExit(3)


async def sleeps(ctx: AsyncChildContext, seconds: float, note: str = "", state: Any = None) -> str:
    if state is not None:
        await ctx.checkpoint(state, wait=True)
    try:
        await asyncio.sleep(seconds)
    finally:
        if note:
            await asyncio.sleep(0.01)
            Path(note).write_text("it could end in order", encoding="utf-8")
    return "slept"


async def deaf(ctx: AsyncChildContext, state: Any = None) -> None:
    """Do not let itself be cancelled."""
    if state is not None:
        ctx.checkpoint(state)
    while True:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


async def blocks(ctx: AsyncChildContext, seconds: float = 60.0, first: float = 0.05) -> str:
    await asyncio.sleep(first)
    time.sleep(seconds)
    return "blocked"


async def steps(ctx: AsyncChildContext, count: int, seconds: float) -> int:
    for _ in ctx.resume(range(count)):
        await asyncio.sleep(seconds)
    return count


async def waits(ctx: AsyncChildContext) -> str:
    await ctx.checkpoint({"a": 1})
    await ctx.checkpoint({"a": 2}, wait=True)
    return "durable"


async def forgets(ctx: AsyncChildContext, deaf_task: bool = False) -> int:
    """Leave a task and a thread behind."""
    task = asyncio.create_task(deaf(ctx) if deaf_task else asyncio.sleep(60))
    task.set_name("left")
    await asyncio.to_thread(socket.gethostname)
    return os.getpid()


async def beside(ctx: AsyncChildContext, seconds: float = 0.1) -> int:
    """Return how many ran at once at most."""
    SHARED["runs"] += 1
    SHARED["most"] = max(SHARED["most"], SHARED["runs"])
    ctx.heartbeat()
    await asyncio.sleep(seconds)
    SHARED["runs"] -= 1
    return SHARED["most"]


async def talks(ctx: AsyncChildContext, times: int = 3) -> None:
    for turn in range(times):
        print("turn", turn, end=" ")  # noqa: T201
        await asyncio.sleep(0.01)
        print("of", ctx.child_index)  # noqa: T201
        ctx.log.info("logged %s", ctx.child_index)
    await asyncio.to_thread(print, "thread of", ctx.child_index)
    print("no end", end="")  # noqa: T201


async def dies(ctx: AsyncChildContext, seconds: float = 0.1) -> None:
    await asyncio.sleep(seconds)
    os._exit(7)


def plain(ctx: Any) -> int:
    return os.getpid()
