"""When an executor is to be killed, and what is said of the job that ran in one that died. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamsched.domain.bounds import TIME_END
from streamsched.worker.jobs import Job, JobFailed, JobStopped, News, Reason
from streamsched.worker.page import PREPARING, Current

AHEAD_NS = 1_000_000_000
"""How far ahead of the pool's clock a time on a page may be, nanoseconds: it was read a moment later."""


@dataclass(frozen=True, slots=True)
class KillReason:
    """Why the pool killed an executor: for this job, which broke a limit, did not stop, or is not wanted.

    ``protocol``: for no job yet, but because its link or its page cannot be from our own code. ``oom``: it has more
    memory than a job allows; the key is -1 where it could be any of several.
    """

    key: int
    reason: Literal["timeout", "heartbeat", "stopped", "dropped", "protocol", "oom"]
    message: str = ""


def judge(job: Job, current: Current, now: int, stop_by: int | None, awake: int = 0) -> KillReason | None:
    """Return whether the running job has to go; times in nanoseconds of the monotonic clock.

    Silence counts from ``awake`` on, when the judge itself was back: where a whole node was frozen, so were its jobs.
    Both limits count from the end of a setup that ran before the job; it may itself take as long as an attempt.
    """
    if stop_by is not None and now >= stop_by:
        return KillReason(job.key, "stopped")
    if job.timeout_ms and now - max(current.started, current.prepared) > job.timeout_ms * 1_000_000:
        return KillReason(job.key, "timeout", f"the attempt ran longer than {job.timeout_ms / 1000:g} s")
    if current.prepared == PREPARING:
        return None
    if job.heartbeat_ms and now - max(current.beat, current.prepared, awake) > job.heartbeat_ms * 1_000_000:
        limit = f"{job.heartbeat_ms / 1000:g} s"
        return KillReason(job.key, "heartbeat", f"no heartbeat or checkpoint for {limit}")
    return None


def possible(current: Current, now: int) -> bool:
    """Return whether these times can be those of a running job: with others it would evade its limits."""
    latest = now + AHEAD_NS
    sound = 0 < current.started <= latest and 0 < current.beat <= latest and 0 < current.started_at < TIME_END
    return sound and PREPARING <= current.prepared <= latest


def death_ending(kill_reason: KillReason | None, key: int, started_at: int, ended_at: int, cause: str) -> News:
    """Return the ending of the job that ran when its executor died; ``kill_reason`` None: the executor died by itself.

    Times in milliseconds since the Unix epoch.
    """
    reason: Reason = "error"
    error_type, message = "ExecutorDied", cause
    if kill_reason is not None:
        if kill_reason.reason == "stopped":
            return JobStopped(key=key, started_at=started_at, finished_at=ended_at, state=None)
        if kill_reason.reason == "timeout":
            reason, error_type, message = "timeout", "Timeout", kill_reason.message
        elif kill_reason.reason == "heartbeat":
            reason, error_type, message = "heartbeat", "HeartbeatLost", kill_reason.message
        elif kill_reason.reason == "oom":
            error_type, message = "oom", kill_reason.message
        elif kill_reason.reason == "protocol":
            return protocol_error(kill_reason.message, key, started_at, ended_at)
    return JobFailed(
        key=key, started_at=started_at, finished_at=ended_at, reason=reason, error_type=error_type, message=message,
        traceback="", retryable=True, delay_ms=None, state=None,
    )  # fmt: skip


def protocol_error(fault: str, key: int, started_at: int, ended_at: int) -> JobFailed:
    """Return the ending of a job whose executor did what our own code does not do."""
    return JobFailed(
        key=key, started_at=started_at, finished_at=ended_at, reason="error", error_type="ProtocolError",
        message=f"the handler broke the link between its executor and the worker: {fault}", traceback="",
        retryable=True, delay_ms=None, state=None,
    )  # fmt: skip
