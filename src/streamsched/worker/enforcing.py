"""How a pool holds what runs against its limits: it kills an executor, or cancels in it, or asks for jobs back."""

from __future__ import annotations

from typing import Final

from streamsched.worker import cancelling, wire
from streamsched.worker.exchange import Exchange
from streamsched.worker.kill_reason import KillReason, judge
from streamsched.worker.page import Current
from streamsched.worker.process import ExecutorProcess

RECALL_NS: Final = 100_000_000  # what waits behind a job that turned out this long is recalled


def enforce(executor: ExecutorProcess, exchange: Exchange, current: Current, now: int, awake: int) -> None:
    """Hold the job that runs against its limits; silence counts from ``awake`` on."""
    if current.key in executor.dropped:
        executor.kill(KillReason(current.key, "dropped"))
        return
    job = executor.held.get(current.key)
    if job is None:
        return  # its ending is here already
    kill_reason = judge(job, current, now, executor.stopping.get(job.key), awake)
    if kill_reason is not None:
        # Seen twice: the first look may have fallen between two jobs.
        if executor.suspect == job.key:
            executor.kill(kill_reason)
        executor.suspect = job.key
    _recall_behind(executor, exchange, current, now)


def enforce_in_lanes(executor: ExecutorProcess, exchange: Exchange, now: int, awake: int) -> None:
    """Hold the async jobs that run against their limits."""
    keys, kill_reason = cancelling.judge_lanes(executor, now, awake)
    for key in keys:
        exchange.send(executor, wire.Cancel(key))
    if kill_reason is not None:
        executor.kill(kill_reason)
    elif executor.lanes == 1 and (current := executor.look(now)) is not None:
        _recall_behind(executor, exchange, current, now)


def _recall_behind(executor: ExecutorProcess, exchange: Exchange, current: Current, now: int) -> None:
    """Ask back what waits behind a job that turned out to be long."""
    waits = len(executor.held) > executor.lanes
    if waits and executor.recalled != current.key and now - current.started > RECALL_NS:
        executor.recalled = current.key
        exchange.ask_back(executor, wire.Recall(None))
