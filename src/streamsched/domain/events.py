"""Every event that streamsched writes, as frozen data: the vocabulary of the journal and of the work log.

One class here is one ``.avsc`` file under ``schemas/``, field for field in the same order; a field that was added since
has the same default in both. Times are milliseconds
since the Unix epoch. ``by`` names who caused the event (a node or a user). User payloads (parameters, arguments,
states, results) are JSON text. ``basis`` is the journal position up to which the maker of a decision had folded.
"""

from __future__ import annotations

from typing import get_args

from msgspec import Struct


class Event(Struct, frozen=True, gc=False):
    """What every event carries: an id (16 bytes, unique), its time, and who caused it."""

    event_id: bytes
    at: int
    by: str


class Release(Struct, frozen=True, gc=False):
    """Children ``first..last`` (inclusive), dispatched with this ordinal to this work-log partition."""

    first: int
    last: int
    ordinal: int
    partition: int


class Span(Struct, frozen=True, gc=False):
    """Children ``first..last``, inclusive."""

    first: int
    last: int


class Ticks(Struct, frozen=True, gc=False):
    """Nominal times of a schedule with one outcome: ``count`` of them, from ``first`` to ``last`` (milliseconds).

    ``kind`` is ``tick`` (a time of the schedule) or ``trigger`` (somebody asked for it). ``outcome`` is ``buffered``
    (it waits, and has an outcome later) or final: ``fired``, ``skipped``, ``dropped``, ``missed`` or ``suppressed``.
    """

    kind: str
    first: int
    last: int
    count: int
    outcome: str


class BackfillPart(Struct, frozen=True, gc=False):
    """Nominal times ``first..last`` (inclusive, milliseconds) of a backfill: when they are, and what tasks they make.

    The other fields are as in ScheduleSet.
    """

    first: int
    last: int
    spec: str
    template_name: str
    template_version: str
    template: str
    params: str
    priority: int
    level: int = 0


class Refill(Struct, frozen=True, gc=False):
    """Nominal times of a backfill with one outcome: ``count`` of them, between ``first`` and ``last`` (milliseconds).

    ``outcome`` is ``fired`` (a new task), ``redriven`` (the task of that time, as its redrive ``redrive``) or ``left``
    (as it is).
    """

    first: int
    last: int
    count: int
    outcome: str
    redrive: int


class Cause(Struct, frozen=True, gc=False):
    """More about an error: ``error_types`` name its class and the bases of that, as ``domain.kinds`` does."""

    error_types: tuple[str, ...] = ()


# --- facts from people and time -------------------------------------------------------------------------------------


class TaskRequested(Event, frozen=True, gc=False):
    """Somebody wants a task: the template's body and the parameters, whole, so that history needs nothing else.

    ``level`` is the oldest language of templates that has all fields of this one.
    """

    task_id: str
    template_name: str
    template_version: str
    template: str
    params: str
    priority: int
    origin: str
    traceparent: str | None
    level: int = 0


class TaskCancelRequested(Event, frozen=True, gc=False):
    """Somebody wants this redrive of the task to stop; void for any other redrive."""

    task_id: str
    redrive: int
    reason: str


class TaskRedriven(Event, frozen=True, gc=False):
    """Somebody wants a task that has ended to go on, as its redrive ``redrive``; void for any but the next.

    ``scope`` is ``failed`` (the children that did not succeed) or ``all``. They go on from their last checkpoints, or,
    with ``restart`` and where they succeeded, from their beginning. ``origin`` names a backfill that asked.
    """

    task_id: str
    redrive: int
    scope: str
    restart: bool
    origin: str
    reason: str


class TimerFired(Event, frozen=True, gc=False):
    """All that was due up to ``due`` is due."""

    task_id: str
    due: int


class PartitionReset(Event, frozen=True, gc=False):
    """A work-log partition lost its committed position: the children that were live there count as returned."""

    partition: int


class RecordSetAside(Event, frozen=True, gc=False):
    """Somebody decided that a record further up in this partition is rubbish, though it looks like an event.

    It stands in the partition that it is about, of the journal or the work log, and counts only where the record cannot
    be read because its schema is unknown.
    """

    partition: int
    offset: int
    reason: str


class ScheduleSet(Event, frozen=True, gc=False):
    """Somebody made a schedule (``expected`` 0), or changed the version ``expected``; void where that is not so.

    It holds for nominal times after its own time. ``spec`` and ``policy`` are JSON; template, parameters, priority and
    level are those of the tasks.
    """

    schedule_id: str
    expected: int
    spec: str
    policy: str
    template_name: str
    template_version: str
    template: str
    params: str
    priority: int
    level: int = 0


