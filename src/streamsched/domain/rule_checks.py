"""Which failure rules can never decide anything about the children that a template has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamsched.domain.child_spec import ChildSpec
from streamsched.domain.command import FAIL
from streamsched.domain.error_names import check_name, names_any
from streamsched.domain.failure_rules import ERROR, HEARTBEAT, REASONS, RETRY, TIMEOUT, FailureRule
from streamsched.domain.refusal import FieldPath, TemplateError, suggest

_RULES: Final[FieldPath] = ("failure", "rules")


def check_rules(rules: Sequence[FailureRule], child: ChildSpec) -> None:
    """Refuse rules that can never decide anything about such children. Raise TemplateError."""
    for position, rule in enumerate(rules):
        path = (*_RULES, position)
        _check(rule, child, path)
        for before, earlier in enumerate(rules[:position]):
            if earlier.covers(rule):
                reason = f"never matches: rule {before} stands before it, and matches all that it does"
                raise TemplateError(reason, "remove it, or move it up", path=path)


def _check(rule: FailureRule, child: ChildSpec, path: FieldPath) -> None:
    if rule.error is not None:
        check_name(rule.error, (*path, "error"))
    if rule.reason is not None:
        _check_reason(rule, child, (*path, "reason"))
    if rule.exit_code is not None:
        _check_exit_code(rule, child, (*path, "exit_code"))
    if rule.do == RETRY:
        _check_retry(rule, child, path)


def _check_reason(rule: FailureRule, child: ChildSpec, path: FieldPath) -> None:
    if rule.reason not in REASONS:
        reason, remedy = f"{rule.reason!r} is not a reason of a failure", suggest(rule.reason or "", REASONS)
        raise TemplateError(reason, remedy, path=path)
    limit = {TIMEOUT: child.timeout_ms, HEARTBEAT: child.heartbeat_ms}.get(rule.reason, 1)
    if not limit:
        reason = f"never matches: the children have no {rule.reason}"
        raise TemplateError(reason, f"add child.{rule.reason}, or remove the rule", path=path)


def _check_exit_code(rule: FailureRule, child: ChildSpec, path: FieldPath) -> None:
    if child.command is None:
        reason = "never matches: the children run a handler, and only programs have exit codes"
        raise TemplateError(reason, "name its error in error, or write a command", path=path)
    if rule.exit_code == 0:
        raise TemplateError("never matches: exit code 0 is success", "write 1 to 255", path=path)
    if rule.reason not in (None, ERROR):
        reason = f"never matches: a failure with the reason {rule.reason} has no exit code"
        raise TemplateError(reason, f"remove exit_code, or write reason: {ERROR}", path=path)
    if rule.do == RETRY and child.command.exit_codes.get(str(rule.exit_code)) == FAIL:
        reason = f"contradicts child.exit_codes, which ends a child at once at {rule.exit_code}"
        raise TemplateError(reason, "keep one of them", path=path)


def _check_retry(rule: FailureRule, child: ChildSpec, path: FieldPath) -> None:
    if child.retry.max_attempts == 1:
        reason = "contradicts child.retry.max_attempts, which allows no other attempt"
        raise TemplateError(reason, "raise max_attempts, or remove the rule", path=(*path, "do"))
    told = rule.error if rule.exit_code is None else f"Exit{rule.exit_code}"
    for name in child.retry.non_retryable if told is not None else ():
        if names_any(name, told or "", ()):
            reason = f"contradicts child.retry.non_retryable, which has {name}"
            raise TemplateError(reason, "keep one of them", path=(*path, "do"))
