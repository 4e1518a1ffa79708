"""What clients do: each in a process of its own, with the real client."""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import Any, Final, cast

from streamsched.commands.backfills import WantedBackfill
from streamsched.commands.hold import NotHoldable
from streamsched.commands.limits import NotChangeable
from streamsched.commands.redrive import NotRedrivable
from streamsched.commands.request import TaskConflict
from streamsched.commands.schedules import ScheduleConflict
from streamsched.domain import events as e
from streamsched.domain.backfill import Reprocess
from streamsched.domain.errors import InputError, NoSuchSchedule, NoSuchTask
from streamsched.domain.schedule import Schedule
from streamsched.domain.selector import parse
from streamsched.log.port import TopicPartition
from streamsched.testing.site import MemoryClient
from tests.simulation.evidence import Submit
from tests.simulation.nodes import Node
from tests.simulation.scenario import template, times
from tests.simulation.world import World
from tests.support.clock import MachineClock

REDRIVES: Final = 2
"""After so many, nobody redrives a task any more."""
BACKFILLS: Final = 3
"""The same of a schedule's backfills."""


def submit(world: World, task_id: str, delay: int, *, children: int) -> None:
    """Let somebody ask for a task, with its own number of children or another one."""
    made = world.templates.get(task_id)
    if made is None:
        made = world.templates[task_id] = template(world.rng, world.plan)
        world.tasks.append(task_id)
        world.children[task_id] = children
    params = {"n": children}
    priority = world.rng.randrange(2)

    def act(client: MemoryClient) -> None:
        try:
            told = client.submit(made, params, task_id=task_id, priority=priority)
            world.submits.append(Submit(task_id, client.session.me.name, told.first))
        except TaskConflict:
            world.submits.append(Submit(task_id, client.session.me.name, None))

    world.send(delay, f"submits {task_id} with {children}", act, repeated=True)


def set_aside(world: World, place: TopicPartition, offset: int, delay: int) -> None:
    """Let somebody decide that a record of an unknown schema is rubbish."""

    def act(client: MemoryClient) -> None:
        try:
            client.set_aside(place.partition, offset, "a fault", topic=place.topic)
        except InputError:
            if place.topic == world.topics.events:
                raise  # it is settled and gone: that can only be in the work log

    world.send(delay, f"sets {place.topic}-{place.partition}/{offset} aside", act, repeated=True)


def mend_clock(world: World, node: Node, delay: int) -> None:
    """Let somebody set the clock of a machine right."""
    world.send(delay, f"mends the clock of {node.name}", lambda client: node.clock.mend())


def submit_unchecked(world: World, task_id: str) -> None:
    """Let somebody ask for a task that no scheduler can plan, past the client that would refuse it."""
    made = world.templates[task_id] = template(world.rng, world.plan)
    world.tasks.append(task_id)
    event = world.me.sign(
        e.TaskRequested, task_id=task_id, template_name=made.name, template_version="1", template=made.to_json(),
        params=json.dumps({"n": "many"}), priority=0, origin="test", traceparent=None,
    )  # fmt: skip
    world.outside.append([world.records.journal(event, task_id)])


def cancel(world: World, task_id: str, delay: int = 0, *, kill: bool = False) -> None:
    """Let somebody ask for the end of a task."""

    def act(client: MemoryClient) -> None:
        try:
            client.cancel(task_id, kill=kill)
        except NoSuchTask:
            return

    world.send(delay, f"{'terminates' if kill else 'cancels'} {task_id}", act)


def pause(world: World, task_id: str, rng: Random, delay: int = 0) -> None:
    """Let somebody pause a task, and somebody resume it later, at any rate, if it was paused in this redrive."""
    now, rest = rng.random() < 0.5, rng.randrange(1, 200)
    ahead = rng.choice((0, 0, 0, 0, -1, 1))

    def hold(client: MemoryClient) -> None:
        try:
            client.pause(task_id, now=now)
        except (NoSuchTask, NotHoldable):
            return

    def hold_blindly(client: MemoryClient) -> None:
        world.archive.read()
        if task_id in world.archive.requested:
            event = client.session.me.sign(
                e.TaskPaused, task_id=task_id, redrive=max(0, world.archive.redrives[task_id] + ahead), paused=True,
                now=now, reason="",
            )  # fmt: skip
            client.session.site.log.append([world.records.journal(event, task_id)])

    def let_go(client: MemoryClient) -> None:
        world.archive.read()
        if (task_id, world.archive.redrives[task_id]) not in world.archive.paused:
            return
        try:
            client.resume(task_id)
        except (NoSuchTask, NotHoldable):
            return

    how = f"{', now' if now else ''}{f', as of a redrive {ahead} ahead' if ahead else ''}"
    world.send(delay, f"pauses {task_id}{how}", hold_blindly if ahead else hold)
    world.send(delay + rest, f"resumes {task_id}", let_go, repeated=True)
    world.last.append((f"resumes {task_id} in the end", let_go))  # the pause may land later than that


