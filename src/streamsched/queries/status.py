"""The status of a task and its children as plain data, from the view."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET, UnsetType

from streamsched.audit.document import decoded
from streamsched.domain.limits import write_rate, write_tolerance
from streamsched.domain.phases import LIVE, ChildState
from streamsched.domain.task import ChildDetail, Task
from streamsched.queries.documents import Document, Time, Timestamp, millis_of
from streamsched.queries.eta import Eta, eta_by_count

if TYPE_CHECKING:
    from streamsched.domain.selector import Predicate
    from streamsched.view.view import View

CHILD_STATES: dict[int, str] = {
    ChildState.WAITING: "waiting",
    **dict.fromkeys(LIVE, "running"),
    ChildState.DUE: "waiting",
    ChildState.SUCCEEDED: "succeeded",
    ChildState.FAILED: "failed",
    ChildState.CANCELLED: "cancelled",
}


DONE: Final = ("succeeded", "failed", "cancelled", "refused")
"""States of a task whose ending is certain."""


class ChildCounts(Document, frozen=True):
    """Children by state; the states add up to ``total``.

    ``queued`` ones wait at a worker, or have begun less than a second ago.
    """

    total: int
    waiting: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int

    @property
    def ended(self) -> int:
        """Children that have ended."""
        return self.succeeded + self.failed + self.cancelled


class LimitsStatus(Document, frozen=True):
    """Limits in force, by the template or as they were set since; None: none. ``tolerate`` only where it was set."""

    parallelism: int | None
    rate: str | None
    tolerate: str | None
    deadline: Timestamp | None
    weight: int | None = None
    """None: 1."""


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
    """Why it does not get on, with what would change that; empty if it does, or has succeeded."""
    eta: Eta | None = None
    """When its work children will have ended; None if unknown."""
    labels: Mapping[str, str] = {}
    limits: LimitsStatus | UnsetType = UNSET
    """Absent where there are none."""
    reduce: str | UnsetType = UNSET
    """The state of its reduce, as a child's; absent where it has none."""
    split: str | UnsetType = UNSET
    """The state of its split child, as a child's; absent where it has none. ``children`` are those found so far."""

    @property
    def in_force(self) -> list[tuple[str, str]]:
        """The limits and the priority, as names and texts, where there are any."""
        limits, priority = self.limits, [("priority", str(self.priority))] if self.priority else []
        if isinstance(limits, UnsetType):
            return priority
        shown = {name: getattr(limits, name) for name in ("parallelism", "rate", "tolerate", "weight")}
        shown["deadline"] = limits.deadline and Time.at(millis_of(limits.deadline)).shown()
        return [*priority, *((name, str(text)) for name, text in shown.items() if text is not None)]

    @property
    def splitting(self) -> bool:
        """Whether its split child may still find more children."""
        return not self.done and self.split in ("waiting", "queued", "running")

    @property
    def done(self) -> bool:
        """Whether its ending is certain: it has its terminal event, or will have the one that ``state`` says."""
        return self.state in DONE


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
    group: str | UnsetType = UNSET
    """The group of its last failure; absent where no attempt failed."""


class Result(Document, frozen=True):
    """What a child has returned."""

    child: int
    result: Any


def state_of(task: Task) -> str:
    """Return the state of a task as people see it."""
    return "paused" if task.hold else str(task.verdict)


def for_status(view: View, header: Task) -> Task:
    """Return a task with what its status tells: of its children, a header lacks only the states of split and reduce."""
    alone = header.work == header.children
    return header if alone else view.task(header.task_id) or header


def status_of(task: Task, now: int | None = None, named: Collection[int] = ()) -> TaskStatus:
    """Return the status of a task. ``named``: children that a worker has told of lately. Without ``now`` no ETA."""
    request, counts = task.request, work_counts(task, named)
    return TaskStatus(
        task_id=task.task_id,
        template=request.template_name,
        template_version=request.template_version,
        state=state_of(task),
        reason=task.hold_reason if task.hold else task.reason,
        redrive=task.redrive,
        priority=task.limits.priority,
        origin=request.origin,
        submitted_by=request.by,
        submitted_at=Time.at(request.at),
        started_at=Time.of(task.started_at),
        finished_at=Time.of(task.finished_at),
        params=decoded(request.params),
        children=counts,
        void=task.void,
        eta=None if now is None else eta_by_count(task, counts.total - counts.ended, now),
        labels=task.labels,
        limits=_limits_of(task),
        reduce=shown_state(task, task.work_end, named) if task.work_end < task.children else UNSET,
        split=shown_state(task, 0, named) if task.split else UNSET,
    )


