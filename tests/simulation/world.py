"""One history: a cluster, its nodes and its people, each doing one step at a time in the order of the seed.

Every node is the real code over the memory log, as if it were a process of its own on a machine of its own. Faults
strike inside any call of the log and between any two steps. A node that freezes inside a call stands there while the
others go on, and thaws as a zombie. Nothing here looks into the nodes: what they did is in the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.errors import NoSuchTask
from streamsched.domain.ids import EventIds
from streamsched.domain.routing import PLAIN, Place
from streamsched.domain.schedule import Schedule
from streamsched.domain.template import Template
from streamsched.log.codec import Codec
from streamsched.log.core.store import group_key
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import (
    LogUnreachable,
    OutcomeUnknown,
    PartitionHalted,
    PositionLost,
    TopicPartition,
    TransactionAborted,
)
from streamsched.log.topics import Topics
from streamsched.queries.status import TaskStatus
from streamsched.runtime.commit_metadata import INITIAL, decode_metadata
from streamsched.runtime.eviction import evict
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.evictor import Evictor
from streamsched.scheduler.node import Scheduler
from streamsched.testing.clock import VirtualClock
from streamsched.testing.site import MemoryClient
from streamsched.view.view import View
from streamsched.worker.node import Worker, WorkerTiming
from tests.simulation import emits
from tests.simulation.archive import Archive, MemoCodec
from tests.simulation.checker_work import settled_in
from tests.simulation.evidence import Committed, Evidence, Kept, Lost, Submit, Told, decisions
from tests.simulation.faults import EMITS, TURN, Dice, Fault
from tests.simulation.nodes import MODULE, PROGRAM, Action, Crash, Node
from tests.simulation.pool import FakePool
from tests.simulation.pool_faults import PoolFaults, TearingCodec
from tests.simulation.scenario import FULL, Scenario
from tests.support.clients import Disk, Reader, Site
from tests.support.clock import MachineClock

CODEC: Final = MemoCodec()
TIMING: Final = WorkerTiming(checkpoint=0.1, hand_over=0.5, drain=3.0, trim=5.0)
OUTSIDE: Final = "outside"
HEALING: Final = 12_000
RESTING: Final = 1_000
"""Turns without faults within which one more task has to reach its end, or all is over."""
MOST_HEALING: Final = 40_000
"""Turns without faults after which something has to be wrong, though task after task of a schedule still ends."""
LAST: Final = 300
"""Turns after the trouble until that is done."""
SELDOM: Final = '{"interval":[{"every":"3600s","phase":"0s"}]}'
DEPTH: Final = 3
"""Nodes that may stand still inside each other's steps."""
MOST_TURNS: Final = 3_000
"""Beyond so many, nothing happens any more while a process waits: else each look at a long journal makes it longer."""
FREEZES: Final = (0.05, 0.5, 4.0, 15.0)
JUMPS: Final = (-20_000, -3_000, -100, 100, 3_000, 20_000)


class Stuck(Exception):
    """A history does not come to its end though nothing goes wrong any more."""