def set_limits(world: World, task_id: str, rng: Random) -> None:
    """Let somebody change limits of a task, whatever they are."""
    choices: dict[str, tuple[object, ...]] = {
        "parallelism": (1, 2, 5, "none"), "rate": ("1/s", "5/s", "40/s", "none"), "priority": (-1, 0, 1, 5),
        "tolerate": (0, 2, "30%", "100%"), "deadline": ("1s", "3s", "30s", "none"),
    }  # fmt: skip
    limits: dict[str, Any] = {
        name: rng.choice(choices[name]) for name in rng.sample(sorted(choices), rng.randint(1, 3))
    }
    change_limits(world, task_id, limits)


def change_limits(world: World, task_id: str, limits: dict[str, Any], delay: int = 0) -> None:
    """Let somebody set these limits of a task."""

    def act(client: MemoryClient) -> None:
        try:
            client.set_limits(task_id, **limits)
        except (NoSuchTask, NotChangeable):
            return

    world.send(delay, f"sets {limits} of {task_id}", act)


def look(world: World, task_id: str, delay: int) -> None:
    """Let somebody look at a task and all its children."""

    def act(client: MemoryClient) -> None:
        try:
            status = client.status(task_id)
            children = list(client.children(task_id))
        except NoSuchTask:
            return
        if len(children) < status.children.total:
            world.faults.append(f"{client.session.me.name} saw {len(children)} children of {status.children.total}")

    world.send(delay, f"looks at {task_id}", act)


def set_schedule(world: World, schedule_id: str, delay: int = 0) -> None:
    """Let somebody make a schedule, or change it as it is then; now and then an older one than that."""
    rng = world.rng
    spec, policy = times(rng)
    made, children, late = template(rng, world.plan), rng.choice((0, 0, 1, 1, 2, 3)), rng.random() < 0.1

    def act(client: MemoryClient) -> None:
        world.archive.read()
        known = world.archive.schedules.get(schedule_id)
        version = 0 if known is None or known.deleted else known.version
        _tell(
            world, client, e.ScheduleSet, schedule_id, expected=max(0, version - late), spec=spec, policy=policy,
            template_name=made.name, template_version="1", template=made.to_json(),
            params=json.dumps({"n": children}), priority=0, level=made.level,
        )  # fmt: skip

    world.send(delay, f"sets {schedule_id} to {spec}, {policy}", act, repeated=True)


def pause_schedule(world: World, schedule_id: str, paused: bool) -> None:
    """Let somebody pause a schedule, or let it go on; it may be so already."""

    def act(client: MemoryClient) -> None:
        _tell(world, client, e.SchedulePaused, schedule_id, paused=paused, note="")

    world.send(0, f"{'pauses' if paused else 'resumes'} {schedule_id}", act)


def trigger_schedule(world: World, schedule_id: str) -> None:
    """Let somebody want a task of a schedule now."""
    world.send(0, f"triggers {schedule_id}", lambda client: _tell(world, client, e.ScheduleTriggered, schedule_id))


def delete_schedule(world: World, schedule_id: str) -> None:
    """Let somebody end a schedule."""
    act = partial(_tell, world, cls=e.ScheduleDeleted, schedule_id=schedule_id, note="")
    world.send(0, f"deletes {schedule_id}", act)


# --- once more ------------------------------------------------------------------------------------------------------


def redrive(world: World, task_id: str, delay: int, rng: Random) -> None:
    """Let somebody have a task go on that has ended by then."""
    everything, restart, where = rng.random() < 0.4, rng.random() < 0.3, selector(rng)
    wait = rng.randrange(4, 40)

    def act(client: MemoryClient) -> None:
        if _often(world, task_id):
            return
        try:
            client.redrive(task_id, where=where, everything=everything, restart=restart)
            world.claims[client.session.me.name] = True
            if where is not None:
                world.send(wait, "has a scheduler killed", lambda client: _kill_scheduler(world))
        except (NoSuchTask, NotRedrivable):
            world.claims[client.session.me.name] = False

    how = f"{'all' if everything else 'what failed'} of {task_id}{', from the beginning' if restart else ''}"
    how += f", where {where}" if where else ""
    world.send(delay, f"redrives {how}", act)


def _kill_scheduler(world: World) -> None:
    """End one without a word, while a task may select, unless the trouble is over."""
    ready = [node for node in world.nodes if node.role == "scheduler" and not node.busy]
    if ready and world.chaos:
        world.happens("killed", f"{ready[0].name} is killed")
        world.die(ready[0])


