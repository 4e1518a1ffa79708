"""What happens after a failure: when a child is tried again, and when its task fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Final, Self

from streamsched.domain.bounds import LONGEST_MS
from streamsched.domain.error_names import check_name, names_any
from streamsched.domain.failure_rules import FailureRule, read_rules
from streamsched.domain.refusal import FieldPath, TemplateError, check_whole, number_text

_RETRY: Final[FieldPath] = ("child", "retry")
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
            check_name(name, (*_RETRY, "non_retryable", position))

    def rules_out(self, error_type: str, error_types: Sequence[str]) -> bool:
        """Return whether an error allows no other attempt, because its class or one of its bases is named."""
        return any(names_any(name, error_type, error_types) for name in self.non_retryable)

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


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """How many failed children a task bears: a count, a percentage of all, both (either trips).

    ``on`` says what one too many does: ``fail_fast`` stops the task at once, with ``run_all`` it fails at its end. Of
    ``rules`` the first that matches a failure of a work child decides what becomes of the child.
    """

    count: int | None = None
    percent: float | None = None
    on: str = FAIL_FAST
    rules: tuple[FailureRule, ...] = ()

    def __post_init__(self) -> None:
        if self.on not in (FAIL_FAST, RUN_ALL):
            reason = f"{self.on!r} is not an action for too many failed children"
            raise TemplateError(reason, f"write {FAIL_FAST} or {RUN_ALL}", path=("failure", "on"))
        if self.count is not None:
            check_whole(self.count, (*_TOLERATE, "count"), 0)
        if self.percent is not None:
            _check_number(self.percent, (*_TOLERATE, "percent"), 0, 100)
            object.__setattr__(self, "percent", float(self.percent))
        object.__setattr__(self, "rules", read_rules(self.rules))

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
        """Write the policy as a JSON object; ``on`` and ``rules``, which came later, only where they are used."""
        fields: dict[str, object] = {"count": self.count, "percent": self.percent}
        fields |= {} if self.on == FAIL_FAST else {"on": self.on}
        return {**fields, "rules": [rule.to_dict() for rule in self.rules]} if self.rules else fields

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
