"""Which executor gets a job that wants more than a free one: a setup that is warm there, or others like it beside it.

Such jobs, and all that come behind them, wait in the pool in their order until an executor takes the first of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from streamsched.domain.options import Options, options_in
from streamsched.worker.jobs import Job
from streamsched.worker.process import ExecutorProcess

SUSPECTS: Final = 10_000
"""Children of which it is kept that each is to run alone; then it begins anew."""


class Placement:
    """The jobs of a pool that wait for an executor, and the children that are to run alone."""

    def __init__(self) -> None:
        self.waiting: deque[Job] = deque()
        self._suspects: set[tuple[str, int]] = set()

    def concerns(self, jobs: Sequence[Job], executors: Iterable[ExecutorProcess]) -> bool:
        """Return whether these jobs are to be placed here; others go to whichever executor holds the fewest."""
        return (
            bool(self.waiting)
            or any(job.options is not None for job in jobs)
            or any(executor.shares for executor in executors)
        )

    def suspect(self, jobs: Iterable[Job]) -> None:
        """Note that each of these is to run alone next: they ran side by side where something went wrong."""
        if len(self._suspects) > SUSPECTS:
            self._suspects.clear()
        self._suspects.update((job.task_id, job.child) for job in jobs)

    def take(
        self, executors: Sequence[ExecutorProcess], most: Callable[[ExecutorProcess], int]
    ) -> dict[ExecutorProcess, list[Job]]:
        """Take the jobs from the front for which there is an executor; ``most``: how many jobs one may hold."""
        shares: dict[ExecutorProcess, list[Job]] = {}
        while self.waiting:
            job = self.waiting[0]
            options, alone = options_in(job.options), (job.task_id, job.child) in self._suspects
            able = [each for each in executors if _may_take(each, job, options, most(each), alone=alone)]
            if not able:
                break
            executor = min(able, key=lambda each: _cost(each, options))
            self.waiting.popleft()
            self._suspects.discard((job.task_id, job.child))
            executor.take(job, options, alone=alone)
            shares.setdefault(executor, []).append(job)
        return shares

    def remove(self, keys: Collection[int]) -> list[int]:
        """Remove jobs that wait; return the keys of those that did."""
        found = [job.key for job in self.waiting if job.key in keys]
        if found:
            self.waiting = deque(job for job in self.waiting if job.key not in keys)
        return found


def _may_take(executor: ExecutorProcess, job: Job, options: Options, most: int, *, alone: bool) -> bool:
    if not executor.takes:
        return False
    if not executor.held:
        return True
    if alone or executor.alone or len(executor.held) >= most:
        return False
    if options.setup and options.setup != executor.setup:
        return False
    together = options.concurrency is not None or executor.shares
    return not together or executor.kind == (job.handler, job.options)


def _cost(executor: ExecutorProcess, options: Options) -> tuple[int, int]:
    """Put first where the setup is warm, then where none is, then who holds the fewest."""
    cold = options.setup is not None and executor.setup != options.setup
    return cold + (cold and bool(executor.setup)), len(executor.held)
