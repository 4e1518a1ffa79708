"""What goes into a handler, and what is said of its end."""

from __future__ import annotations

from typing import Any

from streamsched.domain import values
from streamsched.worker import errors
from streamsched.worker.jobs import Ending, Job, JobCompleted, JobFailed, JobStopped, Lack


def read_arguments(job: Job) -> dict[str, Any]:
    """Return a job's arguments; raises ``BadArguments``."""
    try:
        arguments = values.read(job.args)
        if isinstance(arguments, dict):
            return arguments
        found = f"it is a {type(arguments).__name__}"
    except ValueError as error:
        found = str(error)
    raise errors.BadArguments(f"the arguments are not a JSON object: {found}")


def ending_of(
    key: int, began_at: int, ended_at: int, *, failure: errors.ErrorReport | None, lack: Lack, stopped: bool,
    result: str | None, state: str | None, covered: int = 0,
) -> Ending:  # fmt: skip
    """Return how a job ended; times in milliseconds since the Unix epoch."""
    if failure is not None:
        return JobFailed(
            key=key, started_at=began_at, finished_at=ended_at, reason="error", state=state, lack=lack, covered=covered,
            **failure._asdict(),
        )  # fmt: skip
    if stopped:
        return JobStopped(key=key, started_at=began_at, finished_at=ended_at, state=state, covered=covered)
    return JobCompleted(key=key, started_at=began_at, finished_at=ended_at, result=result, state=state)
