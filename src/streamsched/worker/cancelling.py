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


def early(grace_ns: int) -> int:
    """Return how long before the end of its grace a child is cancelled."""
    return min(CANCEL_NS, grace_ns // 2)


def wants_cancel(executor: ExecutorProcess, current: Current, now: int, awake: int) -> bool:
    """Return whether a child has to go from now on that runs in a lane, and note why and until when it may end."""
    key = current.key
    if key in executor.cancelled:
        return False
    if key in executor.dropped:
        reason: KillReason | None = KillReason(key, "dropped")
    elif (job := executor.held.get(key)) is None:
        return False
    else:
        reason = judge(job, current, now, executor.stopping.get(key), awake)
    if reason is None:
        return False
    executor.cancelled[key] = reason, now + CANCEL_NS
    return True


def overdue(executor: ExecutorProcess, now: int) -> KillReason | None:
    """Return why to kill an executor: a child did not end that was cancelled, or one that blocks did not let it."""
    blocker = executor.page.blocker()
    for reason, until in executor.cancelled.values():
        blocks = blocker in executor.held and reason.reason in ("timeout", "heartbeat")
        if now > until or (blocks and blocker == reason.key):
            if blocks and blocker != reason.key:
                return KillReason(
                    blocker, "heartbeat", "it held up the event loop of its executor, until others broke their limits"
                )
            return reason
    return None


def named(executor: ExecutorProcess, item: News) -> News:
    """Name the limit in the ending of a child that was cancelled for it."""
    reason, _ = executor.cancelled.pop(item.key, (None, 0))
    if reason is None or reason.reason == "stopped" or not isinstance(item, JobStopped | JobFailed):
        return item
    ending = death_ending(reason, item.key, item.started_at, item.finished_at, "")
    return msgspec.structs.replace(ending, state=item.state)
