"""A round in which keys compete: the key is next that has the fewest expected running slots for its weight.

It gets what one slot takes, on the worker that holds least of this key, then least of all: a key that is crowded on one
worker would be held back there. Tasks of one key take turns. Room is time, not children: a child takes as much of a
slot as one of the children of its length that the slot would hold if all were equal. The round ends when no worker has
room. Beyond it, a key that has less than its part of the slots may add children while it has fewer than there are
slots, so that a small task behind a huge one starts at once: its worker takes it next.

*Ghosts* are tasks that somebody else dispatches, or whose last dispatch was not read back. They get their grants like
any other, which are left to them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import groupby, repeat
from typing import Final

from streamsched.domain.fairness import Stake, expected_slots, rank
from streamsched.domain.routing import Requirement
from streamsched.domain.task import Task
from streamsched.scheduler import turns
from streamsched.scheduler.routing import Route
from streamsched.scheduler.standing import NOTHING, Holding, Standing, room_of
from streamsched.scheduler.turns import Turn, concurrency_of, turn_of, window_of
from streamsched.scheduler.workers import Capacity

ROUNDING: Final = 1e-9
"""What sums of shares and room may be beside the truth."""


class _Floor:
    """The workers, and what each holds in this round. Workers go by their numbers."""

    def __init__(self, workers: Sequence[Capacity], load: Mapping[int, int], standing: Standing) -> None:
        self.workers = workers
        self.homes = {each: number for number, worker in enumerate(workers) for each in worker.partitions}
        """The worker of each partition."""
        self.taken = [sum(map(standing.taken.get, worker.partitions, repeat(0.0))) for worker in workers]
        self.children = [sum(map(load.get, worker.partitions, repeat(0))) for worker in workers]
        self.slots = sum(worker.slots for worker in workers)
        self._closed: set[int] = set()

    @property
    def is_closed(self) -> bool:
        """Whether no worker takes more in this round."""
        return len(self._closed) == len(self.workers)

    def room(self, number: int, each: float) -> int:
        """Return how many children fit on a worker that take so much room."""
        if number in self._closed:
            return 0
        room = int((self.workers[number].slots - self.taken[number]) / each + ROUNDING)
        return min(room, turns.HELD - self.children[number])

    def close(self, numbers: Iterable[int]) -> None:
        """Let these workers take nothing more: a key that was next found no room there."""
        self._closed.update(numbers)

    def put(self, number: int, count: int, each: float) -> None:
        """Place children that take so much room."""
        self.taken[number] += count * each
        self.children[number] += count


class _Reach:
    """The workers that a route may use, by their numbers; those on trial until they have their one child."""

    __slots__ = ("numbers", "slots", "spent", "trial")

    def __init__(self, workers: Sequence[Capacity], route: Route | None) -> None:
        self.numbers = [n for n, worker in enumerate(workers) if route is None or worker.node_id in route.nodes]
        self.trial = frozenset(n for n in self.numbers if route is not None and workers[n].node_id in route.trial)
        self.slots = sum(1 if number in self.trial else workers[number].slots for number in self.numbers)
        self.spent: set[int] = set()


class _Hand:
    """What a key has in this round, and a heap of workers for each of its routes: least of this key, then of all."""

    def __init__(self, holding: Holding, floor: _Floor) -> None:
        self.share = holding.share
        self._floor = floor
        self._held = [0.0] * len(floor.workers)
        for partition, room in holding.placed.items():
            if (number := floor.homes.get(partition)) is not None:
                self._held[number] += room
        self._heaps: dict[int, list[tuple[float, float, int]]] = {}

    def next(self, reach: _Reach, each: float) -> int | None:
        """Return the worker that has room and is next, if any. What a worker holds only grows in a round."""
        heap = self._heaps.get(id(reach))
        if heap is None:
            heap = self._heaps[id(reach)] = [self._place(number) for number in reach.numbers]
            heapify(heap)
        while heap:
            number = heap[0][2]
            if number in reach.spent or self._floor.room(number, each) <= 0:
                heappop(heap)
            elif heap[0] != (now := self._place(number)):
                heapreplace(heap, now)
            else:
                return number
        return None

    def least(self, reach: _Reach) -> int | None:
        """Return the worker that is next, whether it has room or not."""
        return min((each for each in reach.numbers if each not in reach.spent), key=self._place, default=None)

    def put(self, number: int, room: float, share: float) -> None:
        """Note what it got."""
        self.share += share
        self._held[number] += room

    def _place(self, number: int) -> tuple[float, float, int]:
        slots = self._floor.workers[number].slots
        return self._held[number] / slots, self._floor.taken[number] / slots, number


class Sharing:
    """One round in which keys compete. ``number`` chooses the partition of each worker."""

    def __init__(
        self, workers: Sequence[Capacity], load: Mapping[int, int], number: int,
        mean_ms: Callable[[Task], float | None], standing: Standing,
    ) -> None:  # fmt: skip
        self._floor = _Floor(workers, load, standing)
        self._number = number
        self._mean_ms = mean_ms
        self._standing = standing
        self._hands: dict[str, _Hand] = {}
        self._reaches: dict[Route | None, _Reach] = {}
        self._turns: dict[str, Turn] = {}
        self._weights = 0
        self._shares = 0.0

    def run(
        self, tasks: Sequence[Task], ghosts: Collection[str], routes: Mapping[Requirement, Route], now: int
    ) -> list[Turn]:
        """Return what these tasks get, ghosts too, the highest priority first; ``ghosts`` are the ids of those."""
        left = turns.ROUND
        staked = [(task, task.stake) for task in tasks]
        weights = {stake.key: stake.weight for _, stake in staked}
        self._weights = sum(weights.values())
        self._shares = sum(self._share(key) for key in weights)
        staked.sort(key=lambda each: -each[0].limits.priority)
        for _, equals in groupby(staked, key=lambda each: each[0].limits.priority):
            left -= self._share_out(equals, left, ghosts, routes, now)
        return list(self._turns.values())

    def _share_out(
        self, tasks: Iterable[tuple[Task, Stake]], room: int, ghosts: Collection[str],
        routes: Mapping[Requirement, Route], now: int,
    ) -> int:  # fmt: skip
        """Place children of tasks of equal priority; return how many, without those that are left to others."""
        lanes: dict[str, deque[Task]] = {}
        stakes: dict[str, Stake] = {}
        for task, stake in tasks:
            lanes.setdefault(stake.key, deque()).append(task)
            stakes[stake.key] = stake
        heap = [rank(self._share(key), stake) for key, stake in stakes.items()]
        heapify(heap)
        left = room
        while heap and left > 0:
            share, key = heap[0]
            may_add = share + ROUNDING < min(self._shares, self._floor.slots) / self._weights or not share
            if self._floor.is_closed and not may_add:
                break  # no worker has room, and no key has less than its part
            lane = lanes[key]
            task = lane.popleft()
            turn = self._turns.get(task.task_id)
            if turn is None:
                turn = self._turns[task.task_id] = turn_of(task, now)
            taken = self._grant(turn, key, self._reach(routes.get(task.requirement(now))), left, may_add)
            left -= taken if task.task_id not in ghosts else 0
            if taken and turn.left:
                lane.append(task)
            if lane:
                heapreplace(heap, rank(self._share(key), stakes[key]))
            else:
                heappop(heap)
        return room - left

    def _grant(self, turn: Turn, key: str, reach: _Reach, limit: int, may_add: bool) -> int:
        """Place what one slot takes on one worker; return how many children that are."""
        task, floor, before = turn.task, self._floor, turn.taken
        hand = self._hands.get(key)
        if hand is None:
            hand = self._hands[key] = _Hand(self._standing.keys.get(key, NOTHING), floor)
        mean_ms = self._mean_ms(task)
        each, together = room_of(task, mean_ms), concurrency_of(task)
        number = hand.next(reach, each)
        if number is None:
            floor.close(number for number in reach.numbers if number not in reach.spent)
        if number is not None:
            spread = -(-turn.left // len(reach.numbers))
            count = min(turns.TURN, window_of(mean_ms) * together, floor.room(number, each), spread, limit)
        elif may_add and task.live + turn.taken < reach.slots and (number := hand.least(reach)) is not None:
            count = 1
        else:
            return 0
        if number in reach.trial:
            reach.spent.add(number)
            count = 1
        partitions = floor.workers[number].partitions
        turn.take(count, partitions[self._number % len(partitions)])
        taken = turn.taken - before
        floor.put(number, taken, each)
        self._shares += (more := expected_slots(taken / together, mean_ms))
        hand.put(number, taken * each, more)
        return taken

    def _share(self, key: str) -> float:
        hand = self._hands.get(key)
        return self._standing.keys.get(key, NOTHING).share if hand is None else hand.share

    def _reach(self, route: Route | None) -> _Reach:
        found = self._reaches.get(route)
        if found is None:
            found = self._reaches[route] = _Reach(self._floor.workers, route)
        return found
