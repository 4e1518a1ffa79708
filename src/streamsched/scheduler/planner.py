"""Turns a request into a plan, or refuses it. It resolves data and never runs user code."""

from __future__ import annotations

from typing import Final

from streamsched.domain.events import TaskPlanned, TaskRefused
from streamsched.domain.splitting import plan
from streamsched.domain.task import Task
from streamsched.domain.template import TemplateError
from streamsched.domain.visible import visible
from streamsched.runtime.identity import Identity

REASON_LIMIT: Final = 2_000
"""Characters of a reason: it may quote what was refused, and that may be as large as a record."""


def plan_task(task: Task, me: Identity, basis: int) -> TaskPlanned | TaskRefused:
    """Decide what becomes of a request."""
    try:
        if task.fault:
            return _refused(task, me, basis, task.fault)
        made = plan(task.template, task.params(match=True))
    except TemplateError as error:
        return _refused(task, me, basis, str(error))
    return me.sign(
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


def _refused(task: Task, me: Identity, basis: int, reason: str) -> TaskRefused:
    reason = visible(reason, REASON_LIMIT)  # it may quote half of a character, which no event can hold
    return me.sign(TaskRefused, task_id=task.task_id, request=task.request.event_id, reason=reason, basis=basis)
