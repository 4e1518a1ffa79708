"""Handlers with a defect that a file mends, and what they left behind about each of their runs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from streamsched import AsyncChildContext, ChildContext, NonRetryable

FAILS_ONCE: Final = frozenset({7, 8, 9})
"""Of each hundred children: three."""
FAILS: Final = 50
"""Of each two hundred children: one, as long as the defect is there."""
HANGS: Final = frozenset({1234, 5678})
KILLS_EXECUTOR: Final = 3333
KILLS_WORKERS: Final = 4444
KILLS_THRICE: Final = 6666
MENDED: Final = "mended"
STATE: Final = 1


def defective(children: int) -> frozenset[int]:
    """Return those of so many children that fail for good as long as the defect is there."""
    odd = {*HANGS, KILLS_EXECUTOR, KILLS_WORKERS}
    return frozenset(odd | set(range(FAILS, children, 200)))


def flaky(ctx: ChildContext, folder: str) -> int:
    """Note the run and the checkpoint that it begins from, take one, then do what this child's number says."""
    here, child = Path(folder), ctx.child_index
    begun = (ctx.last_checkpoint or {"step": 0})["step"]
    _note(here, f"{child} {begun} {ctx.attempt}")
    if child % 100 in FAILS_ONCE:
        if not begun:
            ctx.checkpoint({"step": STATE}, wait=True)
            raise ConnectionError(f"child {child} fails once")
    elif child == KILLS_THRICE:
        if not (here / MENDED).exists() and len(runs(here)[child]) <= 3:
            _kill_worker()
    elif child in defective(child + 1):
        if not begun:
            ctx.checkpoint({"step": STATE}, wait=True)
        if not (here / MENDED).exists():
            _fail(child)
    return child


def _fail(child: int) -> None:
    if child in HANGS:
        time.sleep(600)
    if child == KILLS_EXECUTOR:
        os.kill(os.getpid(), signal.SIGKILL)
    if child == KILLS_WORKERS:
        _kill_worker()
    raise KeyError(f"child {child}")


def _kill_worker() -> None:
    worker = [process for process in psutil.Process().parents() if "worker" in process.cmdline()][-1]
    worker.kill()
    time.sleep(600)


def odd(ctx: ChildContext, folder: str) -> None:
    """Fail for good in each fiftieth child, until the defect is mended."""
    if ctx.child_index % 50 == 0:
        if not (Path(folder) / MENDED).exists():
            raise NonRetryable(f"child {ctx.child_index}")
        _note(Path(folder), f"{ctx.child_index} 0 {ctx.attempt}")


async def waits(ctx: AsyncChildContext, seconds: float, folder: str) -> None:
    """Note the run, and sleep."""
    _note(Path(folder), f"{ctx.child_index} 0 {ctx.attempt}")
    await asyncio.sleep(seconds)


def stands(ctx: ChildContext, seconds: float, folder: str) -> None:
    """Note the run, and come to a safe point ten times a second."""
    _note(Path(folder), f"{ctx.child_index} 0 {ctx.attempt}")
    for _ in ctx.resume(range(int(10 * seconds))):
        time.sleep(0.1)


def deaf(ctx: ChildContext, seconds: float, folder: str) -> None:
    """Note the run, and come to no safe point."""
    _note(Path(folder), f"{ctx.child_index} 0 {ctx.attempt}")
    time.sleep(seconds)


@dataclass(frozen=True)
class Run:
    """One run of a handler: of which child, from which step, in which attempt."""

    child: int
    begun: int
    attempt: int


def runs(folder: Path) -> dict[int, list[Run]]:
    """Read what was noted, for each child."""
    found: dict[int, list[Run]] = defaultdict(list)
    for path in folder.glob("*.runs"):
        for line in path.read_text().splitlines():
            run = Run(*map(int, line.split()))
            found[run.child].append(run)
    return found


def _note(folder: Path, line: str) -> None:
    with (folder / f"{os.getpid()}.runs").open("a") as notes:
        notes.write(f"{line}\n")
