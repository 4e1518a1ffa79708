"""Histories: real schedulers and workers over the memory log, on a virtual clock, with everything that can go wrong.

One seed makes one history. A node is one process: it dies inside any call of the log, is evicted or times out,
freezes inside any call while the others go on (and thaws as a zombie), hears nothing of the outcome of its
transaction, is drained and replaced. Nothing here looks into the nodes: what they did is in the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.ids import EventIds
from streamsched.domain.param import Param
from streamsched.domain.policy import FailurePolicy, RetryPolicy
from streamsched.domain.template import ChildSpec, RangeSplit, Template
from streamsched.log.codec import Codec
from streamsched.log.core import Connection
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Log, OutcomeUnknown, Record, TopicPartition, TransactionAborted
from streamsched.log.topics import Topics
from streamsched.runtime.identity import Identity
from streamsched.runtime.mark import INITIAL, decode_mark, decode_runs
from streamsched.runtime.records import Records
from streamsched.scheduler.lookout import Lookout
from streamsched.scheduler.node import Scheduler
from streamsched.view.follow import Follower
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker.node import Pace, Worker
from tests.simulation.pool import FakePool, VirtualClock

CODEC: Final = Codec()
TOPICS: Final = Topics(event_partitions=2, child_partitions=4)
RECORDS: Final = Records(CODEC, TOPICS)
PACE: Final = Pace(checkpoint=0.1, hand_over=0.5, drain=3.0, trim=5.0)
CLIENT: Final = "client"
HEALING: Final = 6_000
"""Turns without faults within which every task has to reach its end."""


class Crash(BaseException):
    """The process of a node is gone, in the middle of whatever it did."""


@dataclass(eq=False)
class Node:
    """One process."""

    name: str
    machine: Scheduler | Worker
    log: Log
    pool: FakePool | None = None
    disk: MemoryStore | None = None
    lookout: Lookout | None = None
    busy: bool = False
    """In the middle of a step: frozen there, while others go on."""


@dataclass(frozen=True)
class Dangers:
    """How likely each fault is: at each step of each call of the log, or (the last three) at each turn."""

    crash: float = 0.0005
    freeze: float = 0.0003
    unknown: float = 0.01
    aborted: float = 0.01
    kill: float = 0.003
    join: float = 0.004
    drain: float = 0.002

    def times(self, factor: float) -> Dangers:
        """Make everything more likely."""
        return Dangers(**{name: factor * value for name, value in asdict(self).items()})


class World:
    """A cluster, its nodes, its tasks, and the dice."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.dangers = Dangers().times(self.rng.choice((1, 1, 4, 10)))
        self.chaos = False
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(clock=self.clock.now, faults=self)
        self.nodes: list[Node] = []
        self.tasks: dict[str, Template] = {}
        self.story: list[str] = []
        self._born = 0
        self._disks: list[MemoryStore] = []
        self.client = self.cluster.connect(CLIENT)
        self.client.create_topics(TOPICS.specs())
        self.client.commit_initial(TOPICS.scheduler_group, TOPICS.journal(), INITIAL.encode())
        self.client.commit_initial(TOPICS.worker_group, TOPICS.work_log(), INITIAL.encode())
        self.me = Identity(CLIENT, CLIENT, self.clock, EventIds(b"-client-"))

    # --- faults -----------------------------------------------------------------------------------------------------

    def at(self, step: str, client: str) -> None:
        """Let something happen here (the hook of the memory log)."""
        if not self.chaos or client == CLIENT:
            return
        dice, dangers = self.rng.random(), self.dangers
        if dice < dangers.crash:
            self._tell(f"{client} dies at {step}")
            raise Crash
        dice -= dangers.crash
        if dice < dangers.freeze:
            if not any(node.busy and node.name != client for node in self.nodes):
                self._freeze(step, client)
            return
        dice -= dangers.freeze
        if step in ("commit.before_end", "commit.after_end") and dice < dangers.unknown:
            self._tell(f"{client} does not hear the outcome at {step}")
            raise OutcomeUnknown(f"made up at {step}")
        if step in ("commit.begin", "commit.appended", "commit.offsets") and dice < dangers.aborted:
            self._tell(f"{client} is refused at {step}")
            raise TransactionAborted(f"made up at {step}")

    def _freeze(self, step: str, client: str) -> None:
        until = self.clock.monotonic() + self.rng.choice((0.5, 4.0, 15.0))
        self._tell(f"{client} freezes at {step} until {until:.3f}")
        others = [node for node in self.nodes if not node.busy]
        while others and self.clock.monotonic() < until:
            self.turn()
            others = [node for node in self.nodes if not node.busy]
        self.clock.advance(max(0.0, until - self.clock.monotonic()))
        self._tell(f"{client} thaws")

    def _tell(self, what: str) -> None:
        self.story.append(f"{self.clock.monotonic():.3f} {what}")

    # --- nodes ------------------------------------------------------------------------------------------------------

    def start(self, make: Callable[[Connection, Identity], Node]) -> None:
        """Start one process; it may die of a fault before it is up."""
        self._born += 1
        name = f"{make.__name__}-{self._born}"
        log = self.cluster.connect(name)
        ids = EventIds(self._born.to_bytes(8))
        try:
            self.nodes.append(make(log, Identity(name, name, self.clock, ids)))
            self._tell(f"{name} starts")
        except Crash:
            return

    def scheduler(self, log: Connection, me: Identity) -> Node:
        """Make a scheduler: on the disk of one that died, or on an empty one."""
        disk = self._disks.pop() if self._disks and self.rng.random() < 0.7 else MemoryStore()
        machine = Scheduler(
            log=log, topics=TOPICS, codec=CODEC, view=View(disk, CODEC), me=me, pause=self.clock.advance
        )
        lookout = Lookout(log=log, topics=TOPICS, codec=CODEC, me=me.node_id, clock=self.clock)
        return Node(me.name, machine, log, disk=disk, lookout=lookout)

    def worker(self, log: Connection, me: Identity) -> Node:
        """Make a worker."""
        pool = FakePool(self.clock, self.rng, slots=2)
        machine = Worker(
            log=log, topics=TOPICS, codec=CODEC, pool=pool, me=me, slots=2, pause=self.clock.advance, pace=PACE
        )
        return Node(me.name, machine, log, pool)

    def die(self, node: Node) -> None:
        """End a process without a word; its parent may evict it, or time does."""
        self.nodes.remove(node)
        if node.disk is not None:
            self._disks.append(node.disk)
        if self.rng.random() < 0.5:
            member, writer = node.machine.membership
            group = TOPICS.worker_group if isinstance(node.machine, Worker) else TOPICS.scheduler_group
            self.client.evict(group, member)
            self.client.fence(writer)

    # --- turns ------------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Let one node make one step, or let something befall one."""
        ready = [node for node in self.nodes if not node.busy]
        dice = self.rng.random() if self.chaos else 1.0
        if dice < self.dangers.join and len(self.nodes) < 6:
            self.start(self.rng.choice((self.scheduler, self.worker)))
        elif (dice := dice - self.dangers.join) < self.dangers.kill and dice > 0 and ready:
            victim = self.rng.choice(ready)
            self._tell(f"{victim.name} is killed")
            self.die(victim)
        elif (dice := dice - self.dangers.kill) < self.dangers.drain and dice > 0 and ready:
            self._drain(self.rng.choice(ready))
        elif ready:
            self._step(self.rng.choice(ready))
        else:
            self.clock.advance(0.1)
        for kind, make in ((Scheduler, self.scheduler), (Worker, self.worker)):
            alone = not any(isinstance(node.machine, kind) for node in self.nodes if not node.busy)
            if alone and (not self.chaos or self.rng.random() < 0.02):
                self.start(make)

    def _step(self, node: Node) -> None:
        def step() -> None:
            busy = node.machine.step(self.rng.choice((0.0, 0.01)))
            if node.lookout is not None and self.rng.random() < 0.3 and node.lookout.step(0.0):
                self._tell(f"{node.name} evicts")
            self.clock.advance(self.rng.uniform(0, 0.003) if busy else self.rng.uniform(0, 0.06))
            if isinstance(node.machine, Worker) and node.machine.stopped:
                node.machine.stop()
                self.nodes.remove(node)
                self._tell(f"{node.name} is drained")

        self._run(node, step)

    def _drain(self, node: Node) -> None:
        self._tell(f"{node.name} drains")
        if isinstance(node.machine, Worker):
            self._run(node, node.machine.drain)
        else:
            self._run(node, node.machine.stop)
            if node in self.nodes:
                self.nodes.remove(node)

    def _run(self, node: Node, act: Callable[[], None]) -> None:
        node.busy = True
        try:
            act()
        except Crash:
            self.die(node)
        finally:
            node.busy = False

    def heal(self) -> None:
        """Let nothing go wrong any more until all tasks have ended; fails when they do not."""
        self.chaos = False
        for node in self.nodes:
            if node.pool:
                node.pool.trouble = False
        for turn in range(HEALING):
            self.turn()
            if turn % 50 == 0 and self.over():
                break
        else:
            stuck = [task_id for task_id in self.tasks if not self._ended(task_id)]
            raise AssertionError("\n".join([f"tasks that never end: {stuck}", *self.story]))
        for turn in range(HEALING):
            self.turn()
            if turn % 50 == 0 and not self.pending():
                break

    def over(self) -> bool:
        """Tell whether every task has a terminal event."""
        return all(self._ended(task_id) for task_id in self.tasks)

    def _ended(self, task_id: str) -> bool:
        return any(
            isinstance(event, e.TaskSucceeded | e.TaskFailed | e.TaskCancelled | e.TaskRefused)
            for event in self.journal().get(task_id, ())
        )

    # --- tasks ------------------------------------------------------------------------------------------------------

    def submit(self, task_id: str, template: Template, children: object) -> None:
        """Ask for a task."""
        self.tasks.setdefault(task_id, template)
        self._write(
            self.me.sign(
                e.TaskRequested, task_id=task_id, template_name=template.name, template_version="1",
                template=template.to_json(), params=json.dumps({"n": children}),
                priority=self.rng.randrange(2), origin="test", traceparent=None,
            )
        )  # fmt: skip

    def cancel(self, task_id: str) -> None:
        """Ask for the end of a task."""
        self._write(self.me.sign(e.TaskCancelRequested, task_id=task_id, redrive=0, reason="test"))

    def _write(self, event: e.TaskRequested | e.TaskCancelRequested) -> None:
        self.client.append([RECORDS.journal(event, event.task_id)])

    # --- what is in the log -----------------------------------------------------------------------------------------

    def journal(self) -> dict[str, list[e.Event]]:
        """Read all committed events of the journal, for each task in their order."""
        found: dict[str, list[e.Event]] = {}
        for record in self._records(TOPICS.journal()):
            event = CODEC.decode(record)
            found.setdefault(getattr(event, "task_id", ""), []).append(event)
        return found

    def work(self) -> list[tuple[Record, e.Event]]:
        """Read all committed records of the work log that are still kept."""
        return [(record, CODEC.decode(record)) for record in self._records(TOPICS.work_log())]

    def pending(self) -> list[tuple[int, int, e.Event]]:
        """Read what the commits of the work log's partitions leave unsettled: partition, offset, event."""
        places = TOPICS.work_log()
        commits = self.client.committed(TOPICS.worker_group, places, stable=False)
        left = []
        for record, event in self.work():
            commit = commits[TopicPartition(record.topic, record.partition)]
            assert commit is not None
            settled = record.offset < commit.position
            edge = commit.position
            for turn, length in enumerate(decode_runs(decode_mark(commit.metadata).runs)):
                settled = settled or (turn % 2 == 1 and edge <= record.offset < edge + length)
                edge += length
            if not settled:
                left.append((record.partition, record.offset, event))
        return left

    def _records(self, places: Sequence[TopicPartition]) -> list[Record]:
        reader = self.client.reader()
        reader.assign(self.client.start(places))
        found: list[Record] = []
        while records := reader.poll(10_000, 0.0):
            found += records
        return found


