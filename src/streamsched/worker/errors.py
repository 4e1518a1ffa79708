"""What a handler may raise to say more than "it failed", and how any error is told."""

from __future__ import annotations

from typing import Final, NamedTuple

MESSAGE_LIMIT: Final = 4 * 1024
TRACEBACK_LIMIT: Final = 16 * 1024
LONGEST_DELAY: Final = 3650 * 86_400.0
"""Seconds that a wait before the next attempt may take, as in a template."""


class ChildError(Exception):
    """An error that knows how it should be retried.

    ``retry_after`` is the wait before the next attempt in seconds, in place of the policy's backoff.
    ``retryable=False`` ends the child at once, whatever attempts are left.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, retryable: bool = True) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.retryable = retryable


class NonRetryable(ChildError):
    """Trying again cannot help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class RetryAfter(ChildError):
    """Try again, but not before so many seconds."""

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(message or f"not before {seconds:g} s", retry_after=seconds)


class HandlerNotAllowed(NonRetryable):
    """The handler's module is none that this worker allows: another one may."""

    lack = "module"


class HandlerNotFound(NonRetryable):
    """The handler cannot be imported, or is no function.

    ``lack`` is the code of ``events.Why`` where another worker, or this one later, may have it.
    """

    def __init__(self, message: str, *, lack: str = "") -> None:
        super().__init__(message)
        self.lack = lack


class BadArguments(NonRetryable):
    """The arguments are not a JSON object."""


class ResultNotSerialisable(NonRetryable):
    """What the handler returned has no JSON form."""


class PayloadTooLarge(NonRetryable):
    """A result or a state is larger than an event may carry."""


class StopChild(BaseException):
    """Raised by the context's own calls when a stop was asked for; no ``Exception``, to pass through."""


class Telling(NamedTuple):
    """An error in the words of ``JobFailed``."""

    error_type: str
    message: str
    traceback: str
    retryable: bool
    delay_ms: int | None


def tell(error: BaseException) -> Telling:
    """Put an error into words; the first frame of its traceback, which called the handler, is left out."""
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    # A TypeError without a frame of the handler: the arguments do not fit its parameters, now or ever.
    retryable = not (isinstance(error, TypeError) and frames is None)
    delay_ms = None
    if isinstance(error, ChildError):
        retryable = error.retryable
        if error.retry_after is not None:
            delay_ms = round(min(max(0.0, error.retry_after), LONGEST_DELAY) * 1000)
    return Telling(type(error).__name__, _message(error), _traceback(error), retryable, delay_ms)


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a broken __str__ of the user's must not hide the error
        text = "(its message cannot be shown)"
    return cut(text or type(error).__name__, MESSAGE_LIMIT)


def _traceback(error: BaseException) -> str:
    import traceback  # late: most executors never need it

    if isinstance(error, HandlerNotAllowed | BadArguments | ResultNotSerialisable):
        return ""
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception:
        text = type(error).__name__
    return cut(text, TRACEBACK_LIMIT)


def cut(text: str, limit: int) -> str:
    """Shorten to ``limit`` bytes of UTF-8: a quarter from the beginning, the rest from the end."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > limit:
        gap = b"\n...\n"
        head = limit // 4
        data = data[:head] + gap + data[len(data) - (limit - head - len(gap)) :]
    return data.decode("utf-8", "ignore")
