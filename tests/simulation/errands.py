"""What people do: each in a process of its own, with the real client."""

from __future__ import annotations

import json

from streamsched.api.client import NoSuchTask, TaskConflict
from streamsched.domain import events as e
from tests.simulation.evidence import Submit
from tests.simulation.people import SimulatedClient
from tests.simulation.scenario import template
from tests.simulation.world import World


def submit(world: World, task_id: str, delay: int, *, children: int) -> None:
    """Let somebody ask for a task, with its own number of children or another one."""
    made = world.templates.get(task_id)
    if made is None:
        made = world.templates[task_id] = template(world.rng)
        world.tasks.append(task_id)
        world.children[task_id] = children
    params = {"n": children}
    priority = world.rng.randrange(2)

    def act(client: SimulatedClient) -> None:
        try:
            told = client.submit(made, params, task_id=task_id, priority=priority)
            world.submits.append(Submit(task_id, client._me.name, told.first))
        except TaskConflict:
            world.submits.append(Submit(task_id, client._me.name, None))

    world.send(delay, f"submits {task_id} with {children}", act, repeated=True)


def submit_unchecked(world: World, task_id: str) -> None:
    """Let somebody ask for a task that no scheduler can plan, past the client that would refuse it."""
    made = world.templates[task_id] = template(world.rng)
    world.tasks.append(task_id)
    event = world.me.sign(
        e.TaskRequested, task_id=task_id, template_name=made.name, template_version="1", template=made.to_json(),
        params=json.dumps({"n": "many"}), priority=0, origin="test", traceparent=None,
    )  # fmt: skip
    world.outside.append([world.records.journal(event, task_id)])


def cancel(world: World, task_id: str, delay: int = 0) -> None:
    """Let somebody ask for the end of a task."""

    def act(client: SimulatedClient) -> None:
        try:
            client.cancel(task_id)
        except NoSuchTask:
            return

    world.send(delay, f"cancels {task_id}", act)


def look(world: World, task_id: str, delay: int) -> None:
    """Let somebody look at a task and all its children."""

    def act(client: SimulatedClient) -> None:
        try:
            status = client.status(task_id)
            children = list(client.children(task_id))
        except NoSuchTask:
            return
        if len(children) < status.children.total:
            world.faults.append(f"{client._me.name} saw {len(children)} children of {status.children.total}")

    world.send(delay, f"looks at {task_id}", act)
