"""How the pool ends an async child that has to go: its coroutine is cancelled, and only then its executor killed.

Others may run beside it. A kill costs them what they did since their last checkpoints, and no attempt.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streamsched.worker.jobs import JobFailed, JobStopped, News
from streamsched.worker.kill_reason import KillReason, death_ending, judge
from streamsched.worker.page import Current
from streamsched.worker.process import ExecutorProcess

CANCEL_NS: Final = 1_000_000_000
"""In which a coroutine that was cancelled may end."""
_LIMITS: Final = ("timeout", "heartbeat")


def early(grace_ns: int) -> int:
    """Return how long before the end of its grace a child is cancelled."""
    return min(CANCEL_NS, grace_ns // 2)


def judge_lanes(executor: ExecutorProcess, now: int, awake: int) -> tuple[list[int], KillReason | None]:
    """Return which async jobs are to be cancelled from now on, and why their executor is to be killed, if it is.

    A job that holds up the loop pays for the limits that others break meanwhile. What it held up counts as silent only
    from then on.
    """
    blocker = executor.page.blocker()
    if blocker in executor.held:
        executor.blocked_at = executor.blocked_at or now
        executor.freed_at = now
    else:
        blocker, executor.blocked_at, awake = -1, 0, max(awake, executor.freed_at)
    found: list[int] = []
    for current in executor.look_at_lanes(now):
        kill_reason = None if current.key in executor.cancelled else _reason_of(executor, current, now, awake)
        if kill_reason is None:
            continue
        if blocker in (-1, current.key) or kill_reason.reason not in _LIMITS:
            executor.cancelled[current.key] = kill_reason, now + CANCEL_NS
            found.append(current.key)
        elif now - executor.blocked_at > CANCEL_NS:
            message = "it held up the event loop of its executor, until others broke their limits"
            return found, KillReason(blocker, "heartbeat", message)
    return found, _overdue(executor, now, blocker)


def _reason_of(executor: ExecutorProcess, current: Current, now: int, awake: int) -> KillReason | None:
    if current.key in executor.dropped:
        return KillReason(current.key, "dropped")
    job = executor.held.get(current.key)
    return None if job is None else judge(job, current, now, executor.stopping.get(current.key), awake)


def _overdue(executor: ExecutorProcess, now: int, blocker: int) -> KillReason | None:
    """Return why a job did not have to be waited for that was cancelled: its time is over, or it hears nothing."""
    for kill_reason, until in executor.cancelled.values():
        if now > until or (blocker == kill_reason.key and kill_reason.reason in _LIMITS):
            return kill_reason
    return None


def named(executor: ExecutorProcess, item: News) -> News:
    """Name the limit in the ending of a child that was cancelled for it."""
    reason, _ = executor.cancelled.pop(item.key, (None, 0))
    if reason is None or reason.reason == "stopped" or not isinstance(item, JobStopped | JobFailed):
        return item
    ending = death_ending(reason, item.key, item.started_at, item.finished_at, "")
    return msgspec.structs.replace(ending, state=item.state)
