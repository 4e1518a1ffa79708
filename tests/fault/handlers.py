"""Handlers whose every step leaves a line in a file: the evidence that the checker reads."""

from __future__ import annotations

import os
import time
from pathlib import Path

from streamsched import ChildContext


def steps(ctx: ChildContext, count: int, seconds: float, folder: str, *, wait: bool = False) -> dict[str, int]:
    """Make ``count`` steps of so many seconds, each noted in the folder and then checkpointed.

    ``wait`` has each checkpoint wait until it is durable: the worker then commits all the time.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    begun = (ctx.last_checkpoint or {"step": 0})["step"]
    with (Path(folder) / f"{os.getpid()}.txt").open("a", buffering=1) as notes:
        for step in range(begun, count):
            time.sleep(seconds)
            notes.write(_note(ctx, step))
            print(f"child {ctx.child_index}, step {step}")  # noqa: T201  # a disk that is full may not take it
            ctx.checkpoint({"step": step + 1}, wait=wait)
    return {"steps": count}


def counted(ctx: ChildContext, count: int, seconds: float, folder: str) -> dict[str, int]:
    """Do as ``steps``, and leave a line each time that it begins."""
    with (Path(folder) / f"begun-{ctx.child_index}").open("a") as begun:
        begun.write(f"{os.getpid()} {time.time():.3f}\n")
    return steps(ctx, count, seconds, folder)


def deaf(ctx: ChildContext, count: int, seconds: float, folder: str) -> None:
    """Note that it began, and never come to a safe point until there is a file ``go`` in the folder."""
    with (Path(folder) / f"{os.getpid()}.txt").open("a", buffering=1) as notes:
        for step in range(count):
            notes.write(_note(ctx, step))
        while not (Path(folder) / "go").exists():
            time.sleep(seconds)


def _note(ctx: ChildContext, step: int) -> str:
    return f"{ctx.child_index} {step} {ctx.attempt} {ctx.fencing_token} {time.time():.3f}\n"
