"""The status of a task and its children as plain data, from the view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from streamsched.audit.document import decoded
from streamsched.domain.phases import ChildState
from streamsched.domain.task import ChildDetail, Task
from streamsched.queries.documents import Document, Time, Timestamp

if TYPE_CHECKING:
    from streamsched.view.view import View

CHILD_STATES = {
    ChildState.WAITING: "waiting",
    ChildState.RUNNING: "running",
    ChildState.STOPPING: "running",
    ChildState.DUE: "waiting",
    ChildState.SUCCEEDED: "succeeded",
    ChildState.FAILED: "failed",
    ChildState.CANCELLED: "cancelled",
}


class ChildCounts(Document, frozen=True):
    """Children by state; the states add up to ``total``."""

    total: int
    waiting: int
    running: int
    succeeded: int
    failed: int
    cancelled: int

    @property
    def ended(self) -> int:
        """Children that have ended."""
        return self.succeeded + self.failed + self.cancelled


class TaskStatus(Document, frozen=True):
    """A task."""

    task_id: str
    template: str
    template_version: str
    state: str
    reason: str
    redrive: int
    priority: int
    origin: str
    submitted_by: str
    submitted_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    params: Any
    children: ChildCounts
    void: int
    why: str = ""
    """Why nothing works on it now, with the remedy; empty if unknown."""
    reduce: str | UnsetType = UNSET
    """The state of its reduce, as a child's; absent where it has none."""
    split: str | UnsetType = UNSET
    """The state of its split child, as a child's; absent where it has none. ``children`` are those found so far."""

    @property
    def splitting(self) -> bool:
        """Whether its split child may still find more children."""
        return not self.done and self.split in ("waiting", "running")

    @property
    def done(self) -> bool:
        """Whether its ending is certain: it has its terminal event, or will have the one that ``state`` says."""
        return self.state in ("succeeded", "failed", "cancelled", "refused")


class ChildStatus(Document, frozen=True):
    """A child, by its number inside its stage; ``result`` is decoded."""

    child: int
    state: str
    attempt: int
    dispatches: int
    sequence: int
    worker: str | None
    started_at: Timestamp | None
    finished_at: Timestamp | None
    reason: str | None
    error_type: str | None
    message: str | None
    traceback: str | None
    result: Any


def status_of(task: Task) -> TaskStatus:
    """Return the status of a task."""
    request = task.request
    return TaskStatus(
        task_id=task.task_id,
        template=request.template_name,
        template_version=request.template_version,
        state=str(task.verdict),
        reason=task.reason,
        redrive=task.redrive,
        priority=request.priority,
        origin=request.origin,
        submitted_by=request.by,
        submitted_at=Time.at(request.at),
        started_at=Time.of(task.started_at),
        finished_at=Time.of(task.finished_at),
        params=decoded(request.params),
        children=_work_counts(task),
        void=task.void,
        reduce=CHILD_STATES[task.state_of(task.work_end)] if task.work_end < task.children else UNSET,
        split=CHILD_STATES[task.state_of(0)] if task.split else UNSET,
    )


def reduce_of(view: View, task: Task) -> ChildStatus | None:
    """Return the status of a task's reduce; None where it has none."""
    if task.work_end == task.children:
        return None
    state = CHILD_STATES[task.state_of(task.work_end)]
    return _child(task, task.work_end, state, view.detail(task.task_id, task.work_end))


def _work_counts(task: Task) -> ChildCounts:
    """Count the work children alone."""
    waiting, running, succeeded, failed, cancelled = task.idle, task.live, task.succeeded, task.failed, task.cancelled
    for child in (*range(task.split), *range(task.work_end, task.children)):
        state = CHILD_STATES[task.state_of(child)]
        waiting -= state == "waiting"
        running -= state == "running"
        succeeded -= state == "succeeded"
        failed -= state == "failed"
        cancelled -= state == "cancelled"
    return ChildCounts(task.work, waiting, running, succeeded, failed, cancelled)


def children_of(view: View, task: Task, state: str | None = None) -> Iterator[ChildStatus]:
    """Yield the work children in order, those in ``state`` if it is given."""
    for child, known in details_of(view, task, _listed(task, state)):
        shown = CHILD_STATES[task.state_of(child)]
        if state is None or shown == state:
            yield _child(task, child, shown, known)


def details_of(view: View, task: Task, children: Iterable[int]) -> Iterator[tuple[int, ChildDetail | None]]:
    """Yield these children, which are in order, each with what the view knows of it."""
    known = view.details(task.task_id)
    index, detail = next(known, (-1, None))
    for child in children:
        while 0 <= index < child:
            index, detail = next(known, (-1, None))
        yield child, detail if index == child else None


def _listed(task: Task, state: str | None) -> Iterator[int]:
    """Yield the children that may be in this state; never-dispatched ones in whole runs."""
    yield from range(task.split, min(task.cells, task.work_end))
    for tail, children in task.tail():
        if state in (None, CHILD_STATES[tail]):
            yield from range(max(task.split, children.start), min(children.stop, task.work_end))


def _child(task: Task, child: int, state: str, known: ChildDetail | None) -> ChildStatus:
    detail = known or ChildDetail()
    return ChildStatus(
        child=task.index_of(child),
        state=state,
        attempt=detail.attempt if task.ordinal_of(child) else 0,
        dispatches=task.ordinal_of(child),
        sequence=detail.sequence,
        worker=detail.worker,
        started_at=Time.of(detail.started_at),
        finished_at=Time.of(detail.finished_at),
        reason=detail.reason,
        error_type=detail.error_type,
        message=detail.message,
        traceback=detail.traceback,
        result=None if detail.result is None else decoded(detail.result),
    )
