"""What goes into a handler, and what is said of its end."""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Outcome(NamedTuple):
    """How an attempt went: it returned, failed (``lack``: it could not begin here), or stopped on request.

    ``output``: the end of what it had printed, where it failed.
    """

    result: str | None = None
    failure: errors.ErrorReport | None = None
    lack: Lack = ""
    stopped: bool = False
    output: str = ""


def raised(error: BaseException, *, begun: bool, may_stop: bool) -> Outcome:
    """Return what an error makes of an attempt. ``may_stop``: a stop was asked for, and this error may obey it."""
    if may_stop:
        return Outcome(stopped=True)
    lacks = not begun and isinstance(error, errors.HandlerNotAllowed | errors.HandlerNotFound)
    return Outcome(failure=errors.describe(error), lack=error.lack if lacks else "")  # type: ignore[attr-defined]


def ending_of(
    key: int, began_at: int, ended_at: int, outcome: Outcome, state: str | None, covered: int = 0
) -> Ending:  # fmt: skip
    """Return how a job ended; times in milliseconds since the Unix epoch."""
    if outcome.failure is not None:
        return JobFailed(
            key=key, started_at=began_at, finished_at=ended_at, reason="error", state=state, lack=outcome.lack,
            covered=covered, output=outcome.output, **outcome.failure._asdict(),
        )  # fmt: skip
    if outcome.stopped:
        return JobStopped(key=key, started_at=began_at, finished_at=ended_at, state=state, covered=covered)
    return JobCompleted(key=key, started_at=began_at, finished_at=ended_at, result=outcome.result, state=state)
