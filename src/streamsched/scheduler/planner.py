"""Turns a request into a plan, or refuses it. It resolves data and never runs user code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from streamsched.domain.events import TaskPlanned, TaskRefused
from streamsched.domain.limits import deadline_of
from streamsched.domain.splitting import Plan, plan
from streamsched.domain.task import Task
from streamsched.domain.template import TemplateError
from streamsched.domain.visible import visible
from streamsched.runtime.identity import Identity

REASON_LIMIT: Final = 2_000
"""Characters of a reason: it may quote what was refused, and that may be as large as a record."""


def plan_task(
    task: Task, me: Identity, basis: int, keep: Callable[[Task, Plan], object] = lambda task, plan: None
) -> TaskPlanned | TaskRefused:
    """Decide what becomes of a request; ``keep`` gets its plan, if there is one."""
    try:
        if task.fault:
            return _refused(task, me, basis, task.fault)
        made = plan(task.template, task.params(match=True))
    except TemplateError as error:
        return _refused(task, me, basis, str(error))
    keep(task, made)
    planned = me.sign(
        TaskPlanned,
        task_id=task.task_id,
        redrive=task.redrive,
        children=made.children,
        plan=made.document,
        digest=made.digest,
        basis=basis,
        fan_in=int(task.template.reduce is not None),
        split=made.split,
    )
    if task.limits.deadline is not None:  # people have set one, or it was redriven
        return planned
    return replace(planned, deadline=deadline_of(task.template.deadline_ms, task.request.at, planned.at))


def _refused(task: Task, me: Identity, basis: int, reason: str) -> TaskRefused:
    reason = visible(reason, REASON_LIMIT)  # it may quote half of a character, which no event can hold
    return me.sign(TaskRefused, task_id=task.task_id, request=task.request.event_id, reason=reason, basis=basis)
