"""Failure rules: what becomes of a work child after a failure. The first rule that matches decides. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from streamsched.domain.error_names import names_any
from streamsched.domain.refusal import FieldPath, TemplateError, check_whole, suggest

if TYPE_CHECKING:
    from streamsched.domain.events import ChildFailed

RETRY: Final = "retry"
FAIL: Final = "fail"
SKIP: Final = "skip"
FAIL_TASK: Final = "fail_task"
ACTIONS: Final = (RETRY, FAIL, SKIP, FAIL_TASK)
SKIPPED: Final = "skipped"
"""The reason for which a skipped child is cancelled."""
ERROR: Final = "error"
TIMEOUT: Final = "timeout"
HEARTBEAT: Final = "heartbeat"
POISON: Final = "poison"
WORKER_LOST: Final = "worker_lost"
REASONS: Final = (ERROR, TIMEOUT, HEARTBEAT, WORKER_LOST, POISON)
CONDITIONS: Final = ("error", "exit_code", "message", "reason")
MOST_RULES: Final = 100
LONGEST_MESSAGE: Final = 1_000
"""Characters; the message of a failure has at most 4 KiB."""
_RULES: Final[FieldPath] = ("failure", "rules")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """Failures that meet each condition that is given, and what to ``do`` about them.

    ``error`` names an error type (``error_names``), ``exit_code`` is that of a program (a signal's number below 0),
    ``message`` is a part of the message, ``reason`` is that of ``events.ChildFailed``.
    """

    do: str
    error: str | None = None
    exit_code: int | None = None
    message: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.error, str):  # one spelling for one type
            object.__setattr__(self, "error", self.error.removeprefix("builtins."))

    def matches(self, failure: ChildFailed) -> bool:
        """Return whether it is about this failure."""
        cause = failure.cause
        return (
            (self.reason is None or self.reason == failure.reason)
            and (self.exit_code is None or (cause is not None and self.exit_code == cause.exit_code))
            and (self.message is None or self.message in failure.message)
            and (
                self.error is None
                or names_any(self.error, failure.error_type, cause.error_types if cause is not None else ())
            )
        )

    def covers(self, other: FailureRule) -> bool:
        """Return whether it matches all that another one matches, so that this one never decides behind it."""
        return (
            self.reason in (None, other.reason)
            and self.exit_code in (None, other.exit_code)
            and (self.message is None or (other.message is not None and self.message in other.message))
            and (self.error is None or (other.error is not None and names_any(self.error, other.error, ())))
        )

    def to_dict(self) -> dict[str, object]:
        """Write the rule as a JSON object, without the conditions that are not given."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def check_form(self, path: FieldPath) -> None:
        """Refuse values of the wrong type or size, and a rule without a condition. Raise TemplateError."""
        if self.do not in ACTIONS:
            remedy = suggest(self.do, ACTIONS) if isinstance(self.do, str) else f"write one of {', '.join(ACTIONS)}"
            raise TemplateError(f"{self.do!r} is nothing to do about a failure", remedy, path=(*path, "do"))
        if all(getattr(self, name) is None for name in CONDITIONS):
            remedy = f"add one of {', '.join(CONDITIONS)}"
            raise TemplateError("the rule says nothing of the failures that it is for", remedy, path=path)
        if self.exit_code is not None:
            check_whole(self.exit_code, (*path, "exit_code"), -64, 255)
        for name in ("error", "message", "reason"):
            text = getattr(self, name)
            if text is not None and not (isinstance(text, str) and 0 < len(text) <= LONGEST_MESSAGE):
                reason = f"must be a text of 1 to {LONGEST_MESSAGE:,} characters"
                raise TemplateError(reason, "correct it, or remove it", path=(*path, name))


def read_rules(rules: Iterable[Mapping[str, Any] | FailureRule]) -> tuple[FailureRule, ...]:
    """Read rules as a template's JSON has them. Raise TemplateError, TypeError."""
    found = tuple(rule if isinstance(rule, FailureRule) else FailureRule(**rule) for rule in rules)
    if len(found) > MOST_RULES:
        raise TemplateError(f"has {len(found):,} rules, the limit is {MOST_RULES}", "write fewer", path=_RULES)
    for position, rule in enumerate(found):
        rule.check_form((*_RULES, position))
    return found


def decision(rules: Sequence[FailureRule], failure: ChildFailed) -> str | None:
    """Return what to do about a failure; None where no rule matches it."""
    return next((rule.do for rule in rules if rule.matches(failure)), None)
