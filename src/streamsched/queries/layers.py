"""What the grid shows of each work child beside its state, as bytes: attempts, duration, cause of failure, worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log2
from typing import Final, Literal

from streamsched.domain.child_detail import ChildDetail
from streamsched.domain.task import Task
from streamsched.queries.documents import Document
from streamsched.queries.grid import STATE, STATES, grid_of

Layer = Literal["duration", "failure", "worker"]
"""Those that are read from the details of children."""
STEPS: Final = 8
"""Bytes for each doubling of the time."""
OTHERS: Final = 255
"""The byte of all workers that are not named."""
_FAILED: Final = bytes(255 * (byte & STATE == STATES.index("failed")) for byte in range(256))


class WorkerShare(Document, frozen=True):
    """A worker, and how many work children it ran last."""

    worker: str
    children: int


class Workers(Document, frozen=True):
    """The workers that ran the work children of a task last, those with the most first; at most 254 of them.

    ``others`` is how many children further workers ran.
    """

    task_id: str
    items: tuple[WorkerShare, ...]
    others: int


class TaskLayers:
    """The layers of one task. ``following``: the child with which to go on reading; None once all were."""

    __slots__ = ("_duration", "_failure", "_groups", "_worker", "_workers", "following")

    def __init__(self, children: int) -> None:
        self._duration, self._failure, self._worker = (bytearray(children) for _ in range(3))
        self._groups: dict[str, int] = {}
        """The number of each failure group, as far as it was asked for."""
        self._workers: dict[str, int] = {}
        """The number of each worker, from 1 on."""
        self.following: int | None = 0

    def __len__(self) -> int:
        """Return how many bytes it takes."""
        return 3 * len(self._duration)

    def set(self, task: Task, child: int, known: ChildDetail) -> None:
        """Take in what is known of a work child."""
        index = child - task.split
        for layer in (self._duration, self._failure, self._worker):
            layer.extend(bytes(max(0, index + 1 - len(layer))))
        if known.started_at is not None and known.finished_at is not None:
            self._duration[index] = duration_byte(known.finished_at - known.started_at)
        if known.worker is not None:
            number = self._workers.get(known.worker, OTHERS)
            if number == OTHERS and len(self._workers) < OTHERS - 1:
                number = self._workers[known.worker] = len(self._workers) + 1
            self._worker[index] = number
        if known.group is not None:
            if known.group not in self._groups:
                self._groups = {key: number for number, key in enumerate(task.failures, 1)}
            self._failure[index] = self._groups.get(known.group, 0)

    def of(self, task: Task, layer: Layer, first: int, end: int | None, workers: Sequence[str] = ()) -> bytes:
        """Return the bytes of the children in [first, end); ``workers``: those that are named, from 1 on."""
        if layer == "duration":
            return _cut(self._duration, task, first, end)
        if layer == "worker":
            numbers = {self._workers.get(worker): number for number, worker in enumerate(workers, 1)}
            named = bytes(numbers.get(number, OTHERS) if number else 0 for number in range(256))
            return _cut(self._worker, task, first, end).translate(named)
        found = _cut(self._failure, task, first, end)
        failed = grid_of(task, (), first, end).translate(_FAILED)
        return (int.from_bytes(found) & int.from_bytes(failed)).to_bytes(len(found))

    def workers(self, task: Task) -> Workers:
        """Return which workers ran the children."""
        counts = Counter(self._worker)
        items = [WorkerShare(worker, counts[number]) for worker, number in self._workers.items() if counts[number]]
        items.sort(key=lambda item: (-item.children, item.worker))
        return Workers(task.task_id, tuple(items), counts[OTHERS])


def _cut(layer: bytearray, task: Task, first: int, end: int | None) -> bytes:
    stop = max(first, task.work if end is None else min(end, task.work))
    found = bytes(layer[first:stop])
    return found + bytes(stop - first - len(found))


def duration_byte(taken: int) -> int:
    """Return the byte of a time in milliseconds: 1 below 1 ms, then 8 steps for each doubling; 255 at most."""
    return min(255, 1 + int(STEPS * log2(max(1, taken))))


def attempts_of(task: Task, first: int, end: int | None) -> bytes:
    """Return how often each child was dispatched, 255 at most."""
    begin = min(first, task.work) + task.split
    stop = max(begin, (task.work if end is None else min(end, task.work)) + task.split)
    found = bytes(min(255, cell >> 4 & 0xFFF) for cell in task.table[begin : min(stop, task.cells)])
    return found + bytes(stop - begin - len(found))
