"""Handlers with a setup; executors import this module by its bare name."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

WARM: dict[str, Any] = {"times": 0}


def warm() -> None:
    WARM["times"] += 1
    os.environ["WARMED"] = "yes"


async def warm_async() -> None:
    await asyncio.sleep(0)
    WARM["loop"] = asyncio.get_running_loop()


def slow() -> None:
    time.sleep(0.6)
    WARM["times"] += 1
    WARM["ended"] = time.time_ns() // 1_000_000


def endless() -> None:
    time.sleep(60)


def breaks() -> None:
    raise OSError("no model there")


def breaks_once() -> None:
    file = Path(os.environ["BREAKS_ONCE"])
    if not file.exists():
        file.touch()
        raise OSError("not yet")


def work(ctx: Any) -> list[Any]:
    return [os.getpid(), WARM["times"], os.environ.get("WARMED")]


def set_up_at(ctx: Any) -> int:
    ended: int = WARM["ended"]
    return ended


async def in_loop(ctx: Any) -> bool:
    return WARM["loop"] is asyncio.get_running_loop()


def grows(ctx: Any, megabytes: int, seconds: float = 0.0, below: bool = False) -> int:
    if below and not (pid := os.fork()):
        grows(ctx, megabytes, seconds)
        os._exit(0)
    if below:
        os.waitpid(pid, 0)
        return 0
    data = bytearray(megabytes * 1_000_000)
    data[::4096] = b"x" * len(data[::4096])
    time.sleep(seconds)
    return len(data)


async def grows_beside(ctx: Any, megabytes: int) -> int:
    data = bytearray(megabytes * 1_000_000)
    data[::4096] = b"x" * len(data[::4096])
    await asyncio.sleep(3.0)
    return len(data)


def device(ctx: Any) -> str:
    time.sleep(0.3)
    return os.environ.get("TEST_DEVICES", "")
