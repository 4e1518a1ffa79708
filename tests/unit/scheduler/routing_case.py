"""Tasks of different handlers, and workers that announce what they run."""

from __future__ import annotations

import json
from collections.abc import Sequence

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.param import Param
from streamsched.domain.routing import COMMAND, Requirement
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.task import Load, Task
from streamsched.domain.template import ChildSpec, Command, Template

ID = b"0123456789abcdef"


def template_of(handler: str) -> Template:
    """Make a template with a handler, or the program of ``$ PROGRAM``."""
    program = handler.removeprefix(COMMAND)
    is_program = program != handler
    return Template(
        name="t", params={"n": Param(type="integer")}, split=RangeSplit(first=1, last="${n}", size=1),
        child=ChildSpec(command=Command(words=[program])) if is_program else ChildSpec(handler=handler),
    )  # fmt: skip


def request_of(task_id: str, handler: str, children: int = 10) -> e.TaskRequested:
    params = json.dumps({"n": children})
    return e.TaskRequested(ID, 1_000, "me", task_id, "t", "1", template_of(handler).to_json(), params, 0, "test", None)


def task_of(task_id: str, handler: str, children: int = 10) -> Task:
    """Make a task that is planned, and owes a dispatch."""
    task = evolve(None, request_of(task_id, handler, children), Load())
    assert task is not None
    evolve(task, e.TaskPlanned(ID, 1_000, "me", task_id, 0, children, "{}", "", 0), task.load)
    return task


def needs(*tasks: Task) -> dict[str, Requirement]:
    return {task.task_id: task.requirement(0) for task in tasks}


def beat_of(
    node_id: str, modules: Sequence[str] | None, partitions: Sequence[int] = (0,), *, name: str = "", slots: int = 4
) -> e.NodeBeat:
    return e.NodeBeat(
        ID, 1_000, node_id, node_id, name or node_id, "worker", "1", "running", "m", "t", slots, slots, 0,
        tuple(partitions), (), 0, None if modules is None else tuple(modules),
    )  # fmt: skip


def returned(task: Task, node_id: str, *, code: str = "import", retry_after: int = 1_000) -> e.ChildReturned:
    why = e.Why(code, "no module named m", node_id, retry_after, False)
    return e.ChildReturned(ID, 2_000, node_id, task.task_id, 0, 1, 1, 1 << 32, 0, None, 0, "cannot", why)
