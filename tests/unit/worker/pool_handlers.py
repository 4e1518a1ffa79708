"""Handlers for the tests of the pool; executors import this module by its bare name."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from streamsched.worker.context import ChildContext
from streamsched.worker.errors import ChildError, NonRetryable, RetryAfter

NOT_A_FUNCTION = 5
from os import system as borrowed  # noqa: E402, F401 - a handler must not be reached this way


def echo(ctx: ChildContext, **args: Any) -> dict[str, Any]:
    return {**args, "task": ctx.task_id, "child": ctx.child_index, "attempt": ctx.attempt, "token": ctx.fencing_token}


def talk(ctx: ChildContext, lines: int) -> None:
    for i in range(lines):
        print("line", i)  # noqa: T201
    sys.stderr.write("to stderr\n")
    sys.stdout.buffer.write("bytes é\n".encode())
    ctx.log.info("logged %s", 1)
    logging.getLogger("elsewhere").info("logged too")
    print("no end", end="")  # noqa: T201


def no_args(ctx: ChildContext) -> None: ...


def raises(ctx: ChildContext, what: str) -> None:
    errors: dict[str, BaseException] = {
        "plain": ValueError("bad value \ud800"),
        "never": NonRetryable("no use"),
        "later": RetryAfter(2.5),
        "child": ChildError("both", retry_after=0.1, retryable=False),
        "exit": SystemExit(0),
        "interrupt": KeyboardInterrupt(),
        "long": ValueError("x" * 100_000),
    }
    raise errors[what]


def returns(ctx: ChildContext, what: str) -> Any:
    return {"object": object(), "big": "x" * 300_000, "nothing": None}[what]


def big_state(ctx: ChildContext) -> None:
    ctx.checkpoint("x" * 300_000)


def die(ctx: ChildContext, how: str) -> None:
    if how == "segfault":
        ctypes.string_at(0)
    os._exit(7)


def fork(ctx: ChildContext) -> str:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return "parent" if pid else "child"


def child_process(ctx: ChildContext) -> int:
    return subprocess.run([sys.executable, "-c", "import signal; print(signal.getsignal(2))"]).returncode


def hang(ctx: ChildContext, checkpoint: bool = False) -> None:
    if checkpoint:
        ctx.checkpoint({"before": "hanging"}, wait=True)
    while True:
        time.sleep(0.01)


def beat(ctx: ChildContext, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ctx.heartbeat()
        time.sleep(0.01)
    return "alive"


def step(ctx: ChildContext, seconds: float = 60.0) -> dict[str, Any]:
    n = (ctx.last_checkpoint or {"n": 0})["n"]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        n += 1
        ctx.checkpoint({"n": n})
        ctx.progress(n, 1000)
        time.sleep(0.001)
    return {"n": n}


def durable(ctx: ChildContext) -> str:
    ctx.checkpoint({"durable": 1}, wait=True)
    return "confirmed"


def crash_in_loop(ctx: ChildContext, path: str, at: int) -> int:
    with Path(path).open("a") as file:
        for i in ctx.resume(range(10)):
            if i == at and ctx.attempt == 1:
                raise RuntimeError("in the loop")
            file.write(f"{i}\n")
    return 10


def prints_and_raises(ctx: ChildContext, lines: int) -> None:
    for number in range(lines):
        sys.stdout.write(f"line {number}\n")
    raise ValueError("no")


async def prints_and_raises_async(ctx: ChildContext, lines: int) -> None:
    prints_and_raises(ctx, lines)
