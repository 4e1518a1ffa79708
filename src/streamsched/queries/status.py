"""What people and scripts are told of a task and its children: plain data, made from the view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streamsched.audit.document import decoded
from streamsched.domain.phases import ChildState
from streamsched.domain.task import Detail, Task

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


def rfc3339(millis: int | None) -> str | None:
    """Write a time as UTC with milliseconds."""
    if millis is None:
        return None
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """How many children are where; the states add up to ``total``."""

    total: int
    waiting: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """A task as it stands. Times in milliseconds since the epoch."""

    task_id: str
    template: str
    template_version: str
    state: str
    reason: str
    redrive: int
    priority: int
    origin: str
    submitted_by: str
    submitted_at: int
    started_at: int | None
    finished_at: int | None
    params: Any
    children: ChildCounts
    void: int
    why: str = ""
    """Why nothing is done for it now, with the remedy, where that is known."""

    @property
    def done(self) -> bool:
        """Whether the task has its terminal event."""
        return self.state in ("succeeded", "failed", "cancelled", "refused")

    def document(self) -> dict[str, Any]:
        """Make the JSON document of ``status --json``."""
        return {
            "task_id": self.task_id,
            "template": self.template,
            "template_version": self.template_version,
            "state": self.state,
            "reason": self.reason,
            "redrive": self.redrive,
            "priority": self.priority,
            "origin": self.origin,
            "submitted_by": self.submitted_by,
            "submitted_at": rfc3339(self.submitted_at),
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "params": self.params,
            "children": {name: getattr(self.children, name) for name in ChildCounts.__slots__},
            "void": self.void,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """A child as it stands. Times in milliseconds since the epoch; ``result`` is decoded."""

    child: int
    state: str
    attempt: int
    dispatches: int
    sequence: int
    worker: str | None
    started_at: int | None
    finished_at: int | None
    reason: str | None
    error_type: str | None
    message: str | None
    traceback: str | None
    result: Any

    def document(self) -> dict[str, Any]:
        """Make the JSON document of one line of ``children --json``."""
        document = {name: getattr(self, name) for name in self.__slots__}
        return {**document, "started_at": rfc3339(self.started_at), "finished_at": rfc3339(self.finished_at)}


def status_of(task: Task) -> TaskStatus:
    """Tell how a task stands."""
    request = task.request
    return TaskStatus(
        task_id=task.task_id,
        template=request.template_name,
        template_version=request.template_version,
        state=str(task.phase),
        reason=task.reason,
        redrive=task.redrive,
        priority=request.priority,
        origin=request.origin,
        submitted_by=request.by,
        submitted_at=request.at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        params=decoded(request.params),
        children=ChildCounts(task.children, task.idle, task.live, task.succeeded, task.failed, task.cancelled),
        void=task.void,
    )


def children_of(view: View, task: Task, state: str | None = None) -> Iterator[ChildStatus]:
    """Walk the children in order, those in one state if it is given."""
    known = view.details(task.task_id)
    index, detail = next(known, (-1, None))
    for child in _listed(task, state):
        while 0 <= index < child:
            index, detail = next(known, (-1, None))
        shown = CHILD_STATES[task.state_of(child)]
        if state is None or shown == state:
            yield _child(task, child, shown, detail if index == child else None)


def _listed(task: Task, state: str | None) -> Iterator[int]:
    """Walk the children that may be in this state: of those that were never dispatched, only whole runs."""
    yield from range(task.cells)
    for tail, children in task.tail():
        if state in (None, CHILD_STATES[tail]):
            yield from children


def _child(task: Task, child: int, state: str, known: Detail | None) -> ChildStatus:
    detail = known or Detail()
    return ChildStatus(
        child=child,
        state=state,
        attempt=detail.attempt if task.ordinal_of(child) else 0,
        dispatches=task.ordinal_of(child),
        sequence=detail.sequence,
        worker=detail.worker,
        started_at=detail.started_at,
        finished_at=detail.finished_at,
        reason=detail.reason,
        error_type=detail.error_type,
        message=detail.message,
        traceback=detail.traceback,
        result=None if detail.result is None else decoded(detail.result),
    )
