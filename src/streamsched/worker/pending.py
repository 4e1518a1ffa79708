"""The pending set of a worker: each dispatched, unfinished child is one unsettled record of the work log."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import ClassVar, Protocol

from msgspec import Struct

from streamsched.domain.events import ChildCheckpointed, ChildCreated, ChildrenStopping, Release, Work
from streamsched.domain.fairness import Stake, rank, stake_of
from streamsched.domain.ids import fencing_token
from streamsched.domain.options import SPLIT, read_options
from streamsched.log.port import Record
from streamsched.runtime.tracker import Tracker
from streamsched.worker.intents import StopIntent
from streamsched.worker.progress import NOTHING, Unsaved


class Item(Protocol):
    """What an unsettled record of the work log stands for."""

    partition: int
    offset: int

    @property
    def renewed(self) -> Iterable[Child]:
        """What of it can be appended again; nothing: it can only be settled."""


@dataclass(slots=True, eq=False)
class StopMarker:
    """A stop marker: settled with, or after, the records of the children that it names."""

    partition: int
    offset: int
    event: ChildrenStopping
    waiting: int = 0
    open: bool = True
    """Whether a child that it names may still be met further on."""
    renewed: ClassVar[tuple[Child, ...]] = ()


@dataclass(slots=True, eq=False)
class Unreadable:
    """A record without work: rubbish, a decision about such a record, or what only a newer version can read.

    The latter stays unsettled until a worker comes that can, or an operator decides that it is rubbish.
    """

    partition: int
    offset: int
    renewed: ClassVar[tuple[Child, ...]] = ()


class Child(Struct, eq=False, gc=False):
    """One live dispatch on this worker, with the state that its next attempt or owner would continue from."""

    work: ChildCreated
    partition: int
    offset: int
    token: int
    """The fencing token: grows over the whole life of the child."""
    attempt: int
    sequence: int
    state: str | None
    recoveries: int
    inherited: bool
    """Found without a release mark: it may have taken its last worker down."""
    key: int | None = None
    """Its job's key while the pool holds it."""
    unsaved: Unsaved = NOTHING
    """What its executor reported and the log does not hold yet."""
    next_checkpoint: float = 0.0
    started_reported: bool = False
    intent: StopIntent = StopIntent.NONE
    reason: str = ""
    """Why the intent was given."""
    gone: bool = False
    """Ended or handed over: queues that still hold it skip it."""
    markers: list[StopMarker] = []

    @property
    def renewed(self) -> tuple[Child]:
        """Itself, with the state that is durable then."""
        return (self,)

    def older_than(self, other: Child) -> bool:
        """Whether the other record of the same child is of a later dispatch or checkpoint."""
        return (self.work.ordinal, self.sequence) < (other.work.ordinal, other.sequence)

    @property
    def splits(self) -> bool:
        """Whether it is a split child, which finds the others."""
        options = None if self.work.options is None else read_options(self.work.options)
        return options is not None and options.stage == SPLIT

    @property
    def latest(self) -> tuple[int, str | None]:
        """Sequence and state that an outcome written now would carry."""
        state = self.unsaved.state
        return (self.sequence, self.state) if state is None else (self.sequence + 1, state)


def child_of(work: Work, *, partition: int, offset: int, epoch: int, inherited: bool) -> Child:
    """Make the child of a record: a first dispatch, or a continuation that carries it."""
    created = work.work if isinstance(work, ChildCheckpointed) else work
    if created is None:
        raise ValueError("a continuation without its work")
    token = fencing_token(created.ordinal, epoch)
    return Child(created, partition, offset, token, work.attempt, work.sequence, work.state, work.recoveries, inherited)


class OwnedPartition:
    """What a worker knows of one partition that it owns."""

    __slots__ = ("children", "end", "epoch", "markers", "number", "released", "tracker", "unknown")

    def __init__(
        self, number: int, *, epoch: int, position: int, settled_ranges: str, end: int, released: bool
    ) -> None:
        self.number = number
        self.epoch = epoch
        self.end = end
        self.released = released
        self.tracker: Tracker[Item] = Tracker(position, settled_ranges)
        self.children: dict[tuple[str, int], Child] = {}
        self.markers: list[StopMarker] = []
        self.unknown: dict[int, Record] = {}
        """Unsettled records of an unknown schema, by their offsets."""

    def hold(self, child: Child) -> Child | None:
        """Hold a child that was just read, or one that it is older than; return the other of the two, if any."""
        key = (child.work.task_id, child.work.child)
        known = self.children.get(key)
        if known is not None and child.older_than(known):
            return child
        self.children[key] = child
        return known

    def forget(self, child: Child) -> None:
        """Remove a child that has ended, unless a later record stands for it."""
        key = (child.work.task_id, child.work.child)
        if self.children.get(key) is child:
            del self.children[key]
            if not self.children:
                self.children.clear()  # else it keeps the room that it had at its fullest

    def unbegun(self) -> list[Child]:
        """List the children that the pool does not hold, and that have not ended."""
        return [child for child in self.children.values() if child.key is None and not child.gone]

    @property
    def caught_up(self) -> bool:
        """Whether everything was read that was there when the partition was claimed."""
        return self.tracker.read >= self.end

    @property
    def accounted(self) -> bool:
        """Whether all records of the previous owner have been read, so that each crash suspect has been counted."""
        return self.released or self.caught_up

    def named(self, event: ChildrenStopping) -> Iterator[Child]:
        """Yield the pending dispatches that a stop marker names."""
        for release in event.releases:
            for child in self._among(event.task_id, release):
                if child.work.ordinal == release.ordinal:
                    yield child

    def _among(self, task_id: str, release: Release) -> Iterator[Child]:
        """Yield the pending children of a range; loop over whichever is shorter, the range or what is pending."""
        if release.last - release.first < len(self.children):
            indexes = range(release.first, release.last + 1)
            return (self.children[task_id, index] for index in indexes if (task_id, index) in self.children)
        return (
            child
            for (task, index), child in self.children.items()
            if task == task_id and release.first <= index <= release.last
        )

    def markers_for(self, child: Child) -> Iterator[StopMarker]:
        """Yield the open markers that name a child which was read after them."""
        work = child.work
        for marker in self.markers:
            if marker.open and marker.event.task_id == work.task_id:
                for release in marker.event.releases:
                    if release.first <= work.child <= release.last and release.ordinal == work.ordinal:
                        yield marker


