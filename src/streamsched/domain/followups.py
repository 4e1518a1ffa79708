"""Follow-ups: what must be written beside an event, under another key and in the same transaction.

The table holds all pairs. The commit of a decision writes what the table says, and the audit (invariant 12) matches
both sides of every pair in the journal. So a new pair is a rule here, and is audited from the day it is added.

::

    schedule's partition            task's partition
    TicksDecided: fired     ──────▶ TaskRequested
    BackfillDecided: fired  ──────▶ TaskRequested
           ... redriven     ──────▶ TaskRedriven
    TickReopened            ◀────── the first ChildrenDispatched of a redrive
    TickEnded               ◀────── TaskSucceeded | TaskFailed | TaskCancelled | TaskRefused
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from streamsched.domain import events as e
from streamsched.domain.schedule import Schedule
from streamsched.domain.task import Task
from streamsched.domain.tick import origin_of, schedule_of, tick_id

AGREED: Final[dict[type[e.Event], tuple[str, ...]]] = {
    e.TickEnded: ("schedule_id", "task_id", "outcome", "redrive"),
    e.TickReopened: ("schedule_id", "task_id", "redrive"),
    e.TaskRequested: ("task_id", "origin"),
    e.TaskRedriven: ("task_id", "redrive", "origin"),
}
"""The events that may be follow-ups, and the fields that the event beside them decides. The first is the key."""
_OUTCOMES: Final[dict[type[e.Event], str]] = {
    e.TaskSucceeded: "succeeded", e.TaskFailed: "failed", e.TaskCancelled: "cancelled", e.TaskRefused: "refused",
}  # fmt: skip


class Followup(NamedTuple):
    """An event that must be written beside another one: its type, and the values of its agreed fields."""

    event: type[e.Event]
    values: tuple[Any, ...]

    @property
    def key(self) -> str:
        """The id under which it is written."""
        return str(self.values[0])

    @property
    def fields(self) -> dict[str, Any]:
        """The agreed fields by name."""
        return dict(zip(AGREED[self.event], self.values, strict=True))


def followups(state: Task | Schedule | None, event: e.Event) -> tuple[Followup, ...]:
    """Return what must be written beside an event. ``state`` is that of its task or schedule before the event."""
    rule = FOLLOWUPS.get(type(event))
    return () if rule is None else tuple(rule(state, event))


def as_followup(event: e.Event) -> Followup | None:
    """Return an event as the follow-up of another one; None where it was written for itself."""
    kind = type(event)
    if isinstance(event, e.TaskRequested | e.TaskRedriven):
        schedule_id = schedule_of(event.task_id) if event.origin else None
        if schedule_id is None or not event.origin.startswith(origin_of(schedule_id)):
            return None
    return Followup(kind, tuple(getattr(event, name) for name in AGREED[kind]))


def _fired(_: Any, event: e.TicksDecided) -> Iterator[Followup]:
    for run in event.ticks:
        if run.outcome == "fired":
            task_id = tick_id(event.schedule_id, run.kind, run.first)
            yield Followup(e.TaskRequested, (task_id, origin_of(event.schedule_id)))


def _backfilled(_: Any, event: e.BackfillDecided) -> Iterator[Followup]:
    origin = origin_of(event.schedule_id, event.backfill)
    for run in event.ticks:
        task_id = tick_id(event.schedule_id, "tick", run.first)
        if run.outcome == "fired":
            yield Followup(e.TaskRequested, (task_id, origin))
        elif run.outcome == "redriven":
            yield Followup(e.TaskRedriven, (task_id, run.redrive, origin))


def _tick_reopened(task: Task, event: e.ChildrenDispatched) -> Iterator[Followup]:
    schedule_id = schedule_of(event.task_id) if task.redrive and not task.reopened else None
    if schedule_id is not None:
        yield Followup(e.TickReopened, (schedule_id, event.task_id, task.redrive))


def _tick_ended(task: Task, event: Any) -> Iterator[Followup]:
    schedule_id = schedule_of(event.task_id)
    if schedule_id is not None:
        yield Followup(e.TickEnded, (schedule_id, event.task_id, _OUTCOMES[type(event)], task.redrive))


FOLLOWUPS: Final[dict[type[e.Event], Callable[[Any, Any], Iterator[Followup]]]] = {
    e.TicksDecided: _fired,
    e.BackfillDecided: _backfilled,
    e.ChildrenDispatched: _tick_reopened,
    **dict.fromkeys(_OUTCOMES, _tick_ended),
}
"""The events that have follow-ups, and the rule that names them."""
