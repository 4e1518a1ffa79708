"""What happens after a failure: when a child is tried again, and when its task fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Final, Self

from streamsched.domain.bounds import LONGEST_MS
from streamsched.domain.refusal import FieldPath, TemplateError, check_whole, number_text

_RETRY: Final[FieldPath] = ("child", "retry")
_CLASS: Final = re.compile(r"[^\W\d]\w*(\.([^\W\d]\w*|<locals>))*")
_ALIASES: Final = {
    **dict.fromkeys(("IOError", "EnvironmentError", "os.error", "socket.error", "select.error"), "OSError"),
    **dict.fromkeys(("socket.timeout", "asyncio.TimeoutError", "concurrent.futures.TimeoutError"), "TimeoutError"),
}
"""Aliases of Python's error classes: no error bears such a name."""
_TOLERATE: Final[FieldPath] = ("failure", "tolerate")
FAIL_FAST: Final = "fail_fast"
RUN_ALL: Final = "run_all"


def _check_number(value: object, path: FieldPath, minimum: float, maximum: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        reason = f"must be a number from {minimum:g} to {maximum:g}, not {number_text(value)}"
        raise TemplateError(reason, "give a number in that range", path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is followed by another one (times in milliseconds).

    ``max_attempts`` counts the first one too; 0 is unlimited. ``max_interval_ms`` 0 becomes 100 times the initial
    interval. ``non_retryable`` names error types (``rules_out``). With ``reset_on_progress`` a new checkpoint resets
    the count.
    """

    max_attempts: int = 4
    initial_interval_ms: int = 1000
    backoff: float = 2.0
    max_interval_ms: int = 0
    non_retryable: tuple[str, ...] = ()
    reset_on_progress: bool = True

    def __post_init__(self) -> None:
        check_whole(self.max_attempts, (*_RETRY, "max_attempts"), 0)
        check_whole(self.initial_interval_ms, (*_RETRY, "initial_interval"), 0, LONGEST_MS // 100)
        check_whole(self.max_interval_ms, (*_RETRY, "max_interval"), 0, LONGEST_MS)
        _check_number(self.backoff, (*_RETRY, "backoff"), 1, 1000)
        names = self.non_retryable
        if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
            reason = "must be a list of error type names"
            raise TemplateError(reason, "write [ValueError]", path=(*_RETRY, "non_retryable"))
        if not isinstance(self.reset_on_progress, bool):
            raise TemplateError("must be true or false", "write true or false", path=(*_RETRY, "reset_on_progress"))
        # One spelling for one policy, so that equal policies have equal canonical JSON.
        object.__setattr__(self, "backoff", float(self.backoff))
        object.__setattr__(self, "non_retryable", tuple(names))
        if self.max_interval_ms == 0:
            object.__setattr__(self, "max_interval_ms", 100 * self.initial_interval_ms)

    def check_names(self) -> None:
        """Refuse a name in ``non_retryable`` that no class can have. Raise TemplateError."""
        for position, name in enumerate(self.non_retryable):
            if not _CLASS.fullmatch(name):
                reason, remedy = f"{name!r} is not a name of an error type", "write ValueError or package.module.Class"
                raise TemplateError(reason, remedy, path=(*_RETRY, "non_retryable", position))
            own = _ALIASES.get(name.removeprefix("builtins."))
            if own is not None:
                reason = f"{name} is an alias of {own}, and errors are reported as {own}"
                raise TemplateError(reason, f"write {own}", path=(*_RETRY, "non_retryable", position))

    def rules_out(self, error_type: str, error_types: Sequence[str]) -> bool:
        """Return whether an error allows no other attempt, because its class or one of its bases is named.

        A name is the class alone, or has its module or a package of that before it. ``error_type`` is the class alone,
        ``error_types`` are the class and its bases with their modules, as far as the worker sent them.
        """
        known = (error_type, *error_types)
        return any(_is_named(name.removeprefix("builtins."), kind) for name in self.non_retryable for kind in known)

    def delay_ms(self, attempt: int, salt: str) -> int:
        """Return the wait after failed attempt number ``attempt`` (from 1), in milliseconds.

        Full jitter, from a hash of salt and attempt: 0..min(max_interval, initial_interval * backoff ** (attempt - 1)).
        """
        try:
            bound = min(self.max_interval_ms, int(self.initial_interval_ms * self.backoff ** (attempt - 1)))
        except OverflowError:
            bound = self.max_interval_ms
        draw = int.from_bytes(sha256(f"{salt}/{attempt}".encode(errors="surrogatepass")).digest()[:8])
        return draw * (bound + 1) >> 64


def _is_named(name: str, kind: str) -> bool:
    package, _, simple = name.rpartition(".")
    return kind.rpartition(".")[2] == simple and (not package or kind.startswith(f"{package}."))


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """How many failed children a task bears: a count, a percentage of all, both (either trips).

    ``on`` says what one too many does: ``fail_fast`` stops the task at once, with ``run_all`` it fails at its end.
    """

    count: int | None = None
    percent: float | None = None
    on: str = FAIL_FAST

    def __post_init__(self) -> None:
        if self.on not in (FAIL_FAST, RUN_ALL):
            reason = f"{self.on!r} is not an action for too many failed children"
            raise TemplateError(reason, f"write {FAIL_FAST} or {RUN_ALL}", path=("failure", "on"))
        if self.count is not None:
            check_whole(self.count, (*_TOLERATE, "count"), 0)
        if self.percent is not None:
            _check_number(self.percent, (*_TOLERATE, "percent"), 0, 100)
            object.__setattr__(self, "percent", float(self.percent))

    @classmethod
    def tolerate(cls, value: int | str) -> Self:
        """Read a short form: ``5`` is a count of children, ``"1%"`` a percentage. Raise TemplateError."""
        if not isinstance(value, str):
            check_whole(value, _TOLERATE, 0)
            return cls(count=value)
        remedy = "write a count (5), a percentage (1%), or {count: 5, percent: 1}"
        try:
            if not value.endswith("%"):
                raise ValueError(value)
            percent = float(value[:-1])
        except ValueError:
            reason = f"{value!r} is neither a count nor a percentage"
            raise TemplateError(reason, remedy, path=_TOLERATE) from None
        if not 0 <= percent <= 100:
            raise TemplateError(f"{value} is not between 0% and 100%", remedy, path=_TOLERATE)
        return cls(percent=percent)

    def to_dict(self) -> dict[str, object]:
        """Write the policy as a JSON object; ``on`` only where it is not the default, as before there was one."""
        fields: dict[str, object] = {"count": self.count, "percent": self.percent}
        return fields if self.on == FAIL_FAST else {**fields, "on": self.on}

    def exceeded(self, failed: int, total: int) -> bool:
        """Return whether this many failed children of ``total`` (0: not known yet) fail the task.

        With neither value set the first failure is too many; 100 percent never is.
        """
        if self.count is None and self.percent is None:
            return failed > 0
        if self.count is not None and failed > self.count:
            return True
        if self.percent is None or total == 0:
            return False
        # Decimal: 0.57 % of 10,000 is 57 to people, a little less in binary.
        return failed * 100 > Decimal(repr(self.percent)) * total
