"""The planner: turns a request into a plan, or refuses it. It resolves data; it never runs user code."""

from __future__ import annotations

import json

from streamsched.domain.events import TaskPlanned, TaskRefused
from streamsched.domain.splitting import plan
from streamsched.domain.task import Task
from streamsched.domain.template import TemplateError, resolve_params
from streamsched.runtime.identity import Identity


def plan_task(task: Task, me: Identity, basis: int) -> TaskPlanned | TaskRefused:
    """Decide what becomes of a request."""
    try:
        made = plan(task.template, resolve_params(task.template, json.loads(task.request.params)))
    except TemplateError as error:
        return me.sign(TaskRefused, task_id=task.task_id, request=task.request.event_id, reason=str(error), basis=basis)
    return me.sign(
        TaskPlanned,
        task_id=task.task_id,
        redrive=task.redrive,
        children=made.children,
        plan=made.document,
        digest=made.digest,
        basis=basis,
    )
