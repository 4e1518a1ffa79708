"""What is done to the world between two steps: nodes, clocks, positions, and what people ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from streamsched.admin.repair import repair
from streamsched.domain import events as e
from streamsched.log.codec import MAGIC
from streamsched.log.core.store import group_key
from streamsched.log.port import Append, Headers, LogError, TopicPartition
from streamsched.runtime.identity import Identity
from tests.simulation import actions
from tests.simulation.emits import TOPICS
from tests.simulation.faults import BACKFILLS, EMITS, LIMITED, PAUSED, PLACED, REDRIVES, REDUCED, Fault
from tests.simulation.nodes import Node
from tests.simulation.routing import ELSEWHERE
from tests.simulation.scenario import LESSER
from tests.simulation.world import CODEC, JUMPS, World
from tests.support.clients import Disk, Site

NODES: Final = 6
"""Schedulers and workers that there are at most."""
REPAIRS: Final = 200
ONCE_MORE: Final = 12
"""How often people ask for redrives, and for backfills, in one history: it comes to an end."""


def inject(world: World, fault: Fault) -> None:
    """Make this fault happen, if it can."""
    for kinds in (BACKFILLS, REDRIVES):
        if fault.kind in kinds and sum(world.happened[kind] for kind in kinds) >= ONCE_MORE:
            return
    _INJECT[fault.kind](world, fault)


def _choose(items: Sequence[Node], amount: float) -> Node | None:
    return items[int(amount * len(items))] if items else None


def _ready(world: World, *roles: str) -> list[Node]:
    return [node for node in world.nodes if not node.busy and node.role in roles]


def _kill(world: World, fault: Fault) -> None:
    node = _choose(_ready(world, "scheduler", "worker", "reader"), fault.amount)
    if node is not None:
        world.happens(fault.kind, f"{node.name} is killed")
        world.die(node)


def _kill_frozen(world: World, fault: Fault) -> None:
    node = _choose([node for node in world.nodes if node.busy], fault.amount)
    if node is not None:
        world.happens(fault.kind, f"{node.name} is killed where it stands")
        world.die(node)


def _join(world: World, fault: Fault) -> None:
    role = ("scheduler", "worker", "worker", "reader")[int(fault.amount * 4)]
    fellows = [node for node in world.nodes if (node.role == "reader") == (role == "reader")]
    if len(fellows) < (2 if role == "reader" else NODES):
        world.happens(fault.kind, f"a {role} joins")
        world.start(role)


def _join_without(world: World, fault: Fault) -> None:
    """Let a worker join that may not run what there is; it inherits some of it."""
    if sum(node.role == "worker" for node in world.nodes) < NODES // 2:
        world.happens(fault.kind, "a worker joins that does not allow the module")
        world.start("worker", ELSEWHERE)


def _join_elsewhere(world: World, fault: Fault) -> None:
    """Let a worker join that serves fewer queues, or has other labels; it inherits what is not for it."""
    if sum(node.role == "worker" for node in world.nodes) < NODES // 2:
        place = LESSER[int(fault.amount * len(LESSER))]
        world.happens(fault.kind, f"a worker joins at {place}")
        world.start("worker", place=place)


def _fail_imports(world: World, fault: Fault) -> None:
    """Let a worker be unable to import anything, or able again."""
    node = _choose([node for node in world.nodes if node.role == "worker"], fault.amount)
    if node is not None:
        node.fails_imports = not node.fails_imports
        world.happens(fault.kind, f"{node.name}: imports {'fail' if node.fails_imports else 'work again'}", node)


def _drain(world: World, fault: Fault) -> None:
    node = _choose([node for node in _ready(world, "scheduler", "worker") if not node.draining], fault.amount)
    if node is not None:
        world.happens(fault.kind, f"{node.name} drains")
        world.drain(node)


def _drain_again(world: World, fault: Fault) -> None:
    node = _choose([node for node in _ready(world, "worker") if node.draining], fault.amount)
    if node is not None:
        world.happens(fault.kind, f"{node.name} drains at once", node)
        world.drain(node)


def _evict(world: World, fault: Fault) -> None:
    node = _choose([node for node in world.nodes if node.role in ("scheduler", "worker")], fault.amount)
    if node is not None:
        world.happens(fault.kind, f"{node.name} is evicted, though it lives", node)
        world.evict(node)


def _jump(world: World, fault: Fault) -> None:
    node = _choose(world.nodes, fault.amount)
    if node is not None:
        ms = JUMPS[int(fault.amount * 997) % len(JUMPS)]
        world.happens(fault.kind, f"the clock of {node.name} jumps by {ms} ms")
        node.clock.jump(ms)


def _far_off(world: World, fault: Fault) -> None:
    """Let the clock of a node be wrong by more than schedulers bear, for a while."""
    node = _choose([node for node in world.nodes if node.role in ("scheduler", "worker")], fault.amount)
    if node is not None:
        rng = Random(fault.amount)
        ms = rng.choice((-1, 1)) * rng.choice((61_000, 3_600_000, 86_400_000))
        world.happens(fault.kind, f"the clock of {node.name} goes wrong by {ms} ms")
        node.clock.jump(ms)
        actions.mend_clock(world, node, rng.randrange(150))


def _trouble_topic(world: World, fault: Fault) -> None:
    """Let a topic of users be sick, or gone, or let it be well again."""
    places = world.places
    if places is None:
        return
    topic = list(TOPICS)[int(fault.amount * 10) % len(TOPICS)]
    kept = places.sick if fault.kind == EMITS else places.gone
    if kept:
        kept.clear()
        world.tell("the topics are well again")
    else:
        kept.add(topic)
        world.happens(fault.kind, f"{fault.kind}: {topic}")


# --- people ---------------------------------------------------------------------------------------------------------


def _task(world: World, amount: float) -> str | None:
    known = [*world.tasks, *world.archive.ticking[-3:]]
    return known[int(amount * len(known))] if known else None


def _cancel(world: World, fault: Fault) -> None:
    task_id = _task(world, fault.amount)
    if task_id is not None:
        world.happens(fault.kind, f"{task_id} is to be cancelled")
        actions.cancel(world, task_id)


def _terminate(world: World, fault: Fault) -> None:
    """Terminate a task; perhaps it is redriven, and fails with children that run then."""
    task_id, rng = _task(world, fault.amount), Random(fault.amount)
    if task_id is not None:
        world.happens(fault.kind, f"{task_id} is to be terminated")
        actions.cancel(world, task_id, kill=True)
        if rng.random() < 0.7:
            delay = rng.randrange(40, 150)
            actions.redrive(world, task_id, delay, rng)
            actions.change_limits(world, task_id, {"deadline": "20ms"}, delay + rng.randrange(5, 60))


def _pause(world: World, fault: Fault) -> None:
    task_id = _task(world, fault.amount)
    if task_id is not None:
        world.happens(fault.kind, f"{task_id} is to be paused")
        actions.pause(world, task_id, Random(fault.amount))


def _set_limits(world: World, fault: Fault) -> None:
    """Set limits of a task; now and then no failure is tolerated any more of one that goes on with some."""
    world.archive.read()
    failing = sorted(world.archive.failing - world.archive.ended.keys())
    if failing and fault.amount * 97 % 1 < 0.3:
        failed = failing[int(fault.amount * len(failing))]
        world.happens(fault.kind, f"no failure of {failed} is to be tolerated any more")
        actions.change_limits(world, failed, {"tolerate": 0})
    elif (task_id := _task(world, fault.amount)) is not None:
        world.happens(fault.kind, f"limits of {task_id} are to be set")
        actions.set_limits(world, task_id, Random(fault.amount))


def _submit_again(world: World, fault: Fault) -> None:
    task_id = _task(world, fault.amount)
    if task_id in world.children:
        world.happens(fault.kind, f"{task_id} is submitted again")
        actions.submit(world, task_id, int(fault.amount * 997) % 100, children=world.children[task_id])


def _submit_otherwise(world: World, fault: Fault) -> None:
    task_id = _task(world, fault.amount)
    if task_id in world.children:
        world.happens(fault.kind, f"{task_id} is submitted again, with other parameters")
        actions.submit(world, task_id, int(fault.amount * 997) % 100, children=world.children[task_id] + 1)


def _change_schedule(world: World, fault: Fault) -> None:
    schedule_id = _schedule(world, fault)
    actions.set_schedule(world, schedule_id)


def _pause_schedule(world: World, fault: Fault) -> None:
    schedule_id = _schedule(world, fault)
    actions.pause_schedule(world, schedule_id, paused=fault.amount * 97 % 1 < 0.4)


def _trigger_schedule(world: World, fault: Fault) -> None:
    actions.trigger_schedule(world, _schedule(world, fault))


def _delete_schedule(world: World, fault: Fault) -> None:
    """Let one be deleted; mostly it is made again."""
    schedule_id = _schedule(world, fault)
    actions.delete_schedule(world, schedule_id)
    if fault.amount * 97 % 1 < 0.7:
        actions.set_schedule(world, schedule_id, int(fault.amount * 997) % 60)


def _schedule(world: World, fault: Fault) -> str:
    schedule_id = f"schedule-{int(fault.amount * world.plan.schedules)}"
    world.happens(fault.kind, f"{schedule_id}: {fault.kind}")
    return schedule_id


# --- once more ------------------------------------------------------------------------------------------------------


def _redrivable(world: World, fault: Fault) -> str | None:
    """Choose a task, one that has ended if there is any."""
    world.archive.read()
    known = [*world.archive.ended] or [*world.archive.requested]
    return sorted(known)[int(fault.amount * len(known))] if known else None


def _redrive(world: World, fault: Fault) -> None:
    task_id, rng = _redrivable(world, fault), Random(fault.amount)
    if task_id is not None:
        delay = rng.choice((0, rng.randrange(200)))  # it may be the time of healing then, and more have ended
        world.happens(fault.kind, f"{task_id} is to be redriven, in {delay} turns")
        actions.redrive(world, task_id, delay, rng)


def _redrive_by_two(world: World, fault: Fault) -> None:
    task_id, rng = _redrivable(world, fault), Random(fault.amount)
    if task_id is not None:
        delay = rng.choice((0, rng.randrange(200)))
        world.happens(fault.kind, f"{task_id} is to be redriven by two at once, in {delay} turns")
        for _ in range(2):
            actions.redrive(world, task_id, delay, rng)


def _redrive_blindly(world: World, fault: Fault) -> None:
    """Redrive a task whatever it does, as a number that need not be the next."""
    task_id, rng = _task(world, fault.amount), Random(fault.amount)
    if task_id is not None:
        world.happens(fault.kind, f"{task_id}: {fault.kind}")
        actions.redrive_blindly(world, task_id, rng)


def _reduce_anew(world: World, fault: Fault) -> None:
    """Redrive a task with a reduce that has ended; perhaps it is cancelled while that waits for its children."""
    world.archive.read()
    known = sorted(task_id for task_id in world.archive.ended if _has_reduce(world, task_id))
    if known:
        task_id, rng = known[int(fault.amount * len(known))], Random(fault.amount)
        world.happens(fault.kind, f"{task_id} is to be redriven, with its reduce")
        actions.redrive(world, task_id, 0, rng)
        if rng.random() < 0.6:
            actions.cancel(world, task_id, rng.randrange(60))


def _has_reduce(world: World, task_id: str) -> bool:
    return task_id in world.templates and world.templates[task_id].reduce is not None


def _backfill(world: World, fault: Fault) -> None:
    schedule_id, rng = _schedule(world, fault), Random(fault.amount)
    actions.backfill(world, schedule_id, rng.choice((0, rng.randrange(100))), rng)


def _backfill_stale(world: World, fault: Fault) -> None:
    actions.backfill_stale(world, _schedule(world, fault), Random(fault.amount))


def _cancel_backfill(world: World, fault: Fault) -> None:
    actions.cancel_backfill(world, _schedule(world, fault))


# --- poison ---------------------------------------------------------------------------------------------------------


def _rubbish(world: World, rng: Random) -> bytes | None:
    """Make up a value that is not an event, or none that belongs where it lies."""
    request = world.me.sign(e.TaskCancelRequested, task_id="nobody", redrive=0, reason="poison")
    whole = CODEC.encode(request)
    return rng.choice((None, b"", b"rubbish", MAGIC, whole[:-1], whole + b"x", whole[:10], whole))


def _poison_work(world: World, fault: Fault) -> None:
    rng = Random(fault.amount)
    headers: Headers = rng.choice(
        (
            (),
            (("task", b"nobody"), ("child", b"0"), ("ordinal", b"1")),
            (("task", b"nobody"), ("child", b"-1"), ("ordinal", b"x")),
            (("task", b"\xff\xfe"), ("child", b"\xff"), ("ordinal", b"")),
        )
    )
    _put_into_work_log(world, fault, _rubbish(world, rng), headers, rng)


def _poison_named(world: World, fault: Fault) -> None:
    rng = Random(fault.amount)
    world.archive.read()
    dispatches = [
        (event.task_id, child, release.ordinal)
        for kept in world.archive.journal
        for record in kept
        for event in (record.event,)
        if isinstance(event, e.ChildrenDispatched)
        for release in event.releases
        for child in range(release.first, release.last + 1)
    ]
    if dispatches:
        task_id, child, ordinal = rng.choice(dispatches[-10:])
        ordinal = max(1, ordinal - rng.randrange(2))  # an earlier dispatch, whose outcome is void
        headers = (("task", task_id.encode()), ("child", b"%d" % child), ("ordinal", b"%d" % ordinal))
        _put_into_work_log(world, fault, _rubbish(world, rng), headers, rng)


def _put_into_work_log(world: World, fault: Fault, value: bytes | None, headers: Headers, rng: Random) -> None:
    place = rng.choice(world.topics.work_log())
    (offset,) = world.outside.append([Append(place.topic, place.partition, b"poison", value, headers)])
    world.happens(fault.kind, f"{fault.kind}: {place.partition}/{offset}, headers {headers}")


def _newer(world: World, fault: Fault) -> None:
    place = Random(fault.amount).choice(world.topics.work_log())
    value = MAGIC + b"newer..." + b"body"
    (offset,) = world.outside.append([Append(place.topic, place.partition, b"newer", value, ())])
    world.happens(fault.kind, f"{fault.kind}: {place.partition}/{offset}")


def _newer_in_journal(world: World, fault: Fault) -> None:
    """Put one there; somebody sets it aside sooner or later, or its partition would stand still for ever."""
    rng = Random(fault.amount)
    place = rng.choice(world.topics.journal())
    value = MAGIC + rng.randbytes(8) + b"body"
    (offset,) = world.outside.append([Append(place.topic, place.partition, b"newer", value, ())])
    world.happens(fault.kind, f"{fault.kind}: {place.partition}/{offset}")
    actions.set_aside(world, place, offset, rng.randrange(200))


def _set_aside(world: World, fault: Fault) -> None:
    """Set one of the work log aside."""
    world.archive.read()
    known = [record for records in world.archive.work for record in records if record.newer]
    if known:
        chosen = known[int(fault.amount * len(known))]
        world.happens(fault.kind, f"{fault.kind}: {chosen.partition}/{chosen.offset}")
        actions.set_aside(world, world.topics.work_log()[chosen.partition], chosen.offset, 0)


def _poison_journal(world: World, fault: Fault) -> None:
    rng = Random(fault.amount)
    place = rng.choice(world.topics.journal())
    value = _rubbish(world, rng)
    world.outside.append([Append(place.topic, place.partition, b"poison", value, ())])
    world.happens(fault.kind, f"{fault.kind} {place.partition}: {value!r}")


def _poison_beats(world: World, fault: Fault) -> None:
    rng = Random(fault.amount)
    key = rng.choice((None, b"\xff", b"nobody"))
    world.outside.append([Append(world.topics.workers, 0, key, _rubbish(world, rng), ())])
    world.happens(fault.kind, fault.kind)


# --- lost positions -------------------------------------------------------------------------------------------------


def _lose_work(world: World, fault: Fault) -> None:
    _lose(world, fault, "worker", world.topics.worker_group, world.topics.work_log())


def _lose_journal(world: World, fault: Fault) -> None:
    _lose(world, fault, "scheduler", world.topics.scheduler_group, world.topics.journal())


def _lose(world: World, fault: Fault, role: str, group: str, places: Sequence[TopicPartition]) -> None:
    """Lose some of a group's positions, and repair them as an administrator does: with the group's nodes stopped."""
    rng = Random(fault.amount)
    if world.closed:
        return
    lost = rng.sample(places, rng.randint(1, len(places)))
    world.happens(fault.kind, f"{fault.kind}: {[place.partition for place in lost]}; all {role}s are stopped")
    world.closed.add(role)
    for node in list(world.nodes):
        if node.role == role and not node.busy:
            world.die(node)
    for known in world.cluster.groups(group):
        for member in known.members:
            world.outside.evict(group, member)
    keys = [group_key(group, world.cluster.partition(*place).number, place.partition) for place in lost]
    world.cluster.store.write([], [(key, key + b"\0") for key in keys])
    log = world.cluster.connect("repair")
    me = Identity("repair", "repair", world.clock, world.me.ids)
    site = Site(log, world.topics, CODEC, me, Disk(), world.clock.advance)
    for turn in range(REPAIRS):
        try:
            done = repair(site)
            break
        except LogError as error:
            if not turn:
                world.tell(f"repair: {error}")
            world.turn()
            world.clock.advance(0.5)
    else:
        world.faults.append(f"positions of {group} could not be repaired")
        done = []
    world.note_places("repair")
    world.tell(f"repaired: {done}")
    world.closed.discard(role)


_INJECT: Final[dict[str, Callable[[World, Fault], None]]] = {
    "killed": _kill,
    "killed while frozen": _kill_frozen,
    "node joins": _join,
    "worker without the module": _join_without,
    "import fails on a worker": _fail_imports,
    PLACED: _join_elsewhere,
    "drain": _drain,
    "drain again": _drain_again,
    "evicted by another node": _evict,
    "clock jumps": _jump,
    "clock goes far off": _far_off,
    "cancel": _cancel,
    "task terminated": _terminate,
    PAUSED: _pause,
    LIMITED: _set_limits,
    "submitted again": _submit_again,
    "submitted again, otherwise": _submit_otherwise,
    "poison in the work log": _poison_work,
    "poison that names a child": _poison_named,
    "poison in the journal": _poison_journal,
    "poison among the beats": _poison_beats,
    "record of a newer version": _newer,
    "newer record in the journal": _newer_in_journal,
    "newer record set aside": _set_aside,
    "positions of the work log lost": _lose_work,
    "positions of the journal lost": _lose_journal,
    "schedule changed": _change_schedule,
    "schedule paused or resumed": _pause_schedule,
    "schedule triggered": _trigger_schedule,
    "schedule deleted": _delete_schedule,
    "backfill": _backfill,
    "backfill of a stale number": _backfill_stale,
    "backfill cancelled": _cancel_backfill,
    "task redriven": _redrive,
    "task redriven by two": _redrive_by_two,
    "task redriven blindly": _redrive_blindly,
    REDUCED: _reduce_anew,
    EMITS: _trouble_topic,
    "topic is gone": _trouble_topic,
}
