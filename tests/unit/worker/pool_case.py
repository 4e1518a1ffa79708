"""A pool with a clock for patience: what the tests of the pool share."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from streamsched.worker.jobs import REPORTS, Ending, Job, JobCheckpointed, JobEmitted, News
from streamsched.worker.pool import ExecutorPool

N = TypeVar("N")
PATIENCE = 20.0
_keys = itertools.count(100)


def make_job(handler: str = "echo", **fields: Any) -> Job:
    """Make a job for a handler of ``pool_handlers``; arguments as a dict."""
    args = msgspec.json.encode(fields.pop("args", {})).decode()
    key = fields.pop("key", None)
    values: dict[str, Any] = {
        "task_id": "task", "child": 3, "attempt": 1, "state": None, "sequence": 0, "token": 9, "timeout_ms": 0,
        "heartbeat_ms": 0, **fields,
    }  # fmt: skip
    name = handler if ":" in handler else f"pool_handlers:{handler}"
    return Job(key=next(_keys) if key is None else key, handler=name, args=args, **values)


def unstamped(file: Path) -> str:
    """Read a file of output, and take the time off each line that has one."""
    return re.sub(r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", "", file.read_text(encoding="utf-8"))


class Case:
    """Submits to a pool and collects what it tells."""

    def __init__(self, pool: ExecutorPool) -> None:
        self.pool = pool
        self.news: list[News] = []

    def run(self, *jobs: Job) -> list[Ending]:
        """Submit the jobs, and return their endings in the order of the jobs."""
        self.pool.submit(jobs)
        return self.endings(*jobs)

    def one(self, job: Job, kind: type[N]) -> N:
        """Run one job, which must end like this."""
        (ending,) = self.run(job)
        assert isinstance(ending, kind), ending
        return ending

    def endings(self, *jobs: Job) -> list[Ending]:
        """Wait until each of these jobs has exactly one ending."""
        self.until(lambda: all(self.ending(job) is not None for job in jobs))
        found = [self.ending(job) for job in jobs]
        return [ending for ending in found if ending is not None]

    def ending(self, job: Job) -> Ending | None:
        """Return the ending of a job, if it came."""
        mine = [n for n in self.news if n.key == job.key and not isinstance(n, REPORTS)]
        assert len(mine) <= 1, mine
        return mine[0] if mine else None

    def checkpoints(self, job: Job) -> list[JobCheckpointed]:
        """Return what a job checkpointed so far."""
        return [n for n in self.news if isinstance(n, JobCheckpointed) and n.key == job.key]

    def emitted(self, job: Job) -> list[bytes | None]:
        """Return the values that a job emitted so far."""
        mine = [n for n in self.news if isinstance(n, JobEmitted) and n.key == job.key]
        return [record.value for part in mine for record in part.records]

    def until(self, done: Callable[[], object]) -> None:
        """Poll until something is true."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, self.news[-5:]
            self.news += self.pool.poll(0.02)

    def runs(self, job: Job) -> bool:
        """Say whether this job runs now."""
        return any(running.key == job.key for running in self.pool.running())
