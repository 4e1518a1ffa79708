"""A round of one key: it gets what there is room for, and its tasks take turns of ``TURN`` children.

A worker should hold about one second of work: long children one for each slot, short ones thousands. A task with fewer
live children than there are slots may always add some. A small one is spread over all workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import groupby, repeat

from streamsched.domain.routing import Requirement
from streamsched.domain.task import Task
from streamsched.scheduler import turns
from streamsched.scheduler.routing import Route
from streamsched.scheduler.turns import Turn, concurrency_of, turn_of, wanted_on
from streamsched.scheduler.workers import Capacity


class _Reach:
    """The workers on which a route places children in this round: a heap by what they hold for their slots."""

    __slots__ = ("heap", "slots", "trial")

    def __init__(self, workers: Sequence[Capacity], held: list[float], route: Route | None) -> None:
        numbers = [n for n, worker in enumerate(workers) if route is None or worker.node_id in route.nodes]
        self.trial = frozenset(n for n in numbers if route is not None and workers[n].node_id in route.trial)
        self.slots = sum(1 if number in self.trial else workers[number].slots for number in numbers)
        self.heap = [(held[number], number) for number in numbers]
        heapify(self.heap)


class Filling:
    """One round of one key. ``number`` chooses the partition of each worker."""

    def __init__(
        self, workers: Sequence[Capacity], load: Mapping[int, int], number: int, mean_ms: Callable[[Task], float | None]
    ) -> None:
        self._workers = workers
        self._number = number
        self._mean_ms = mean_ms
        self._held = [sum(map(load.get, worker.partitions, repeat(0))) / worker.slots for worker in workers]
        """Children that each worker holds for its slots."""

    def run(self, tasks: Sequence[Task], routes: Mapping[Requirement, Route], now: int) -> list[Turn]:
        """Return what these tasks get, the highest priority first."""
        reaches: dict[Route | None, _Reach] = {}
        room = turns.ROUND
        made: list[Turn] = []
        ranked = sorted(tasks, key=lambda task: -task.limits.priority)
        for _, equals in groupby(ranked, key=lambda task: task.limits.priority):
            queue = deque[tuple[Turn, _Reach]]()
            for task in equals:
                route = routes.get(task.requirement(now))
                reach = reaches.get(route)
                if reach is None:
                    reach = reaches[route] = _Reach(self._workers, self._held, route)
                made.append(turn := turn_of(task, now))
                queue.append((turn, reach))
            while queue and room > 0:
                turn, reach = queue.popleft()
                taken = self._turn(turn, reach, min(turns.TURN, room))
                room -= taken
                if taken and turn.left:
                    queue.append((turn, reach))
        return made

    def _turn(self, turn: Turn, reach: _Reach, limit: int) -> int:
        """Place up to ``limit`` children of one task, always on the worker that holds least for its slots."""
        before, mean_ms = turn.taken, self._mean_ms(turn.task) if limit and turn.left else None
        concurrency = concurrency_of(turn.task)
        held, heap, trial = self._held, reach.heap, reach.trial
        others = len(heap)
        while heap and turn.left and turn.taken - before < limit:
            share, number = heap[0]
            if share != held[number]:  # a task that may go elsewhere too has placed children here
                heapreplace(heap, (held[number], number))
                continue
            worker = self._workers[number]
            room = wanted_on(worker, mean_ms, concurrency) - int(share * worker.slots)
            if room <= 0:
                if turn.task.live + turn.taken >= reach.slots:
                    break
                room = 1
            tries = number in trial
            portion = 1 if tries else min(room, -(-turn.left // others), limit - (turn.taken - before))
            others = max(1, others - 1)
            size = turn.taken
            turn.take(portion, worker.partitions[self._number % len(worker.partitions)])
            held[number] = share + (turn.taken - size) / worker.slots
            if tries:
                heappop(heap)
            else:
                heapreplace(heap, (held[number], number))
        return turn.taken - before
