"""Change the limits of a task that has not ended: what people write, and the event that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from streamsched.commands.effect import overtaken, take_effect
from streamsched.domain import duration
from streamsched.domain.bounds import COUNT_END, TIME_END
from streamsched.domain.calendar import moment
from streamsched.domain.errors import Conflict, InputError
from streamsched.domain.events import TaskLimitsChanged, Tolerance
from streamsched.domain.fairness import WEIGHT_LIMIT
from streamsched.domain.limits import ANY_RATE, read_rate
from streamsched.domain.phases import OPEN
from streamsched.domain.policy import FailurePolicy
from streamsched.domain.refusal import TemplateError, check_whole, suggest
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.queries.documents import millis_of
from streamsched.queries.status import TaskStatus, status_of
from streamsched.queries.tasks import Tasks

NONE: Final = "none"
"""What people write to take a limit away."""


class NotChangeable(Conflict):
    """The task is in a state in which it has no use for limits. Nothing took effect."""


def set_limits(session: Session, task_id: str, limits: Mapping[str, object], reason: str) -> TaskStatus:
    """Replace the limits that are named; returns the status after that. Raise NoSuchTask, NotChangeable, InputError."""
    fields = read_limits(limits, session.me.clock.now())
    task = Tasks(session).find(task_id)
    _check(task)
    event = session.me.sign(
        TaskLimitsChanged, task_id=task_id, redrive=task.redrive,
        reason=reason or f"set by {session.me.name}", **fields,
    )  # fmt: skip
    task, did = take_effect(session, task, event)
    if not did:
        _check(task)
        raise NotChangeable(*overtaken(task_id))
    return status_of(task)


def read_limits(limits: Mapping[str, object], now: int) -> dict[str, Any]:
    """Read limits by their names; returns all fields of the event, None where they stay. Raise InputError."""
    if not limits:
        raise InputError("there is nothing to change", f"write NAME=VALUE, with one of {', '.join(_READERS)}")
    fields: dict[str, Any] = dict.fromkeys(_READERS)
    for name, value in limits.items():
        if name not in _READERS:
            raise InputError(f"unknown limit {name!r}", suggest(name, _READERS), field="limits")
        try:
            fields[name] = _READERS[name](value, now)
        except TemplateError as error:
            raise InputError(error.reason, error.remedy, field=name) from None
    return fields


def _check(task: Task) -> None:
    if task.phase not in OPEN:
        remedy = "it ends without another dispatch"
        if task.terminal:
            remedy = f"'streamsched redrive {task.task_id}' runs what did not succeed again, then set them"
        reason = f"task {task.task_id!r} is {task.phase}: only one that is {', '.join(sorted(OPEN))} has limits to set"
        raise NotChangeable(reason, remedy)


def _whole(value: object) -> object:
    """Read a number that may be written as text; anything else is left, and refused as it is."""
    text = value.removeprefix("-") if isinstance(value, str) else ""
    return int(str(value)) if text.isascii() and text.isdecimal() and len(text) <= 20 else value


def _parallelism(value: object, now: int) -> object:
    if value == NONE:
        return 0
    number = _whole(value)
    if number == 0:
        remedy = f"write 1 or more, or {NONE} for any number; 'streamsched pause' holds a task"
        raise TemplateError("0 would let nothing run", remedy)
    check_whole(number, ("parallelism",), 1, COUNT_END - 1)
    return number


def _rate(value: object, now: int) -> object:
    return ANY_RATE if value == NONE else read_rate(value, ("rate",))


def _priority(value: object, now: int) -> object:
    number = _whole(value)
    check_whole(number, ("priority",), -COUNT_END, COUNT_END - 1)
    return number


def _weight(value: object, now: int) -> object:
    number = _whole(value)
    check_whole(number, ("weight",), 1, WEIGHT_LIMIT)
    return number


def _tolerate(value: object, now: int) -> object:
    number: Any = _whole(value)
    policy = FailurePolicy.tolerate(number)
    if policy.count is not None:
        check_whole(policy.count, ("tolerate",), 0, COUNT_END - 1)
    return Tolerance(policy.count, policy.percent)


def _deadline(value: object, now: int) -> object:
    if value == NONE:
        return 0
    at = millis_of(value) if isinstance(value, datetime) else moment.read(value)
    if at is None and (length := duration.read(value)):
        at = now + length
    if at is None:
        remedy = f"write how long from now (6h, 1h30m), a time with its offset (2026-12-01T08:00:00Z), or {NONE}"
        raise TemplateError(f"{value!r} is neither a duration nor a time", remedy)
    if not now < at < TIME_END:
        remedy = "write a time to come; to end the task now, 'streamsched cancel' it"
        raise TemplateError(f"{value} is not in the future" if at <= now else f"{value} is too far away", remedy)
    return at


_READERS: Final[dict[str, Callable[[object, int], object]]] = {
    "parallelism": _parallelism, "rate": _rate, "priority": _priority, "weight": _weight,
    "tolerate": _tolerate, "deadline": _deadline,
}  # fmt: skip