class World:
    """A cluster, its nodes, its tasks, and the dice."""

    def __init__(
        self,
        seed: int,
        plan: Scenario,
        *,
        inject: Callable[[World, Fault], None],
        script: Sequence[Fault] | None = None,
    ) -> None:
        CODEC.forget()
        self._inject = inject
        self.plan = plan
        self.rng = Random(seed)
        self.dice = Dice(seed, plan.kinds, plan.factor, script)
        self.chaos = False
        self.healed_at = 0
        """When nothing went wrong any more, in milliseconds."""
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(clock=self.clock.now, faults=self)
        self.topics = Topics(event_partitions=plan.journal_partitions, child_partitions=plan.work_partitions)
        self.records = Records(CODEC, self.topics)
        self.nodes: list[Node] = []
        self.turns = 0
        self.tasks: list[str] = []
        self.actions: list[Action] = []
        self.last: list[tuple[str, Callable[[MemoryClient], None]]] = []
        """What is done some time after all trouble is over."""
        self.story: list[str] = []
        self.happened: Counter[str] = Counter()
        self.faults: list[str] = []
        self.evidence: list[Evidence] = []
        self.submits: list[Submit] = []
        self.told: set[Told] = set()
        self.stood: dict[str, Place] = {}
        """Where each worker stands or stood."""
        self.torn: set[str] = set()
        """Tasks of which a page was written that cannot be read."""
        self.claims: dict[str, bool] = {}
        """Of those who asked for a redrive or a backfill: whether they were told that it has begun."""
        self.snapshots: list[tuple[dict[int, int], dict[bytes, bytes]]] = []
        """Positions and rows of views as their processes left them."""
        self._processes: dict[str, Node] = {}
        self.children: dict[str, int] = {}
        """How many children each task was first submitted with."""
        self.templates: dict[str, Template] = {}
        self.deadly: set[tuple[str, int]] = set()
        self._disks: dict[str, list[Disk]] = {"scheduler": [], "reader": []}
        self.closed: set[str] = set()
        """Roles of which no node may start now."""
        self._born = 0
        self._depth = 0
        self._places: dict[bytes, tuple[bool, int, bytes | None]] = {}
        self.outside = self.cluster.connect(OUTSIDE)
        self.outside.create_topics(self.topics.specs())
        for worker_group, places in ((False, self.topics.journal()), (True, self.topics.work_log())):
            group = self._group(worker_group)
            self.outside.commit_initial(group, places, INITIAL.encode())
            for place in places:
                number = self.cluster.partition(*place).number
                key = group_key(group, number, place.partition)
                self._places[key] = (worker_group, place.partition, self.cluster.store.get(key))
        self.places = emits.make_topics(self.cluster, self.outside) if EMITS in plan.kinds else None
        """Where handlers emit: the partitions of all topics."""
        self.archive = Archive(self.outside, self.topics, CODEC)
        self.me = Identity(OUTSIDE, OUTSIDE, self.clock, EventIds(b"-outside"))

    # --- faults inside calls ----------------------------------------------------------------------------------------

    def at(self, step: str, client: str) -> None:
        """Let something happen here (the hook of the memory log)."""
        if step == "commit.after_end":
            self.note_places(client)
        elif step == "delete_before.begin":
            self.archive.read()
        node = self._processes.get(client)
        if client == "repair":
            self.clock.advance(0.01)  # it waits for transactions to end
        if node is None:
            return
        if node.role in ("client", "reader"):
            self._meanwhile(node)
        if self.chaos:
            fault = self.dice.throw(client, step)
            if fault is not None:
                self._strike(node, step, fault)

    def _strike(self, node: Node, step: str, fault: Fault) -> None:
        kind = fault.kind
        if kind.startswith("freeze"):
            self._freeze(node, step, fault)
            return
        if kind == "cancelled around a commit":
            self._cancel(node, step, fault)
            return
        if kind in ("writer fenced", "member lost", "member lost inside a commit"):
            if isinstance(node.machine, Scheduler | Worker):
                self.happens(kind, f"{node.name}: {kind} at {step}", node)
                ownership = node.machine._ownership
                if kind == "writer fenced":
                    self.outside.fence(ownership.transactional_id)
                else:
                    self.outside.evict(self._group(node.role == "worker"), ownership.member_id)
                if kind == "member lost inside a commit":
                    # Its offsets are sent: what it has open may land when it thaws, unless somebody fences it.
                    self._freeze(node, step, fault)
            return
        self.happens(kind, f"{node.name}: {kind} at {step}", node)
        if kind.startswith("crash"):
            raise Crash
        if kind.startswith("outcome unknown"):
            raise OutcomeUnknown(f"made up at {step}")
        if kind == "transaction refused":
            raise TransactionAborted(f"made up at {step}")
        raise LogUnreachable(f"made up at {step}")

    def _cancel(self, node: Node, step: str, fault: Fault) -> None:
        """Let a request arrive between a decision, or an outcome, and its landing or its being read."""
        self.archive.read()
        unplanned = [task_id for task_id in self.tasks if task_id in self.archive.unplanned]
        known = unplanned or [task_id for task_id in self.tasks if task_id in self.children]
        if known:
            task_id = known[int(fault.amount * len(known)) % len(known)]
            self.happens(fault.kind, f"{task_id} is cancelled at {step} of {node.name}")
            redrive = self.archive.redrives[task_id]
            asked = self.me.sign(e.TaskCancelRequested, task_id=task_id, redrive=redrive, reason="around a commit")
            self.outside.append([self.records.journal(asked, task_id)])
        if unplanned:  # somebody looks before the plan lands
            self.send(0, f"looks at {task_id}", partial(self._look, task_id))
            self._freeze(node, step, fault)

    def _look(self, task_id: str, client: MemoryClient) -> None:
        try:
            self._note_told([client.status(task_id)])
        except NoSuchTask:
            if not client.session.follower.halts:
                raise

    def _freeze(self, node: Node, step: str, fault: Fault) -> None:
        if self._depth >= DEPTH:
            return
        until = self.clock.monotonic() + FREEZES[int(fault.amount * len(FREEZES)) % len(FREEZES)]
        self.happens(fault.kind, f"{node.name} freezes at {step} until {until:.3f}", node)
        node.busy = True
        self._depth += 1
        while self.clock.monotonic() < until:
            if all(other.busy for other in self.nodes) or self.turns > MOST_TURNS:
                self.clock.advance(until - self.clock.monotonic())
                break
            self.turn()
        self._depth -= 1
        self.tell(f"{node.name} thaws")
        if node.dead:
            raise Crash

    def _meanwhile(self, node: Node) -> None:
        """Let time pass, and at first others go on, while somebody waits for an answer."""
        node.calls += 1
        self.clock.advance(0.002)
        if self._depth < DEPTH and self.turns <= MOST_TURNS and self.rng.random() < (0.3 if node.calls < 20 else 0.01):
            self._depth += 1
            self.turn()
            self._depth -= 1
        if node.dead:
            raise Crash

    def happens(self, kind: str, what: str, node: Node | None = None) -> None:
        self.happened[kind] += 1
        if node is not None:
            node.hurt += 1
        self.tell(what)

    def tell(self, what: str) -> None:
        self.story.append(f"{self.clock.monotonic() - 1_000_000:9.3f} {what}")

    # --- evidence ---------------------------------------------------------------------------------------------------

    def ends(self) -> tuple[int, ...]:
        partitions = self.cluster.partitions_by_place
        return tuple(partitions[place].end for place in self.topics.journal())

    def note_places(self, client: str, *, lost: bool = False) -> None:
        """Note which places of the groups a transaction has moved."""
        for key, (worker_group, partition, before) in self._places.items():
            value = self.cluster.store.get(key)
            if value == before:
                continue
            self._places[key] = (worker_group, partition, value)
            places = self.topics.work_log() if worker_group else self.topics.journal()
            commit = self.cluster.committed(self._group(worker_group), [places[partition]], stable=False)
            now = commit[places[partition]]
            if now is None:
                continue
            node = self._processes.get(client)
            if lost or node is None:
                self.evidence.append(Lost(self.ends(), worker_group, partition, now.position))
            else:
                end = self.cluster.partition(*places[partition]).end
                fenced = before is None or self._is_fenced(before)
                self.evidence.append(
                    Committed(
                        self.ends(),
                        worker_group,
                        partition,
                        now.position,
                        now.metadata,
                        end,
                        node.name,
                        node.hurt,
                        fenced,
                    )
                )

    def _is_fenced(self, committed: bytes) -> bool:
        """Tell whether the writer of this commit can write no more: only its own beginning was under its id."""
        _, metadata = msgspec.msgpack.decode(committed, type=tuple[int, str])
        return not self.cluster.coordinator.current(decode_metadata(metadata).transactional_id, 0)

    def _group(self, worker_group: bool) -> str:
        return self.topics.worker_group if worker_group else self.topics.scheduler_group

    # --- nodes ------------------------------------------------------------------------------------------------------

    def start(self, role: str, modules: tuple[str, ...] | None = None, place: Place | None = None) -> None:
        """Start one process; it may die of a fault before it is up. A worker allows ``modules``, if they are given.

        Else it allows the module of every handler, and every program; one in two, as an older one, announces nothing.
        Without a ``place`` it serves every queue and has every label that there may be.
        """
        if role in self.closed:
            return
        self._born += 1
        name = f"{role}-{self._born}"
        clock = MachineClock(self.clock, skew_ms=0, began=self.rng.uniform(0, 1e6))
        allowed = modules if modules or self._born % 2 else (MODULE, PROGRAM)
        node = Node(name, role, self.cluster.connect(name), clock, modules=allowed if role == "worker" else None)
        node.place, node.elsewhere = place or (FULL if self.plan.placed else PLAIN), place is not None
        self.stood[name] = node.place
        if fault := self._strikes(name, "clock is off"):
            clock.jump(JUMPS[int(fault.amount * len(JUMPS))])
            self.happens(fault.kind, f"{name}: its clock is off")
        self._processes[name] = node
        me = Identity(name, name, clock, EventIds(self._born.to_bytes(8)))
        self.tell(f"{name} starts")
        node.busy = True
        try:
            node.machine = self._machine(node, me)
        except Crash:
            self._bury(node)
            return
        node.busy = False
        self.nodes.append(node)

    def _machine(self, node: Node, me: Identity) -> Scheduler | Worker | Reader:
        if node.role == "worker":
            slots = self.plan.slots
            pool = FakePool(true=self.clock, clock=node.clock, rng=self.rng, slots=slots, faults=PoolFaults(self, node))
            return Worker(
                log=node.log, topics=self.topics, codec=cast(Codec, TearingCodec(self, node, CODEC)), pool=pool, me=me,
                slots=slots,
                pause=partial(self._pause, node), timing=TIMING, modules=node.modules, place=node.place,
                outlet=emits.outlet(self.topics.prefix, node.clock, self.places),
            )  # fmt: skip
        node.disk = self._disk(node)
        if node.role == "reader":
            node.timing = 0.1
            if fault := self._strikes(node.name, "slow reader"):
                node.timing = 0.01
                self.happens(fault.kind, f"{node.name}: {fault.kind}")
            return Reader(Site(node.log, self.topics, CODEC, me, node.disk), self.rng)
        node.evictor = Evictor(
            log=node.log, coordination=node.log, topics=self.topics, codec=CODEC, me=me.node_id, clock=node.clock
        )
        view, pause = View(node.disk, CODEC), partial(self._pause, node)
        return Scheduler(log=node.log, topics=self.topics, codec=CODEC, view=view, me=me, pause=pause)

    def _disk(self, node: Node) -> Disk:
        """Give a node the disk of one that died, if there is one, or an empty one; what it holds may be damaged."""
        disks = self._disks[node.role]
        if not disks or self.rng.random() < 0.2:
            return Disk()
        disk = disks.pop()
        if fault := self._strikes(node.name, "view lost"):
            self.happens(fault.kind, f"{node.name}: {fault.kind}")
            return Disk()
        if fault := self._strikes(node.name, "view truncated"):
            self.happens(fault.kind, f"{node.name}: {fault.kind}")
            disk.forget(1 + int(fault.amount * disk.writes))
        return disk

    def _strikes(self, who: str, place: str) -> Fault | None:
        return self.dice.throw(who, place) if self.chaos else None

    def _pause(self, node: Node, seconds: float) -> None:
        """Pause a node: others may go on meanwhile."""
        until = self.clock.monotonic() + seconds
        self._depth += 1
        while self._depth <= DEPTH and self.clock.monotonic() < until and not all(node.busy for node in self.nodes):
            self.turn()
        self._depth -= 1
        self.clock.advance(max(0.0, until - self.clock.monotonic()))
        if node.dead:
            raise Crash

    def die(self, node: Node) -> None:
        """End a process without a word; its parent may evict it, or time does."""
        if node.dead:
            return
        self._bury(node)
        if isinstance(node.machine, Scheduler | Worker) and (not self.chaos or self.rng.random() < 0.5):
            self.evict(node)

    def _bury(self, node: Node) -> None:
        node.dead = True
        if node in self.nodes:
            self.nodes.remove(node)
        self._processes.pop(node.name, None)
        if node.disk is not None:
            if self.rng.random() < 0.3:
                self.snapshots.append((node.disk.positions(), node.disk.rows()))
            self._disks[node.role].append(node.disk)

    def evict(self, node: Node) -> None:
        """Evict a node as its parent does, by what it told last."""
        if isinstance(node.machine, Scheduler | Worker):
            member, writer = node.machine.heartbeats.membership
            group = self._group(node.role == "worker")
            evict(
                self.outside, self.outside, self.records, node=node.name, group=group, member=member,
                writer=writer,
            )  # fmt: skip

    def drain(self, node: Node) -> None:
        """Stop a node in order, as a signal does."""
        machine = node.machine
        node.draining = True
        if isinstance(machine, Worker):
            self._run(node, machine.drain)
        elif isinstance(machine, Scheduler) and self._run(node, machine.stop):
            self._bury(node)

    # --- turns ------------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Let one node make one step, or inject one fault."""
        self.turns += 1
        fault = self.dice.throw("world", TURN) if self.chaos else None
        if fault is not None:
            self._inject(self, fault)
        elif self.actions and self.actions[0].turn <= self.turns and self._depth < DEPTH:
            self._run_action(self.actions.pop(0))
        else:
            self._step_one()
        for role in ("scheduler", "worker"):
            alone = not any(node.role == role and not node.busy and node.able for node in self.nodes)
            if alone and (not self.chaos or self.rng.random() < 0.1):
                self.start(role)

    def _step_one(self) -> None:
        ready = [node for node in self.nodes if not node.busy]
        if not ready:
            self.clock.advance(0.1)
            return
        node = ready[self.turns % len(ready)] if not self.chaos else self.rng.choice(ready)
        if node.timing < 1.0 and self.rng.random() > node.timing:
            self.clock.advance(0.001)
            return
        self._run(node, self._steps(node))

    def _steps(self, node: Node) -> Callable[[], None]:
        machine = node.machine

        def step() -> None:
            busy = True
            if isinstance(machine, Reader):
                machine.step(self.tasks)
                self.faults += machine.faults
                machine.faults.clear()
                self._note_told(machine.done)
                machine.done.clear()
            elif machine is not None:
                busy = machine.step(self.rng.choice((0.0, 0.01)))
                if node.evictor is not None and self.rng.random() < 0.3 and node.evictor.step(0.0):
                    self.happens("evicted by an evictor", f"{node.name} evicts")
            self.clock.advance(self.rng.uniform(0, 0.003) if busy else self.rng.uniform(0, 0.06 if self.chaos else 0.3))
            if isinstance(machine, Worker) and machine.stopped:
                machine.stop()
                self._bury(node)
                self.tell(f"{node.name} is drained")

        return step

    def _note_told(self, seen: Iterable[TaskStatus]) -> None:
        for status in seen:
            counts = status.children
            children = (counts.total, counts.succeeded, counts.failed, counts.cancelled)
            if status.done:
                self.told.add(Told(status.task_id, status.redrive, status.state, children))

    def _run(self, node: Node, act: Callable[[], None]) -> bool:
        """Let a process do something; tells whether it came to its end."""
        node.busy = True
        try:
            act()
        except Crash:
            self.die(node)
            return False
        except PositionLost:
            if not self.closed:
                raise
            self.tell(f"{node.name} ends: its place is lost")
            self.die(node)
            return False
        except (LogUnreachable, PartitionHalted) as error:
            if node.role not in ("reader", "client"):
                raise
            self.tell(f"{node.name} gives up: {error}")
            self.die(node)
            return False
        finally:
            node.busy = False
        self.check_transactions(node)
        return True

    def check_transactions(self, node: Node) -> None:
        """Hold a node to invariant 9: between its steps, no transaction of its writer is open."""
        open_ones = self.cluster.coordinator._open
        if open_ones and isinstance(node.machine, Scheduler | Worker):
            writer = node.machine._ownership.transactional_id
            if writer in open_ones:
                self.faults.append(f"{node.name} left a transaction of {writer} open between two steps")

    def heal(self) -> None:
        """Let nothing go wrong any more until schedules and tasks have ended, all of them, and nothing is pending.

        Raises:
            Stuck: they do not.

        """
        self.chaos = False
        self.healed_at = self.clock.now()
        self.tell("healing")
        if self.places is not None:
            self.places.mend()
        for node in self.nodes:
            node.clock.mend()
            node.fails_imports = False
        for name, act in self.last:
            self.send(LAST, name, act, repeated=True)
        waited, ended = 0, 0
        for _ in range(MOST_HEALING):
            if waited == HEALING:
                break
            self.turn()
            waited += 1
            for node in [node for node in self.nodes if not (node.able or node.draining or node.busy)]:
                self.drain(node)  # it may hold the only partition
            if waited % 10 == 0 and not self.actions:
                self.archive.read()
                if self.archive.ends > ended:
                    waited, ended = 0, self.archive.ends
                self._end_schedules()
                left = self._going() or self._open_schedules() or self._unsettled() or self._untold()
                if not left and not self._open_letters() and not self._behind():
                    return
        stuck, schedules = sorted(self._going()), self._open_schedules()
        left, untold = self._unsettled(), self._untold()
        raise Stuck(
            f"schedules that never end: {schedules}; "
            f"tasks that never end: {stuck}; left to do: {self.actions}; left unsettled: {left}; "
            f"without a dead letter: {untold}"
        )

    def rest(self) -> None:
        """Let nothing be done until no group lags: whoever watches that thinks that there is work.

        Raises:
            Stuck: one goes on to lag.

        """
        for _ in range(RESTING):
            self.turn()
            if self.turns % 10 == 0 and not (lagging := self._lagging()):
                return
        raise Stuck(f"groups that lag though nothing is done: {lagging}")

    def _lagging(self) -> list[tuple[TopicPartition, int, int]]:
        """List partitions whose committed position is not their end, but for those with records of newer versions."""
        found = []
        for group, places, kept in (
            (self.topics.scheduler_group, self.topics.journal(), self.archive.journal),
            (self.topics.worker_group, self.topics.work_log(), self.archive.work),
        ):
            ends, commits = self.outside.end(places), self.cluster.committed(group, places, stable=False)
            for place, records in zip(places, kept, strict=True):
                commit = commits[place]
                position = 0 if commit is None else commit.position
                if position != ends[place] and not any(record.newer for record in records):
                    found.append((place, position, ends[place]))
        return found

    def _open_letters(self) -> bool:
        """Tell whether a transaction holds back who reads the dead letters: who died in one left it open."""
        place = TopicPartition(self.topics.dead_letters, 0)
        return place in self.outside.held([place], [])

    def _behind(self) -> bool:
        """Tell whether a scheduler has yet to fold what is there: it may still decide as things were before."""
        ends = [records[-1].offset + 1 if records else 0 for records in self.archive.journal]
        views = [node.machine.view for node in self.nodes if isinstance(node.machine, Scheduler)]
        return any(view.positions.get(number, 0) < end for view in views for number, end in enumerate(ends))

    def _going(self) -> set[str]:
        return {*self.tasks, *self.archive.ticking} - self.archive.ended.keys()

    def _open_schedules(self) -> list[str]:
        """List the schedules of which something is left to decide or to be told."""
        return [
            schedule_id
            for schedule_id, schedule in self.archive.schedules.items()
            if not schedule.deleted or schedule.running or schedule.due() is not None or _refills(schedule)
        ]

    def _end_schedules(self) -> None:
        """End the schedules that go on, or no history would.

        One backfill in two comes to its own end before; the schedule has hardly any times of its own then.
        """
        for schedule_id, schedule in self.archive.schedules.items():
            if schedule.deleted:
                continue
            event: e.Event
            if schedule.backfills % 2 == 0 or not _refills(schedule):
                event = self.me.sign(e.ScheduleDeleted, schedule_id=schedule_id, note="healing")
            elif schedule.now.body.spec != SELDOM:
                event = replace(
                    schedule.now.body, event_id=self.me.ids(), at=self.clock.now(), by=OUTSIDE,
                    expected=schedule.version, spec=SELDOM,
                )  # fmt: skip
            else:
                continue
            self.outside.append([self.records.journal(event, schedule_id)])

    def _unsettled(self) -> list[Kept]:
        """List the records of the work log that no commit settles, but for those of newer versions, not set aside."""
        places = self.topics.work_log()
        commits = self.cluster.committed(self.topics.worker_group, places, stable=False)
        left = []
        decided = decisions(self.archive.work)
        for place, kept in zip(places, self.archive.work, strict=True):
            commit = commits[place]
            if commit is not None:
                settled = settled_in(commit.position, commit.metadata)
                left += [
                    record
                    for record in kept
                    if not settled(record.offset) and (not record.newer or (record.partition, record.offset) in decided)
                ]
        return left

    def _untold(self) -> list[Kept]:
        """List the records of the journal that nobody can read, where no owner has committed a position beyond yet."""
        places = self.topics.journal()
        commits = self.cluster.committed(self.topics.scheduler_group, places, stable=False)
        return [
            record
            for place, kept in zip(places, self.archive.journal, strict=True)
            for record in kept
            if record.event is None
            if (commit := commits[place]) is None or commit.position <= record.offset
        ]

    # --- people -----------------------------------------------------------------------------------------------------

    def send(self, delay: int, name: str, act: Callable[[MemoryClient], None], *, repeated: bool = False) -> None:
        """Let somebody do something in a process of its own, in some turns."""
        self.actions.append(Action(self.turns + delay, name, act, repeated))
        self.actions.sort(key=lambda action: action.turn)

    def _run_action(self, action: Action) -> None:
        self._born += 1
        name = f"client-{self._born}"
        clock = MachineClock(self.clock, skew_ms=0, began=0.0)
        node = Node(name, "client", self.cluster.connect(name), clock)
        self._processes[name] = node
        me = Identity(name, name, clock, EventIds(self._born.to_bytes(8)))
        client = MemoryClient(Site(node.log, self.topics, CODEC, me, Disk()))
        self.tell(f"{name} {action.name}")
        if self._run(node, lambda: action.act(client)):
            del self._processes[name]
        elif action.repeated:
            self.send(self.rng.randrange(30), action.name, action.act, repeated=True)


def _refills(schedule: Schedule) -> bool:
    """Tell whether a backfill of the schedule goes on."""
    return schedule.backfill is not None and not schedule.backfill.done
