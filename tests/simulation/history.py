"""A history from its seed: trouble for a while, then healing; and the judgement of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

from streamsched.audit.verify import verify
from streamsched.domain import events as e
from streamsched.domain.task import Task
from streamsched.scheduler.decider import REFUSALS
from streamsched.scheduler.node import Scheduler
from streamsched.view.rows import explain
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.simulation import actions, emits, routing
from tests.simulation.checker import check
from tests.simulation.evidence import Exhibits, Kept
from tests.simulation.faults import PAUSED, Fault
from tests.simulation.scenario import Scenario
from tests.simulation.world import CODEC, World
from tests.simulation.world_faults import inject
from tests.support.clients import Disk, Reader

FOLLOWING: Final = 2_000
"""Turns in which every node has to come to the end of the journal, once nothing is added."""
AT_ONCE: Final = 0.2
"""How likely somebody pauses a task at once, where tasks are paused: it may have no plan yet."""
TRANSACTIONS_END: Final = 11.0
"""Seconds after which no transaction of a dead node holds anything back."""


def live(world: World) -> None:
    """Live through a history."""
    plan, rng = world.plan, world.rng
    world.start("scheduler")
    world.start("worker")
    if not plan.kinds:
        routing.begin(world)
    world.chaos = True
    if rng.random() < 0.4:
        world.start("reader")
    for number in range(plan.tasks):
        task_id = f"task-{number}"
        if rng.random() < 0.03:
            actions.submit_unchecked(world, task_id)
            continue
        children = min(plan.children, rng.choice((0, 1, 2, 3, 5, 8, 8, 12, 20, 20, 20)))
        delay = rng.randrange(0, 60)
        actions.submit(world, task_id, delay, children=children)
        lot = Random(f"{task_id}/{delay}/{children}")
        if PAUSED in plan.kinds and lot.random() < AT_ONCE:
            actions.pause(world, task_id, lot, delay)
        if rng.random() < 0.3:
            actions.look(world, task_id, rng.randrange(60, 300))
    for number in range(plan.schedules):
        actions.set_schedule(world, f"schedule-{number}", rng.randrange(0, 40))
    for _ in range(plan.turns):
        world.turn()
    world.heal()
    world.rest()


def judge(world: World) -> list[str]:
    """Tell everything that is wrong with a history, in words."""
    world.archive.read()
    truth = View(MemoryStore(), CODEC)
    rows = _fold(truth, world.archive.journal)
    faults = world.faults + _refused(world.archive.journal) + _views(world, rows)
    archive = world.archive
    archive.read()
    shown = Exhibits(
        journal=archive.journal, work=archive.work, letters=archive.letters(),
        roomy="runs" not in world.plan.limits,
        evidence=world.evidence, submits=world.submits, told=world.told, claims=world.claims, torn=world.torn,
    )  # fmt: skip
    verdict = check(shown)
    faults += verdict.faults
    if world.places is not None:
        faults += emits.check(emits.read(world.outside), verdict.spans)
    for task_id, completed in verdict.completed.items():
        task = truth.task(task_id)
        if task is None or task.succeeded != completed:
            faults.append(f"{task_id}: the fold counts {task and task.succeeded} successes, not {completed}")
        groups = {key: (group.attempts, group.ended) for key, group in task.failures.items()} if task else {}
        if groups != verdict.failures[task_id]:
            faults.append(f"{task_id}: the fold groups failures as {groups}, not as {verdict.failures[task_id]}")
    for positions, found in world.snapshots[:2]:
        cut = [
            [record for record in records if record.offset < positions.get(number, 0)]
            for number, records in enumerate(archive.journal)
        ]
        if _fold(View(MemoryStore(), CODEC), cut) != found:
            faults.append(f"a view at {positions} is not the fold of the journal up to there")
    faults += routing.misplaced(world)
    if not world.plan.kinds:
        faults += routing.check(world)
    return faults + audited(world)


def audited(world: World) -> list[str]:
    """Let the product judge its own log: it never complains."""
    world.clock.advance(TRANSACTIONS_END)
    report = verify(log=world.outside, coordination=world.outside, topics=world.topics, codec=CODEC)
    # Of a task with a page that cannot be read it says what is missing.
    found = [each for each in report.violations if not (each.task_id in world.torn and each.invariant in (4, 13))]
    return [f"audit verify: {violation}" for violation in found]


def _fold(view: View, journal: Sequence[Sequence[Kept]]) -> dict[bytes, bytes]:
    """Fold the journal into an empty view; gives its rows."""
    disk = Disk()
    view._store = disk
    for records in journal:
        for record in records:
            if isinstance(record.event, e.Event):
                view.apply(record.event, record.partition)
                view.moved(record.partition, record.offset + 1)
    view.flush()
    return disk.rows()


def _refused(journal: Sequence[Sequence[Kept]]) -> list[str]:
    """Find what stood still: so many decisions about it in a row had no effect that more of them had to wait."""
    view = View(MemoryStore(), CODEC)
    voids, in_a_row = Counter[str](), Counter[str]()
    faults = []
    for record in (record for records in journal for record in records):
        state = view.apply(record.event, record.partition) if isinstance(record.event, e.Event) else None
        if state is None:
            continue
        key = state.task_id if isinstance(state, Task) else state.schedule_id
        if getattr(record.event, "basis", 0):  # it is a decision
            in_a_row[key] = in_a_row[key] + 1 if state.void > voids[key] else 0
            if in_a_row[key] == REFUSALS:
                faults.append(f"{key} stood still: {REFUSALS} decisions had no effect, the last one {record.event}")
        voids[key] = state.void
    return faults


def _views(world: World, rows: dict[bytes, bytes]) -> list[str]:
    """Let every node read to the end, and hold its view against the fold, byte for byte."""
    ends = {number: records[-1].offset + 1 for number, records in enumerate(world.archive.journal) if records}
    for _ in range(FOLLOWING):
        views = [node.machine.view for node in world.nodes if isinstance(node.machine, Scheduler)]
        if all(view.positions.get(number, 0) >= end for view in views for number, end in ends.items()):
            break
        world.turn()
    faults = []
    for node in list(world.nodes):  # while a reader reads, others go on, and new ones may start
        if node.disk is None:
            continue
        if isinstance(node.machine, Reader):
            node.busy = True  # it is in the middle of a look, whatever happens to others meanwhile
            node.machine.client.tasks()
            node.busy = False
        elif isinstance(node.machine, Scheduler):
            node.machine.view.flush()
        found = node.disk.rows()
        if found != rows:
            faults.append(f"the view of {node.name} is not the fold of the journal: {differing(found, rows)}")
    return faults


def differing(found: dict[bytes, bytes], wanted: dict[bytes, bytes]) -> str:
    """Name the rows that differ, the first of them in words."""
    keys = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    words = [explain(keys[0], rows[keys[0]]) if keys[0] in rows else "nothing" for rows in (found, wanted)]
    return f"{keys}; found {words[0]}, not {words[1]}"


def history(seed: int, plan: Scenario, script: Sequence[Fault] | None = None) -> World:
    """Make the world of a history, before anything happens."""
    return World(seed, plan, inject=inject, script=script)
