"""What a reduce reads: the results of its task's work children, folded from the journal into a store of its own.

At the basis of its dispatch every work child has ended, and none changes before a redrive, which dispatches the reduce
anew. So every attempt reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Final

from streamsched.domain import values
from streamsched.domain.events import Event, PartitionReset, TaskRequested
from streamsched.domain.options import ReduceInput
from streamsched.domain.phases import ENDED, ChildState
from streamsched.domain.task import Task
from streamsched.log.codec import Codec
from streamsched.log.journal import JournalReader, in_words
from streamsched.log.port import Log, TopicPartition
from streamsched.log.scan import StallDetector
from streamsched.log.topics import Topics
from streamsched.view.view import View
from streamsched.worker.seekable import Result, Seekable

BATCH: Final = 2_000
FLUSH_EVERY: Final = 20_000
"""Events of the task between writes of the store, which bound the memory."""
EARLIER_MS: Final = 600_000
"""How far before the time of the request the reading begins: the clocks of client and broker may differ."""


class ResultsUnreadable(Exception):
    """The results cannot be read from the journal, or not by this version."""


class Results(Seekable):
    """An iterator over the results of the work children that succeeded, in the order of their indexes.

    ``missing`` counts the children that did not. ``len`` is the number of results, also of those behind the iterator.
    """

    def __init__(self, view: View | None, task: Task | None, first: int, end: int) -> None:
        self._view = view
        self._task = task
        self._first = first
        self._end = end
        self._length = sum(1 for _ in self._succeeded())
        self.missing = end - first - self._length
        self._rest = self._read(0)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Result:
        return next(self._rest)

    def seek(self, done: int) -> None:
        """Go on behind the first ``done`` results; cheap."""
        self._rest = self._read(done)

    def _succeeded(self) -> Iterator[int]:
        task = self._task
        if task is not None:
            yield from (
                child for child in range(self._first, self._end) if task.state_of(child) is ChildState.SUCCEEDED
            )

    def _read(self, done: int) -> Iterator[Result]:
        view, task = self._view, self._task
        first = next(islice(self._succeeded(), done, None), None)
        if view is None or task is None or first is None:
            return
        for child, detail in view.details(task.task_id, first):
            if child < self._end and task.state_of(child) is ChildState.SUCCEEDED:
                value = None if detail.result is None else values.read(detail.result)
                yield Result(child - self._first, value)


def read_results(
    view: View, *, log: Log, topics: Topics, codec: Codec, task_id: str, wanted: ReduceInput,
    alive: Callable[[], None],
) -> Results:  # fmt: skip
    """Fold a task into an empty view as it stood at the basis, and return its results; ``alive`` is called meanwhile.

    Raise ResultsUnreadable, LogError.
    """
    if wanted.first == wanted.end:
        return Results(None, None, wanted.first, wanted.end)
    home = topics.journal_of(task_id)
    near = log.position_at([home], max(0, wanted.time - EARLIER_MS))[home]
    start = log.start([home])[home]
    for begin in (near, start) if start < near else (start,):
        if _fold(view, log, topics, codec, home, begin, task_id, wanted, alive):
            break
    task = view.task(task_id)
    if task is None:
        raise ResultsUnreadable("the journal does not hold the request of this task any more")
    if any(task.state_of(child) not in ENDED for child in range(wanted.first, wanted.end)):
        raise ResultsUnreadable(f"children of this task had not ended at the journal position {wanted.basis}")
    return Results(view, task, wanted.first, wanted.end)


def _fold(
    view: View, log: Log, topics: Topics, codec: Codec, home: TopicPartition, begin: int, task_id: str,
    wanted: ReduceInput, alive: Callable[[], None],
) -> bool:  # fmt: skip
    """Fold the events of a task from ``begin`` up to the basis; False, and nothing done, where they begin earlier."""
    key, end, begun, unwritten = task_id.encode(), {home: wanted.basis}, False, 0
    with closing(JournalReader(log, topics, codec)) as reader:
        reader.assign({home: begin})
        stall = StallDetector(log, end, reader.reached)
        while reader.left(end):
            alive()
            for record, event in reader.poll(BATCH, 0.2):
                reset = type(event) is PartitionReset
                if record.offset >= wanted.basis or not isinstance(event, Event) or not (reset or record.key == key):
                    continue
                if not begun and type(event) is TaskRequested:
                    begun = event.event_id.hex() == wanted.request
                    if not begun:  # a repeated one
                        return False
                if not begun:  # nothing of before the request has an effect
                    continue
                view.apply(event, record.partition)
                unwritten += 1
            if unwritten >= FLUSH_EVERY or view.full:
                view.flush()
                unwritten = 0
            stall.check()
        if reader.halts and reader.position(home) < wanted.basis:
            raise ResultsUnreadable(in_words(reader.halts.values()))
    view.flush()
    return begun
