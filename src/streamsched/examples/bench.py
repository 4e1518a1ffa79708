"""Handlers that do nothing, or wait, or fail: for measuring and for trying things out."""

from __future__ import annotations

import time
from typing import Any

from streamsched.worker.context import ChildContext


def noop(ctx: ChildContext, **args: Any) -> None:
    """Do nothing, whatever the arguments."""


def sleep(ctx: ChildContext, seconds: float, checkpoint_every: float = 0.1) -> dict[str, float]:
    """Sleep so many seconds in all, over however many attempts, with a checkpoint after every so many."""
    slept = (ctx.last_checkpoint or {"slept": 0.0})["slept"]
    while slept < seconds:
        step = min(checkpoint_every, seconds - slept)
        time.sleep(step)
        slept += step
        ctx.progress(slept, seconds)
        ctx.checkpoint({"slept": slept})
    return {"slept": slept}


def fail(ctx: ChildContext, times: int = 1, message: str = "as asked") -> dict[str, int]:
    """Fail in the first ``times`` attempts, and succeed in the next."""
    if ctx.attempt <= times:
        raise RuntimeError(f"{message} (attempt {ctx.attempt})")
    return {"attempt": ctx.attempt}
