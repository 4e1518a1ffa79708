"""Handlers whose every step leaves a line in a file: the evidence that the checker reads."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from streamsched import ChildContext, Result


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


def emits(ctx: ChildContext, topic: str, count: int, seconds: float) -> None:
    """Emit ``count`` records, some of them in each of so many seconds."""
    for number in ctx.resume(range(count)):
        ctx.emit(topic, {"child": ctx.child_index, "n": number}, key=f"{ctx.child_index}-{number}")
        if number % 50 == 0:
            time.sleep(seconds)


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


def leaves(ctx: ChildContext, folder: str, stay: float = 0.0) -> None:
    """Start a process that goes its own ways, in a session of its own and without a parent; note its number."""
    script = 'sh -c "echo \\$\\$ > $0/\\$\\$.left; exec sleep 300" &'
    subprocess.run(["setsid", "sh", "-c", script, folder], check=True)
    subprocess.run(["sh", "-c", "sleep 0.2 &"], check=True)
    while not any(path.read_text() for path in Path(folder).glob("*.left")):
        time.sleep(0.01)
    time.sleep(stay)


def environment(ctx: ChildContext) -> dict[str, str]:
    """Return our own variables as a handler sees them."""
    return {name: value for name, value in os.environ.items() if name.startswith("STREAMSCHED_")}


def numbered(ctx: ChildContext, results: Iterator[Result]) -> int:
    """Count the results of all children."""
    return sum(1 for _ in results)