def _limits_of(task: Task) -> LimitsStatus | UnsetType:
    limits, tolerate = task.limits, task.limits.tolerate
    if not (limits.parallelism or limits.rate.count or tolerate or limits.deadline or task.weight != 1):
        return UNSET
    return LimitsStatus(
        parallelism=limits.parallelism or None,
        rate=write_rate(limits.rate) if limits.rate.count else None,
        tolerate=None if tolerate is None else write_tolerance(tolerate),
        deadline=Time.of(limits.deadline or None),
        weight=None if task.weight == 1 else task.weight,
    )


def reduce_of(view: View, task: Task) -> ChildStatus | None:
    """Return the status of a task's reduce; None where it has none."""
    if task.work_end == task.children:
        return None
    state = shown_state(task, task.work_end)
    return _child(task, task.work_end, state, view.detail(task.task_id, task.work_end))


def shown_state(task: Task, child: int, named: Collection[int] = ()) -> str:
    """Return the state of a child as people see it: *running* means that its worker has told so."""
    state = CHILD_STATES[task.state_of(child)]
    return "queued" if state == "running" and not (child in named or task.has_begun(child)) else state


def running_of(task: Task, named: Collection[int] = ()) -> set[int]:
    """Return the live children that run. ``named``: those that a worker has told of lately."""
    return {*task.begun_children(), *(child for child in named if task.state_of(child) in LIVE)}


def work_counts(task: Task, named: Collection[int] = ()) -> ChildCounts:
    """Count the work children alone: neither the split child nor a reduce."""
    waiting, live, succeeded, failed, cancelled = task.idle, task.live, task.succeeded, task.failed, task.cancelled
    for child in (*range(task.split), *range(task.work_end, task.children)):
        state = CHILD_STATES[task.state_of(child)]
        waiting -= state == "waiting"
        live -= state == "running"
        succeeded -= state == "succeeded"
        failed -= state == "failed"
        cancelled -= state == "cancelled"
    running = sum(map(task.is_work, running_of(task, named)))
    return ChildCounts(task.work, waiting, live - running, running, succeeded, failed, cancelled)


def children_of(
    view: View,
    task: Task,
    state: str | None = None,
    where: Predicate | None = None,
    named: Collection[int] = (),
) -> Iterator[ChildStatus]:
    """Yield the work children in order, those in ``state`` and those that meet ``where`` if they are given."""
    for indexes in [range(task.work)] if where is None else where.indexes(task.work):
        span = range(indexes.start + task.split, indexes.stop + task.split)
        for child, known in details_of(view, task, _listed(task, state, span), span.start):
            shown = shown_state(task, child, named)
            if state in (None, shown) and (where is None or where.of(task, child, known)):
                yield _child(task, child, shown, known)


def child_of(view: View, task: Task, child: int, named: Collection[int] = ()) -> ChildStatus:
    """Return the status of one child, by its number in the table."""
    return _child(task, child, shown_state(task, child, named), view.known_of(task, child))


def details_of(
    view: View, task: Task, children: Iterable[int], first: int = 0
) -> Iterator[tuple[int, ChildDetail | None]]:
    """Yield these children, in order and from ``first`` on, each with what the view knows of it."""
    known = view.details(task.task_id, first)
    index, detail = next(known, (-1, None))
    for child in children:
        while 0 <= index < child:
            index, detail = next(known, (-1, None))
        yield child, detail if index == child else None


def _listed(task: Task, state: str | None, span: range) -> Iterator[int]:
    """Yield the children of a span that may be in this state; never-dispatched ones in whole runs."""
    yield from range(span.start, min(task.cells, span.stop))
    for tail, children in task.tail():
        if state in (None, CHILD_STATES[tail]):
            yield from range(max(span.start, children.start), min(children.stop, span.stop))


def _child(task: Task, child: int, state: str, known: ChildDetail | None) -> ChildStatus:
    detail = known or ChildDetail()
    if task.is_revived(child):
        detail = task.anew(detail)
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
        group=UNSET if detail.group is None else detail.group,
    )
