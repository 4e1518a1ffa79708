"""Handlers that tell what happened to them: how many checkpoints they took, when and where they began."""

from __future__ import annotations

import os
import time
from pathlib import Path

from streamsched.worker.context import ChildContext

CHECKPOINT_EVERY = 0.05


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


def stay(ctx: ChildContext, folder: str, seconds: float) -> None:
    """Write down when and in which process this attempt began, then stay until the time is over or it is stopped."""
    with (Path(folder) / str(ctx.child_index)).open("a") as file:
        file.write(f"{time.monotonic()} {os.getpid()}\n")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(CHECKPOINT_EVERY)
        ctx.checkpoint({})
