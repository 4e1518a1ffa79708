"""What people do: each in a process of its own, with the real client."""

from __future__ import annotations

import json
from functools import partial

from streamsched.api.client import NoSuchTask, TaskConflict
from streamsched.domain import events as e
from tests.simulation.evidence import Submit
from tests.simulation.people import SimulatedClient
from tests.simulation.scenario import template, times
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


def set_schedule(world: World, schedule_id: str, delay: int = 0) -> None:
    """Let somebody make a schedule, or change it as it is then; now and then an older one than that."""
    rng = world.rng
    spec, policy = times(rng)
    made, children, late = template(rng), rng.choice((0, 0, 1, 1, 2, 3)), rng.random() < 0.1

    def act(client: SimulatedClient) -> None:
        world.archive.read()
        known = world.archive.schedules.get(schedule_id)
        version = 0 if known is None or known.deleted else known.version
        _tell(
            world, client, e.ScheduleSet, schedule_id, expected=max(0, version - late), spec=spec, policy=policy,
            template_name=made.name, template_version="1", template=made.to_json(),
            params=json.dumps({"n": children}), priority=0,
        )  # fmt: skip

    world.send(delay, f"sets {schedule_id} to {spec}, {policy}", act, repeated=True)


def pause_schedule(world: World, schedule_id: str, paused: bool) -> None:
    """Let somebody pause a schedule, or let it go on; it may be so already."""

    def act(client: SimulatedClient) -> None:
        _tell(world, client, e.SchedulePaused, schedule_id, paused=paused, note="")

    world.send(0, f"{'pauses' if paused else 'resumes'} {schedule_id}", act)


def trigger_schedule(world: World, schedule_id: str) -> None:
    """Let somebody want a task of a schedule now."""
    world.send(0, f"triggers {schedule_id}", lambda client: _tell(world, client, e.ScheduleTriggered, schedule_id))


def delete_schedule(world: World, schedule_id: str) -> None:
    """Let somebody end a schedule."""
    act = partial(_tell, world, cls=e.ScheduleDeleted, schedule_id=schedule_id, note="")
    world.send(0, f"deletes {schedule_id}", act)


def _tell(world: World, client: SimulatedClient, cls: type[e.Event], schedule_id: str, **fields: object) -> None:
    event = client._me.sign(cls, schedule_id=schedule_id, **fields)
    client._site.log.append([world.records.journal(event, schedule_id)])
