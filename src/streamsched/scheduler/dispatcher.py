"""The dispatcher: which children go to which partition now.

A worker should hold about one second of work: long children one for each slot, short ones thousands. Tasks of equal
priority take turns; a task with fewer live children than there are slots may always add some, so that a small task
behind a huge one starts at once; it is spread over all workers. Each round fills one partition of each worker and the
next round moves on, because a transaction costs by the partitions that it touches, not by the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from itertools import groupby
from types import MappingProxyType
from typing import Final
from zlib import crc32

from msgspec import structs

from streamsched.domain.events import ChildCreated, Release
from streamsched.domain.options import REDUCE, Options, ReduceInput, options_of, write_options
from streamsched.domain.routing import Requirement
from streamsched.domain.splitting import ChildArguments, reduce_arguments, split_options
from streamsched.domain.task import ChildDetail, Task
from streamsched.domain.template import TemplateError
from streamsched.runtime.identity import Identity
from streamsched.scheduler.entries import Entries, Spent
from streamsched.scheduler.routing import Route
from streamsched.scheduler.workers import Capacity

ROUND: Final = 2_000
"""Children released in one round (one transaction)."""
TURN: Final = 250
"""Children that a task may take before another has its turn."""
HELD: Final = 8_000
"""Children that one worker holds at most."""
AHEAD_MS: Final = 1_000
"""Work that a worker should have before it, in milliseconds."""
LONG_MS: Final = 10_000
"""Children longer than this do not wait at a worker: another one may come."""
KINDS: Final = 1_000
"""Kinds of children of which the length is kept."""
_NEW: Final = ChildDetail()


def wanted_on(worker: Capacity, mean_ms: float | None, concurrency: int = 1) -> int:
    """Return how many children a worker should hold that take so long on average; None: not known."""
    at_once = worker.slots * concurrency
    if mean_ms is None or mean_ms > LONG_MS:
        return at_once
    return min(HELD, at_once * (1 + int(AHEAD_MS / max(mean_ms, 0.1))))


def _written(options: Options | None) -> str | None:
    return None if options is None else write_options(options)


class _Reach:
    """The workers on which a route places children in this round: a heap by what they hold for their slots."""

    __slots__ = ("heap", "held", "slots", "trial", "workers")

    def __init__(self, workers: Sequence[Capacity], held: list[float], route: Route | None) -> None:
        self.workers = workers
        self.held = held
        """Children that each worker holds for its slots, shared by all reaches."""
        numbers = [n for n, worker in enumerate(workers) if route is None or worker.node_id in route.nodes]
        self.trial = frozenset(n for n in numbers if route is not None and workers[n].node_id in route.trial)
        self.slots = sum(1 if number in self.trial else workers[number].slots for number in numbers)
        self.heap = [(held[number], number) for number in numbers]
        heapify(self.heap)


@dataclass(slots=True)
class _Turn:
    """What one task gets in this round, and what is left of it."""

    task: Task
    reach: _Reach
    due: list[int]
    first_undispatched: int
    end: int
    """The first child that may not be dispatched for the first time now."""
    taken: int = 0
    releases: list[Release] = field(default_factory=list)

    @property
    def left(self) -> int:
        return len(self.due) + self.end - self.first_undispatched

    def take(self, count: int, partition: int) -> None:
        """Release up to ``count`` children to a partition: first those that are due again."""
        count = min(count, self.left)
        self.taken += count
        for _ in range(min(count, len(self.due))):
            child = self.due.pop(0)
            self.releases.append(Release(child, child, self.task.ordinal_of(child) + 1, partition))
            count -= 1
        if count:
            self.releases.append(Release(self.first_undispatched, self.first_undispatched + count - 1, 1, partition))
            self.first_undispatched += count


def first_of(releases: Sequence[Release], children: int) -> tuple[Release, ...]:
    """Cut releases off after so many children."""
    kept: list[Release] = []
    for release in releases:
        if children > 0:
            last = min(release.last, release.first + children - 1)
            kept.append(release if last == release.last else structs.replace(release, last=last))
            children -= last - release.first + 1
    return tuple(kept)


class Dispatcher:
    """Chooses children and makes their records.

    It keeps each task's compiled arguments, and how long the children of ended tasks took, by their *kind*: the handler
    and the arguments of the first child. A task of a known kind need not run a few children first to be measured.
    """

    def __init__(self, me: Identity, entries: Entries) -> None:
        self._me = me
        self._entries = entries
        self._arguments: dict[str, tuple[ChildArguments, int]] = {}
        """By task, with the hash of its kind."""
        self._lengths: dict[int, float] = {}
        self._rounds = 0

    def choose(
        self,
        tasks: Sequence[Task],
        workers: Sequence[Capacity],
        load: Mapping[int, int],
        now: int,
        routes: Mapping[Requirement, Route] = MappingProxyType({}),
    ) -> dict[str, tuple[Release, ...]]:
        """Return the releases of this round by task, where there are any.

        ``load`` counts live children by partition, decisions in flight included. A requirement without a route may go
        to any worker.
        """
        if not workers or not tasks:
            return {}
        self._rounds += 1
        self._entries.begin()
        workers = sorted(workers, key=self._lot)
        held = [sum(load.get(partition, 0) for partition in worker.partitions) / worker.slots for worker in workers]
        reaches: dict[Route | None, _Reach] = {}
        room = ROUND
        turns: list[_Turn] = []
        ranked = sorted(tasks, key=lambda task: -task.request.priority)
        for _, equals in groupby(ranked, key=lambda task: task.request.priority):
            queue = []
            for task in equals:
                route = routes.get(task.requirement(now))
                reach = reaches.get(route)
                if reach is None:
                    reach = reaches[route] = _Reach(workers, held, route)
                fresh = task.first_undispatched
                if fresh and task.split and task.splits(now):  # alone: what its children require may be something else
                    queue.append(_Turn(task, reach, [0], fresh, fresh))
                    continue
                queue.append(_Turn(task, reach, task.due_children(now, ROUND), fresh, max(fresh, task.bound)))
            turns += queue
            while queue and room > 0:
                waiting: list[_Turn] = []
                for turn in queue:
                    taken = self._turn(turn, min(TURN, room))
                    room -= taken
                    if taken and turn.left:
                        waiting.append(turn)
                queue = waiting
        return {turn.task.task_id: tuple(turn.releases) for turn in turns if turn.releases}

    def _lot(self, worker: Capacity) -> int:
        """Return a lot that orders equal workers, so that two schedulers at once need not choose the same one."""
        return crc32(f"{self._me.node_id} {self._rounds} {worker.node_id}".encode())

    def _turn(self, turn: _Turn, limit: int) -> int:
        """Place up to ``limit`` children of one task, always on the worker that holds least for its slots."""
        before, mean_ms = turn.taken, self._mean_ms(turn.task) if limit and turn.left else None
        concurrency = 1 if turn.task.fault else turn.task.template.child.concurrency
        workers, held, heap, trial = turn.reach.workers, turn.reach.held, turn.reach.heap, turn.reach.trial
        others = len(heap)
        while heap and turn.left and turn.taken - before < limit:
            share, number = heap[0]
            if share != held[number]:  # a task that may go elsewhere too has placed children here
                heapreplace(heap, (held[number], number))
                continue
            worker = workers[number]
            room = wanted_on(worker, mean_ms, concurrency) - int(share * worker.slots)
            if room <= 0:
                if turn.task.live + turn.taken >= turn.reach.slots:
                    break
                room = 1
            tries = number in trial
            portion = 1 if tries else min(room, -(-turn.left // others), limit - (turn.taken - before))
            others = max(1, others - 1)
            size = turn.taken
            turn.take(portion, worker.partitions[self._rounds % len(worker.partitions)])
            held[number] = share + (turn.taken - size) / worker.slots
            if tries:
                heappop(heap)
            else:
                heapreplace(heap, (held[number], number))
        return turn.taken - before

    def records(self, task: Task, releases: Sequence[Release], basis: int) -> Iterator[tuple[int, ChildCreated]]:
        """Yield the partition and record of each child, as far as the pages go that this round may read.

        Raise TemplateError where template and plan do not fit.
        """
        paged = task.split and 0 < releases[0].first < task.work_end
        if not paged:
            arguments, options = self._of_stage(task, releases[0].first, basis)
        child_spec = task.spec_of(releases[0].first)
        me, handler = self._me, child_spec.code
        at, task_id = me.clock.now(), task.task_id
        timeout, heartbeat, priority = child_spec.timeout_ms, child_spec.heartbeat_ms, task.request.priority
        trace = task.request.traceparent
        for release in releases:
            for child in range(release.first, release.last + 1):
                known = task.detail_of(child) if release.ordinal > 1 else _NEW
                try:
                    args, options = self._entries(task, child) if paged else (arguments(child), options)
                except Spent:
                    return
                yield (
                    release.partition,
                    ChildCreated(
                        me.ids(), at, me.name, task_id, child, release.ordinal, known.attempt, handler,
                        args, timeout, heartbeat, priority, known.sequence, known.state,
                        known.recoveries, trace, options,
                    ),
                )  # fmt: skip

    def _of_stage(self, task: Task, child: int, basis: int) -> tuple[Callable[[int], str], str | None]:
        """Return the arguments of the stage of a child, all whose children are released together, and its options."""
        if task.split and not child:
            return lambda index: "{}", split_options(task.template, task.params(), task.plan)
        if child < task.work_end:
            return self._arguments_of(task)[0], _written(options_of(task.template.child))
        request, text = task.request, reduce_arguments(task.template, task.params())
        results = ReduceInput(request.event_id.hex(), request.at, basis, int(task.split), task.work_end)
        return lambda index: text, _written(options_of(task.spec_of(child), Options(REDUCE, results)))

    def learn(self, task: Task) -> None:
        """Keep for tasks of the same kind how long the children of this one took, which has ended."""
        if task.measured and (kind := self._kind_of(task)) is not None:
            self._lengths.pop(kind, None)
            self._lengths[kind] = task.busy_ms / task.measured
            if len(self._lengths) > KINDS:
                del self._lengths[next(iter(self._lengths))]

    def _mean_ms(self, task: Task) -> float | None:
        """Return how long a child of this task takes: as measured, or as long as those of the last of its kind."""
        if task.measured:
            return task.busy_ms / task.measured
        kind = self._kind_of(task)
        return None if kind is None else self._lengths.get(kind)

    def _kind_of(self, task: Task) -> int | None:
        """Return the hash of the kind of a task's children; None where they cannot be made, or there are none."""
        if not task.work:
            return None
        if task.split:
            return hash((task.template.child.code, task.plan))
        try:
            return self._arguments_of(task)[1]
        except TemplateError:
            return None

    def forget(self, task_id: str) -> None:
        """Forget what was kept for a task."""
        self._arguments.pop(task_id, None)
        self._entries.forget(task_id)

    def _arguments_of(self, task: Task) -> tuple[ChildArguments, int]:
        found = self._arguments.get(task.task_id)
        if found is None:
            made = ChildArguments(task.template, task.params(), task.plan)
            if made.children != task.work:
                reason = f"its plan gives {made.children:,} children, not {task.work:,}"
                raise TemplateError(reason, "cancel it", template=task.template.name)
            found = self._arguments[task.task_id] = made, hash((task.template.child.code, made(0)))
        return found