class _Lane:
    """What waits of one key: its tasks take turns."""

    __slots__ = ("stake", "tasks")

    def __init__(self, stake: Stake) -> None:
        self.stake = stake
        self.tasks: dict[str, deque[Child]] = {}

    def queue_of(self, task_id: str) -> deque[Child]:
        return self.tasks.get(task_id) or self.tasks.setdefault(task_id, deque())

    def take(self, count: int) -> list[Child]:
        taken: list[Child] = []
        tasks = self.tasks
        while tasks and len(taken) < count:
            task_id = next(iter(tasks))
            queue = tasks.pop(task_id)
            share = max(1, (count - len(taken)) // (len(tasks) + 1))
            while queue and share and len(taken) < count:
                child = queue.popleft()
                if not child.gone:
                    taken.append(child)
                    share -= 1
            if queue:
                tasks[task_id] = queue
        return taken


class ReadyQueue:
    """Children that could start: the highest priority first, then the key that runs least here for its weight.

    Keys of which nothing runs here take turns, and so do the tasks of one key.
    """

    def __init__(self) -> None:
        self._bands: dict[int, dict[str, _Lane]] = {}

    def put(self, child: Child) -> None:
        """Queue a child behind those of its task. Its weight is the newest of its key."""
        stake = _stake_of(child)
        lane = self._lane_of(child, stake)
        lane.stake = stake
        lane.queue_of(child.work.task_id).append(child)

    def put_back(self, child: Child) -> None:
        """Queue a child before those of its task: it was to run already."""
        self._lane_of(child, _stake_of(child)).queue_of(child.work.task_id).appendleft(child)

    def take(self, count: int, running: Callable[[], Iterable[Child]]) -> list[Child]:
        """Take up to ``count`` children; ``running`` is asked what runs where keys compete."""
        taken: list[Child] = []
        shares: dict[str, float] | None = None
        for priority in sorted(self._bands, reverse=True):
            lanes = self._bands[priority]
            if len(lanes) == 1:
                ((key, lane),) = lanes.items()
                taken += lane.take(count - len(taken))
                if not lane.tasks:
                    del lanes[key]
            elif len(taken) < count:
                if shares is None:
                    shares = defaultdict(float)
                    for child in chain(running(), taken):
                        shares[_stake_of(child).key] += _part_of(child)
                taken += _fairly(lanes, count - len(taken), shares)
            if not lanes:
                del self._bands[priority]
        return taken

    def drain(self) -> Iterable[Child]:
        """Take all."""
        lanes = [lane for band in self._bands.values() for lane in band.values()]
        children = [child for lane in lanes for queue in lane.tasks.values() for child in queue if not child.gone]
        self._bands.clear()
        return children

    def _lane_of(self, child: Child, stake: Stake) -> _Lane:
        lanes = self._bands.setdefault(child.work.priority, {})
        return lanes.get(stake.key) or lanes.setdefault(stake.key, _Lane(stake))


def _stake_of(child: Child) -> Stake:
    work = child.work
    return Stake(work.task_id) if work.terms is None else stake_of(work.task_id, work.terms.key, work.terms.weight)


def _part_of(child: Child) -> float:
    """Return how much of a slot a child takes: with ``concurrency`` several share one."""
    options = None if child.work.options is None else read_options(child.work.options)
    return 1 / (options.concurrency or 1) if options is not None else 1


def _fairly(lanes: dict[str, _Lane], count: int, shares: dict[str, float]) -> list[Child]:
    """Take up to ``count`` children, always of the key that has least for its weight, and count them in ``shares``."""
    taken: list[Child] = []
    served = [rank(shares[key], lanes[key].stake) for key in shares if key in lanes]
    heapify(served)
    for _, key in served:
        lanes[key] = lanes.pop(key)
    new = len(lanes) - len(served)  # those in front, of which nothing runs
    while len(taken) < count and lanes:
        key = next(iter(lanes)) if new else heappop(served)[1]
        new = max(0, new - 1)
        lane = lanes.pop(key)
        if child := lane.take(1):
            taken += child
            shares[key] += _part_of(child[0])
        if lane.tasks:
            lanes[key] = lane
            heappush(served, rank(shares[key], lane.stake))
    return taken