class SchedulePaused(Event, frozen=True, gc=False):
    """Somebody paused the schedule, or let it go on (``paused`` false)."""

    schedule_id: str
    paused: bool
    note: str


class ScheduleTriggered(Event, frozen=True, gc=False):
    """Somebody wants a task of the schedule now."""

    schedule_id: str


class ScheduleDeleted(Event, frozen=True, gc=False):
    """Somebody ended the schedule."""

    schedule_id: str
    note: str


class BackfillRequested(Event, frozen=True, gc=False):
    """Somebody wants the tasks of past times, as the schedule's backfill ``backfill``; void for any but the next.

    ``parts`` are the times, in their order, as they were then or are now. ``reprocess`` is ``missing`` (times without a
    task), ``failed`` (those whose task did not succeed, too) or ``all``. ``max_active`` of its tasks run at once.
    """

    schedule_id: str
    backfill: int
    reprocess: str
    max_active: int
    newest_first: bool
    parts: tuple[BackfillPart, ...]
    note: str


class BackfillCancelled(Event, frozen=True, gc=False):
    """Somebody wants this backfill to start nothing more; void for any other, and when it has ended."""

    schedule_id: str
    backfill: int
    note: str


# --- decisions of the scheduler -------------------------------------------------------------------------------------


class TaskPlanned(Event, frozen=True, gc=False):
    """The split is complete: this many children, made by this plan (JSON: splitter and its resolved input)."""

    task_id: str
    redrive: int
    children: int
    plan: str
    digest: str
    basis: int


class TaskPlanProgressed(Event, frozen=True, gc=False):
    """A long split got this far (JSON cursor); the next step goes on from here."""

    task_id: str
    redrive: int
    cursor: str
    basis: int


class TaskRefused(Event, frozen=True, gc=False):
    """The request with this event id cannot become a task."""

    task_id: str
    request: bytes
    reason: str
    basis: int


class ChildrenDispatched(Event, frozen=True, gc=False):
    """These children were released into the work log, in the transaction of this event."""

    task_id: str
    releases: tuple[Release, ...]
    basis: int


class ChildrenStopping(Event, frozen=True, gc=False):
    """These live dispatches were told to stop (journal); stop these (work log, one record for each partition).

    ``mode`` is ``return`` (what has not begun comes back), ``yield`` (what runs stops at its next checkpoint and comes
    back too), ``cancel`` (it ends) or ``kill`` (it ends at once).
    """

    task_id: str
    releases: tuple[Release, ...]
    reason: str
    basis: int
    mode: str = "cancel"


class ChildrenCancelled(Event, frozen=True, gc=False):
    """These children are neither live nor ended, and will not be dispatched."""

    task_id: str
    spans: tuple[Span, ...]
    reason: str
    basis: int


class TaskSucceeded(Event, frozen=True, gc=False):
    """Every child has ended and the policy is content."""

    task_id: str
    redrive: int
    reason: str
    basis: int


class TaskFailed(Event, frozen=True, gc=False):
    """Every child has ended and the policy is not content."""

    task_id: str
    redrive: int
    reason: str
    basis: int


class TaskCancelled(Event, frozen=True, gc=False):
    """Every child has ended after somebody asked for the end."""

    task_id: str
    redrive: int
    reason: str
    basis: int


class TicksDecided(Event, frozen=True, gc=False):
    """What became of the schedule's nominal times up to ``upto``; a fired one is requested in the same transaction."""

    schedule_id: str
    upto: int
    ticks: tuple[Ticks, ...]
    basis: int


class TickEnded(Event, frozen=True, gc=False):
    """The task of a tick has ended (``succeeded``, ``failed``, ``cancelled`` or ``refused``): in that transaction."""

    schedule_id: str
    task_id: str
    outcome: str
    redrive: int = 0


class TickReopened(Event, frozen=True, gc=False):
    """The task of a tick goes on as a redrive: in the transaction of its first dispatch."""

    schedule_id: str
    task_id: str
    redrive: int


class BackfillDecided(Event, frozen=True, gc=False):
    """What became of a backfill's times up to ``upto``, in its order; tasks are asked for in the same transaction."""

    schedule_id: str
    backfill: int
    upto: int
    ticks: tuple[Refill, ...]
    basis: int


# --- work, and what became of it ------------------------------------------------------------------------------------


class ChildCreated(Event, frozen=True, gc=False):
    """One dispatch of one child: all that a worker needs to run it. Limits in milliseconds, 0 is none."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    handler: str
    args: str
    timeout: int
    heartbeat: int
    priority: int
    sequence: int
    state: str | None
    recoveries: int
    traceparent: str | None


class ChildStarted(Event, frozen=True, gc=False):
    """An attempt began; written only for children that still ran when the worker flushed."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int