def selector(rng: Random) -> str | None:
    """Draw which children a redrive means; None: all of them."""
    if rng.random() < 0.5:
        return None
    first = rng.randint(0, 4)
    clauses = [
        f"index={first}..{first + rng.randint(0, 6)}", rng.choice(("state=failed", "state=cancelled|failed")),
        "attempts>=1",
    ]  # fmt: skip
    return " and ".join(rng.sample(clauses, rng.randint(1, 3)))


def redrive_blindly(world: World, task_id: str, rng: Random) -> None:
    """Let somebody redrive a task without a look at it, past the client: as the next number, or as another."""
    ahead, scope, restart = rng.choice((-1, 0, 1, 1, 1, 2)), rng.choice(("failed", "all")), rng.random() < 0.3
    where = selector(rng)

    def act(client: MemoryClient) -> None:
        if not _often(world, task_id):
            event = client.session.me.sign(
                e.TaskRedriven, task_id=task_id, redrive=max(0, world.archive.redrives[task_id] + ahead), scope=scope,
                restart=restart, origin="", reason="", selector=None if where is None else parse(where),
            )  # fmt: skip
            client.session.site.log.append([world.records.journal(event, task_id)])

    world.send(0, f"redrives {task_id}, {scope}, {ahead} ahead", act)


def _often(world: World, task_id: str) -> bool:
    world.archive.read()
    return world.archive.redrives[task_id] >= REDRIVES


def backfill(world: World, schedule_id: str, delay: int, rng: Random) -> None:
    """Let somebody have a few past times of a schedule gone through once more, some of them before its creation.

    Some are still to come: whoever asks has a clock that is ahead.
    """
    before, length = rng.choice((0, rng.randrange(9_000), None)), rng.randrange(1_000, 9_000)
    reprocess, max_active = rng.choice(list(Reprocess)), rng.randint(1, 3)
    newest_first, as_of_now = rng.random() < 0.4, rng.random() < 0.4
    ahead = rng.choice((0, 1_000, 4_000, 8_000))

    def act(client: MemoryClient) -> None:
        known = _backfillable(world, schedule_id)
        if known is None:
            return
        cast(MachineClock, client.session.me.clock).jump(ahead)
        now = client.session.me.clock.now()
        start = known.created_at - 3_000 if before is None else now - length - before
        try:
            wanted = WantedBackfill(
                start=start, end=min(start + length, now), reprocess=reprocess, max_active=max_active,
                newest_first=newest_first, as_of_now=as_of_now,
            )  # fmt: skip
            client.backfill(schedule_id, wanted)
            world.claims[client.session.me.name] = True
        except (NoSuchSchedule, InputError):
            world.claims[client.session.me.name] = False

    order = "backwards" if newest_first else "forwards"
    world.send(delay, f"backfills {schedule_id}: {reprocess}, {order}, {max_active} at once", act)


def backfill_stale(world: World, schedule_id: str, rng: Random) -> None:
    """Let somebody ask for a backfill past the client, as another number than the next, or while one goes on."""
    ahead = rng.choice((0, 1, 2))

    def act(client: MemoryClient) -> None:
        known = _backfillable(world, schedule_id)
        if known is None:
            return
        body, now = known.now.body, client.session.me.clock.now()
        part = e.BackfillPart(
            now - 3_000, now, body.spec, body.template_name, body.template_version, body.template, body.params, 0,
            body.level,
        )  # fmt: skip
        _tell(
            world, client, e.BackfillRequested, schedule_id, backfill=max(1, known.backfills + ahead),
            reprocess="missing", max_active=1, newest_first=False, parts=(part,), note="",
        )  # fmt: skip

    world.send(0, f"backfills {schedule_id} as the number {ahead} ahead", act)


def _backfillable(world: World, schedule_id: str) -> Schedule | None:
    """Find a schedule that has not had too many backfills."""
    world.archive.read()
    known = world.archive.schedules.get(schedule_id)
    return None if known is None or known.backfills >= BACKFILLS else known


def cancel_backfill(world: World, schedule_id: str) -> None:
    """Let somebody end a schedule's backfill."""

    def act(client: MemoryClient) -> None:
        try:
            client.cancel_backfill(schedule_id)
        except (NoSuchSchedule, ScheduleConflict):
            return

    world.send(0, f"cancels the backfill of {schedule_id}", act)


def _tell(world: World, client: MemoryClient, cls: type[e.Event], schedule_id: str, **fields: object) -> None:
    event = client.session.me.sign(cls, schedule_id=schedule_id, **fields)
    client.session.site.log.append([world.records.journal(event, schedule_id)])
