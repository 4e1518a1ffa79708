"""What a handler may raise to say more than "it failed", and how any error is told."""

from __future__ import annotations

import sys
from math import inf, isnan, nan
from typing import Any, Final, NamedTuple

from streamsched.domain.fingerprint import fingerprint
from streamsched.domain.kinds import names_of
from streamsched.worker import traces
from streamsched.worker.frames import user_frames
from streamsched.worker.jobs import Lack

SANE_RECURSION: Final = 500  # frames
LONGEST_DELAY_S: Final = 3650 * 86_400.0
"""Seconds that a wait before the next attempt may take, as in a template."""


class ChildError(Exception):
    """An error that knows how it should be retried.

    ``retry_after`` is the wait before the next attempt in seconds, in place of the policy's backoff.
    ``retryable=False`` ends the child at once, whatever attempts are left. A subclass may set either in its class.
    """

    retry_after: float | None = None
    retryable: bool = True

    def __init__(self, message: str, *, retry_after: float | None = None, retryable: bool = True) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.retryable = retryable


class NonRetryable(ChildError):
    """Trying again cannot help."""

    retryable = False

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class RetryAfter(ChildError):
    """Try again, but not before so many seconds."""

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(message or f"not before {seconds} s", retry_after=seconds)


class HandlerNotAllowed(NonRetryable):
    """The handler's module is not allowed on this worker; another one may allow it."""

    lack: Lack = "module"


class HandlerNotFound(NonRetryable):
    """The handler cannot be imported, or is not a function.

    ``lack`` is the code of ``events.Why`` where another worker, or this one later, may have it.
    """

    def __init__(self, message: str, *, lack: Lack = "") -> None:
        super().__init__(message)
        self.lack = lack


class CommandNotFound(HandlerNotFound):
    """The program of a child is not on this worker, or cannot be started here."""

    def __init__(self, message: str) -> None:
        super().__init__(message, lack="import")


class CommandFailed(ChildError):
    """A program did not end well; its subclasses are named after its end, as ``Exit3`` and ``SignalSIGSEGV``."""

    exit_code: int | None = None
    """Its exit code, or a signal's number below 0; None where it was not even started."""


class BadArguments(NonRetryable):
    """The arguments are not a JSON object, or not what the handler's annotations say."""


class ResultNotSerialisable(NonRetryable):
    """The handler returned a value that cannot be stored."""


class PayloadTooLarge(NonRetryable):
    """A result or a state is larger than an event may carry."""


class EmitRefused(NonRetryable):
    """A record that cannot be written: its topic is not allowed or not there, or it is too large or not a record."""


class EmitBufferFull(NonRetryable):
    """Too much was emitted that no checkpoint covers."""


class StopChild(BaseException):
    """Raised by calls of the context on a stop request. Not an ``Exception``, so that handlers do not catch it."""


_WITHOUT_FRAMES: Final = (  # only frames of this package
    HandlerNotAllowed, CommandNotFound, CommandFailed, BadArguments, ResultNotSerialisable,
)  # fmt: skip


class ErrorReport(NamedTuple):
    """An error in the words of ``JobFailed``."""

    error_type: str
    message: str
    traceback: str
    retryable: bool
    delay_ms: int | None
    error_types: tuple[str, ...]
    exit_code: int | None = None
    fingerprint: str = ""
    frames: tuple[str, ...] = ()


def describe(error: BaseException) -> ErrorReport:
    """Put an error into words; the first frame of its traceback, which called the handler, is left out.

    The error is the user's, of any shape (see ``traces``). What it says of its retry counts where it is of the right
    type, and is remarked on where it is not.
    """
    if sys.getrecursionlimit() < SANE_RECURSION:  # the handler's doing; even this function would hit it
        sys.setrecursionlimit(SANE_RECURSION)
    frames = traces.frames_of(error)
    frames = frames.tb_next if frames is not None else None
    # A TypeError without a frame of the handler: the arguments do not fit its parameters, now or ever.
    retryable = not (traces.is_a(error, TypeError) and frames is None)
    delay_ms = None
    remarks = ""
    if traces.is_a(error, ChildError):
        retryable, delay_ms, remarks = _wishes(error)
    bare = any(traces.is_a(error, own) for own in _WITHOUT_FRAMES)
    shown = "" if bare else traces.trace_of(error, frames)
    types, message, told = names_of(type(error)), traces.message_of(error), () if bare else user_frames(frames)
    return ErrorReport(
        traces.name_of(error), message, shown + remarks, retryable, delay_ms, types,
        exit_code=_exit_code(error), fingerprint=fingerprint(types[0], told, message), frames=told,
    )  # fmt: skip


def _exit_code(error: BaseException) -> int | None:
    code = _attribute(error, "exit_code") if traces.is_a(error, CommandFailed) else None
    return code if type(code) is int and -256 <= code < 1 << 32 else None


def _wishes(error: BaseException) -> tuple[bool, int | None, str]:
    """Return whether to retry, after how many milliseconds, and what to remark on wishes that are none."""
    remarks = ""
    retryable = _attribute(error, "retryable")
    if type(retryable) is not bool:
        remarks += f"(retryable is {_kind(retryable)}, not a bool: ignored)\n"
        retryable = not traces.is_a(error, NonRetryable)
    after = _attribute(error, "retry_after")
    if after is None:
        return retryable, None, remarks
    seconds = _seconds(after)
    if isnan(seconds):
        return retryable, None, f"{remarks}(retry_after is {_kind(after)}, not a number of seconds: ignored)\n"
    return retryable, round(min(max(0.0, seconds), LONGEST_DELAY_S) * 1000), remarks


def _seconds(after: Any) -> float:
    if type(after) in (bool, str, bytes, bytearray):  # float() takes some of these
        return nan
    try:
        try:
            return float(after)
        except OverflowError:
            return inf if after > 0 else 0.0
    except BaseException:  # whatever the value's own methods raise
        return nan


def _attribute(error: BaseException, name: str) -> object:
    try:
        return getattr(error, name)
    except BaseException as broken:  # a property of the user's
        return broken


def _kind(value: object) -> str:
    return "nan" if issubclass(type(value), float) else f"of type {traces.type_name(value)}"