class ChildCheckpointed(Event, frozen=True, gc=False):
    """A durable resume point. In the work log it carries the work itself and so takes the place of its record."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    sequence: int
    state: str | None
    recoveries: int
    work: ChildCreated | None


class ChildCompleted(Event, frozen=True, gc=False):
    """The handler returned: the accepted outcome of a dispatch ends the child."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    started_at: int
    sequence: int
    result: str | None


class ChildFailed(Event, frozen=True, gc=False):
    """An attempt failed: ``reason`` is ``error``, ``timeout``, ``heartbeat``, ``worker_lost`` or ``poison``.

    ``delay`` is the wait before the next attempt in milliseconds, where the error itself named one. ``cause`` is told
    of what a handler raised and may be tried again.
    """

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    started_at: int
    sequence: int
    state: str | None
    reason: str
    error_type: str
    message: str
    traceback: str
    retryable: bool
    delay: int | None
    cause: Cause | None = None


class ChildCancelled(Event, frozen=True, gc=False):
    """A dispatch was stopped on request; the last state is kept for a redrive."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    started_at: int
    sequence: int
    state: str | None
    reason: str


class Why(Struct, frozen=True, gc=False):
    """Why a worker, the node with the id ``node``, cannot run a child; ``detail`` says it to people.

    ``code`` is ``module`` (it does not allow the handler's module) or ``import`` (the handler could not be imported
    there just now). The child is not dispatched again for ``retry_after`` milliseconds. ``begun``: whether its attempt
    had begun.
    """

    code: str
    detail: str
    node: str
    retry_after: int
    begun: bool


class ChildReturned(Event, frozen=True, gc=False):
    """A worker gives back what it has not begun, so that another can have it; ``why`` where it cannot run it."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    sequence: int
    state: str | None
    recoveries: int
    reason: str
    why: Why | None = None


class ChildYielded(Event, frozen=True, gc=False):
    """For information: stopped at a checkpoint by a drain or a revoke; its continuation stays in the work log."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    sequence: int
    reason: str


# --- nodes ----------------------------------------------------------------------------------------------------------


class RunningChild(Struct, frozen=True, gc=False):
    """What a beat tells of one running child: progress as its handler gave it."""

    task_id: str
    child: int
    attempt: int
    started_at: int
    done: float
    total: float


class NodeBeat(Event, frozen=True, gc=False):
    """A node is alive: who it is, what it owns, what it could take. ``loop_age`` in milliseconds.

    ``modules`` are the patterns of the modules that a worker runs (``domain.routing``); None announces nothing.
    """

    node_id: str
    name: str
    role: str
    version: str
    state: str
    member_id: str
    transactional_id: str
    slots: int
    free: int
    pending: int
    partitions: tuple[int, ...]
    running: tuple[RunningChild, ...]
    loop_age: int
    modules: tuple[str, ...] | None = None


# --- dead letters ---------------------------------------------------------------------------------------------------


class DeadLetter(Event, frozen=True, gc=False):
    """A record that could not be decoded or handled, kept whole with its origin."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None


Work = ChildCreated | ChildCheckpointed
STOP_MODES: tuple[str, ...] = ("return", "yield", "cancel", "kill")
"""Modes of ChildrenStopping, in rising order."""
OfSchedule = (
    ScheduleSet | SchedulePaused | ScheduleTriggered | ScheduleDeleted | BackfillRequested | BackfillCancelled
    | TicksDecided | TickEnded | TickReopened | BackfillDecided
)  # fmt: skip
"""What stands under a schedule's id in the journal; all else there stands under a task's."""
OF_SCHEDULE: frozenset[type[Event]] = frozenset(get_args(OfSchedule))
EVENTS: tuple[type[Event], ...] = (
    TaskRequested, TaskCancelRequested, TaskRedriven, TimerFired, PartitionReset, RecordSetAside,
    ScheduleSet, SchedulePaused, ScheduleTriggered, ScheduleDeleted, BackfillRequested, BackfillCancelled,
    TaskPlanned, TaskPlanProgressed, TaskRefused, ChildrenDispatched, ChildrenStopping, ChildrenCancelled,
    TaskSucceeded, TaskFailed, TaskCancelled, TicksDecided, TickEnded, TickReopened, BackfillDecided,
    ChildCreated, ChildStarted, ChildCheckpointed, ChildCompleted, ChildFailed, ChildCancelled, ChildReturned,
    ChildYielded,
    NodeBeat, DeadLetter,
)  # fmt: skip