def template(rng: Random) -> Template:
    """Make up a template: how often children are tried again, how many may fail."""
    return Template(
        name="history",
        params={"n": Param(type="integer", minimum=0)},
        split=RangeSplit(first=1, last="${n}", size=1),
        child=ChildSpec(
            handler="made.up:handler",
            args={"first": "${child.first}"},
            retry=RetryPolicy(
                max_attempts=rng.choice((1, 2, 4, 0)),
                initial_interval_ms=rng.choice((0, 50, 500)),
                reset_on_progress=rng.random() < 0.5,
            ),
        ),
        failure=rng.choice((FailurePolicy(), FailurePolicy(count=2), FailurePolicy(percent=100))),
    )


def history(seed: int) -> World:
    """Live through one history: trouble for a while, then healing."""
    world = World(seed)
    rng = world.rng
    world.start(world.scheduler)
    world.start(world.worker)
    world.chaos = True
    for number in range(rng.randint(1, 3)):
        for _ in range(rng.randrange(30)):
            world.turn()
        children: object = rng.choice((0, 1, 2, 3, 8, 8, 20, 20, "many" if rng.random() < 0.2 else 5))
        made = template(rng)
        for _ in range(1 + (rng.random() < 0.1)):
            world.submit(f"task-{number}", made, children)
        if rng.random() < 0.05:
            world.cancel(f"task-{number}")
    for _ in range(rng.randint(50, 800)):
        world.turn()
        if rng.random() < 0.002:
            world.cancel(rng.choice(list(world.tasks)))
    world.heal()
    return world


def fold(world: World) -> View:
    """Fold the whole journal into a fresh view."""
    follower = Follower(log=world.client, topics=TOPICS, codec=CODEC, view=View(MemoryStore(), CODEC))
    follower.catch_up(TOPICS.journal())
    return follower.view
