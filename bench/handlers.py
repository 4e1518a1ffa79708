"""Handlers that tell what happened to them: how many checkpoints they took, when and where they began."""

from __future__ import annotations

import os
import time
from pathlib import Path

from streamsched.worker.context import ChildContext


def checkpoints(ctx: ChildContext, seconds: float, pause: float = 0.0, wait: bool = False) -> dict[str, float]:
    """Take checkpoints for so long, one after the other or with a pause between; ``wait``: durable ones."""
    calls = 0
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        ctx.checkpoint({"calls": calls}, wait=wait)
        calls += 1
        if pause:
            time.sleep(pause)
    return {"calls": calls, "seconds": time.monotonic() - begun}


def stay(ctx: ChildContext, folder: str, seconds: float, every: float, slow: float, wait: bool) -> None:
    """Stay until the time is over or it is stopped; write down when and in which process this began and ended.

    There is a checkpoint after ``every`` seconds, for the first child after ``slow`` ones if that is not 0.
    """
    pause = every if ctx.child_index or not slow else slow
    with (Path(folder) / str(ctx.child_index)).open("a", buffering=1) as file:
        file.write(f"began {time.monotonic()} {os.getpid()}\n")
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                time.sleep(pause)
                ctx.checkpoint({}, wait=wait)
        finally:
            file.write(f"stopped {time.monotonic()} {os.getpid()}\n")


def copy(ctx: ChildContext, target: str) -> dict[str, int]:
    """Emit each record of a span of a topic, in upper case, to another topic."""
    copied = 0
    for record in ctx.resume(ctx.records()):
        ctx.emit(target, (record.value or b"").upper(), key=record.key)
        copied += 1
    return {"copied_by_this_attempt": copied}


def troubled(ctx: ChildContext) -> None:
    """Fail in one of three ways, at two children in a hundred."""
    number, rest = divmod(ctx.child_index, 50)
    if not rest:
        raise (ValueError("the record is odd"), OSError("the store is closed"), KeyError("name"))[number % 3]
