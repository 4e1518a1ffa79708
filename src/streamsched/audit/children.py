"""Events of workers about children: outcomes (invariant 3), checkpoints and fencing tokens (4), pages (13)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from streamsched.audit.report import Fault
from streamsched.domain import events as e
from streamsched.domain.bounds import CHILDREN_LIMIT
from streamsched.domain.ids import MASK
from streamsched.domain.phases import Told
from streamsched.domain.task import Task

OUTCOMES: Final = frozenset({e.ChildCompleted, e.ChildFailed, e.ChildCancelled, e.ChildReturned})
WORKER_EVENTS: Final = OUTCOMES | {e.ChildCheckpointed, e.ChildStarted, e.ChildYielded, e.TaskPlanProgressed}
OfChild = e.WorkerEvent | e.TaskPlanProgressed
Epochs = dict[int, tuple[int, str, int, int]]
"""The highest epoch of each work-log partition, with the task, child and offset of the event that has it."""


class Owners:
    """The last owner of each work-log partition, and its epoch, by the events of one task."""

    __slots__ = ("_known", "highest")

    def __init__(self, highest: Epochs) -> None:
        self._known: dict[int, tuple[int, str]] | None = None
        self.highest = highest
        """The same for all tasks of a journal partition, to be compared with the commits."""

    def reset(self, partition: int) -> None:
        """Forget a partition whose epochs begin anew."""
        if self._known:
            self._known.pop(partition, None)

    def judge(self, partition: int, event: OfChild, offset: int) -> Fault | None:
        """Compare the fencing token of an event with those before it."""
        epoch = event.token & MASK
        if self._known is None:
            self._known = {}
        known = self._known.get(partition)
        if known is None or epoch > known[0]:
            self._known[partition] = (epoch, event.by)
            if partition not in self.highest or epoch > self.highest[partition][0]:
                self.highest[partition] = (epoch, event.task_id, event.child, offset)
        elif epoch < known[0]:
            expected = f"epoch {known[0]} of partition {partition} or a later one"
            return Fault(4, event.child, expected, f"epoch {epoch}: a former owner's, {event.by}")
        elif event.by != known[1]:
            expected = f"one owner of partition {partition} in epoch {epoch}: {known[1]}"
            return Fault(4, event.child, expected, f"another one: {event.by}")
        return None


def is_poison(event: e.Event) -> bool:
    """Return whether a record of the work log that could not be read ended this child: it is named by headers alone."""
    return isinstance(event, e.ChildFailed) and event.reason == "poison" and event.token == 0


def judge_worker_event(
    task: Task, event: OfChild, offset: int, owners: Owners, excused: Collection[int]
) -> Fault | None:
    """Compare an event of a worker with the dispatches and checkpoints before it."""
    child = event.child
    if isinstance(event, e.TaskPlanProgressed) and (child or not task.split):
        return Fault(13, child, "a page by a split child", f"a page by child {child}")
    if not task.is_current(child, event.ordinal):
        return None if child in excused and 1 <= event.ordinal <= task.ordinal_of(child) else _stray(task, event)
    detail = task.detail_of(child)
    if event.token >> 32 != event.ordinal:
        return Fault(4, child, f"a fencing token of ordinal {event.ordinal}", f"one of ordinal {event.token >> 32}")
    if isinstance(event, e.ChildReturned) and event.attempt != detail.attempt:
        return Fault(3, child, f"attempt {detail.attempt} still, for it came back", f"attempt {event.attempt}")
    return owners.judge(task.partition_of(child), event, offset) or _judge_sequence(task, event, detail.sequence)


def _stray(task: Task, event: OfChild) -> Fault:
    """Return what is wrong with an event that is about no live dispatch."""
    child, name = event.child, type(event).__name__
    invariant = 3 if type(event) in OUTCOMES else 13 if isinstance(event, e.TaskPlanProgressed) else 4
    if not 0 <= child < task.children:
        return Fault(invariant, child, f"a child of the plan's {task.children}", name)
    last = task.ordinal_of(child)
    if not 1 <= event.ordinal <= last:
        before = f"its last dispatch has ordinal {last}" if last else "it was never dispatched"
        return Fault(invariant, child, f"a dispatch with ordinal {event.ordinal} before", f"{name}, but {before}")
    ended = f"ordinal {event.ordinal} had its outcome"
    if invariant == 3:
        return Fault(3, child, f"one outcome of ordinal {event.ordinal}", f"another one: {name}")
    return Fault(invariant, child, f"nothing of ordinal {event.ordinal} after its outcome", f"{name}, though {ended}")


def _judge_sequence(task: Task, event: Any, known: int) -> Fault | None:
    if isinstance(event, e.ChildStarted | e.ChildYielded):
        return None
    sequence, name = event.sequence, type(event).__name__
    if isinstance(event, e.TaskPlanProgressed):
        return _judge_page(task, event, known)
    if isinstance(event, e.ChildCheckpointed):
        if sequence == known + 1:
            return None
        what = "the sequence does not rise" if sequence <= known else "the checkpoints before it are missing"
        return Fault(4, event.child, f"checkpoint {known + 1}", f"checkpoint {sequence}: {what}")
    # An outcome carries a last state that was not durable yet; before that of a split child it is written.
    told = isinstance(event, e.ChildCompleted) or (task.split and not event.child)
    if sequence != known and (sequence != known + 1 or told):
        what = "an earlier checkpoint than" if sequence < known else "a checkpoint that is missing after"
        return Fault(4, event.child, f"{name} from checkpoint {known}", f"from {sequence}: {what} the journal's last")
    if isinstance(event, e.ChildCancelled) and task.told_of(event.child) < Told.CANCEL:
        return Fault(3, event.child, "ChildrenStopping that names it before it is cancelled", "it was not told to stop")
    return None


def _judge_page(task: Task, event: e.TaskPlanProgressed, known: int) -> Fault | None:
    """Find a page that does not follow the one before it."""
    if event.sequence != known + 1:
        return Fault(13, 0, f"page {known + 1}, as each page is a checkpoint", f"page {event.sequence}")
    if event.first != task.work_end:
        return Fault(13, 0, f"a page from child {task.work_end} on", f"one from child {event.first} on")
    if not event.count:
        return Fault(13, 0, "a page with entries", "an empty one")
    if task.work + event.count > CHILDREN_LIMIT:
        return Fault(13, 0, f"at most {CHILDREN_LIMIT:,} work children", f"{task.work + event.count:,}")
    return None
