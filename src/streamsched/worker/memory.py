"""How much memory an executor has, with all that runs below it, and whether the kernel killed for want of it. Linux."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from streamsched.domain.options import options_in
from streamsched.worker import descendants, oom
from streamsched.worker.kill_reason import KillReason
from streamsched.worker.page import Current
from streamsched.worker.process import ExecutorProcess

LOOK_NS: Final = 200_000_000
"""Between two looks at one executor."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_FAST: Final = Path(f"/proc/self/task/{os.getpid()}/children").exists()


class MemoryWatch:
    """What a pool knows of the memory of its executors."""

    def __init__(self) -> None:
        self._kills = oom.kills()

    def judge(self, executor: ExecutorProcess, current: Current, now: int) -> KillReason | None:
        """Return why to kill an executor that has more memory than the job allows which runs there.

        Where several run it could be any of them: they run alone next.
        """
        job = executor.held.get(current.key)
        if job is None or job.options is None or now < executor.memory_look:
            return None
        limit = options_in(job.options).memory
        if limit is None:
            return None
        executor.memory_look = now + LOOK_NS
        used = used_bytes(executor.pid, limit)
        if used <= limit:
            return None
        message = f"its executor has {used / 1e6:,.0f} MB in memory, above child.memory, {limit / 1e6:,.0f} MB"
        beside = executor.has_lanes and len(executor.look_at_lanes(now)) > 1
        return KillReason(-1 if beside else current.key, "oom", message)

    def note_death(self, executor: ExecutorProcess) -> None:
        """Note where the kernel killed an executor for want of memory, as its cgroup counts."""
        if executor.was_killed and (kills := oom.kills()) > self._kills:
            self._kills = kills
            executor.starved = "the kernel killed its executor for want of memory, as its cgroup counts"


def used_bytes(pid: int, limit: int) -> int:
    """Return the bytes that a process and all below it have in memory; 0 where that cannot be told.

    What several share is counted for each, unless the sum is above ``limit``: then, at a higher price, once.
    """
    pids = [pid, *_below(pid)]
    resident = sum(map(_resident, pids))
    return resident if resident <= limit else min(resident, sum(map(_proportional, pids)) or resident)


def _below(pid: int) -> list[int]:
    if not _FAST:
        return descendants.below(pid)
    found = [pid]
    for each in found:
        found += _children_of(each)
    return found[1:]


def _children_of(pid: int) -> Iterator[int]:
    with suppress(OSError, ValueError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - pathlib costs twice as much
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123 - as above
                yield from map(int, file.read().split())


def _resident(pid: int) -> int:
    with suppress(OSError, ValueError), open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - as above
        return int(file.read().split()[1]) * _PAGE_BYTES
    return 0


def _proportional(pid: int) -> int:
    with suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123 - as above
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0
