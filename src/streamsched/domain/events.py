"""Every event that streamsched writes, as frozen data: the vocabulary of the journal and of the work log.

One class here is one ``.avsc`` file under ``schemas/``, field for field in the same order. Times are milliseconds
since the Unix epoch. ``by`` names who caused the event (a node or a user). User payloads (parameters, arguments,
states, results) are JSON text. ``basis`` is the journal position up to which the maker of a decision had folded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args


@dataclass(frozen=True, slots=True)
class Event:
    """What every event carries: an id (16 bytes, unique), its time, and who caused it."""

    event_id: bytes
    at: int
    by: str


@dataclass(frozen=True, slots=True)
class Release:
    """Children ``first..last`` (inclusive), dispatched with this ordinal to this work-log partition."""

    first: int
    last: int
    ordinal: int
    partition: int


@dataclass(frozen=True, slots=True)
class Span:
    """Children ``first..last``, inclusive."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Ticks:
    """Nominal times of a schedule with one outcome: ``count`` of them, from ``first`` to ``last`` (milliseconds).

    ``kind`` is ``tick`` (a time of the schedule) or ``trigger`` (somebody asked for it). ``outcome`` is ``buffered``
    (it waits, and has an outcome later) or final: ``fired``, ``skipped``, ``dropped``, ``missed`` or ``suppressed``.
    """

    kind: str
    first: int
    last: int
    count: int
    outcome: str


@dataclass(frozen=True, slots=True)
class BackfillPart:
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


@dataclass(frozen=True, slots=True)
class Refill:
    """Nominal times of a backfill with one outcome: ``count`` of them, between ``first`` and ``last`` (milliseconds).

    ``outcome`` is ``fired`` (a new task), ``redriven`` (the task of that time, as its redrive ``redrive``) or ``left``
    (as it is).
    """

    first: int
    last: int
    count: int
    outcome: str
    redrive: int


# --- facts from people and time -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskRequested(Event):
    """Somebody wants a task: the template's body and the parameters, whole, so that history needs nothing else."""

    task_id: str
    template_name: str
    template_version: str
    template: str
    params: str
    priority: int
    origin: str
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class TaskCancelRequested(Event):
    """Somebody wants this redrive of the task to stop; void for any other redrive."""

    task_id: str
    redrive: int
    reason: str


@dataclass(frozen=True, slots=True)
class TaskRedriven(Event):
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


@dataclass(frozen=True, slots=True)
class TimerFired(Event):
    """All that was due up to ``due`` is due."""

    task_id: str
    due: int


@dataclass(frozen=True, slots=True)
class PartitionReset(Event):
    """A work-log partition lost its committed position: the children that were live there count as returned."""

    partition: int


@dataclass(frozen=True, slots=True)
class ScheduleSet(Event):
    """Somebody made a schedule (``expected`` 0), or changed the version ``expected``; void where that is not so.

    It holds for nominal times after its own time. ``spec`` and ``policy`` are JSON; template, parameters and priority
    are those of the tasks.
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


@dataclass(frozen=True, slots=True)
class SchedulePaused(Event):
    """Somebody paused the schedule, or let it go on (``paused`` false)."""

    schedule_id: str
    paused: bool
    note: str


@dataclass(frozen=True, slots=True)
class ScheduleTriggered(Event):
    """Somebody wants a task of the schedule now."""

    schedule_id: str


@dataclass(frozen=True, slots=True)
class ScheduleDeleted(Event):
    """Somebody ended the schedule."""

    schedule_id: str
    note: str


@dataclass(frozen=True, slots=True)
class BackfillRequested(Event):
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


@dataclass(frozen=True, slots=True)
class BackfillCancelled(Event):
    """Somebody wants this backfill to start nothing more; void for any other, and when it has ended."""

    schedule_id: str
    backfill: int
    note: str


# --- decisions of the scheduler -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskPlanned(Event):
    """The split is complete: this many children, made by this plan (JSON: splitter and its resolved input)."""

    task_id: str
    redrive: int
    children: int
    plan: str
    digest: str
    basis: int


@dataclass(frozen=True, slots=True)
class TaskPlanProgressed(Event):
    """A long split got this far (JSON cursor); the next step goes on from here."""

    task_id: str
    redrive: int
    cursor: str
    basis: int


@dataclass(frozen=True, slots=True)
class TaskRefused(Event):
    """The request with this event id cannot become a task."""

    task_id: str
    request: bytes
    reason: str
    basis: int


@dataclass(frozen=True, slots=True)
class ChildrenDispatched(Event):
    """These children were released into the work log, in the transaction of this event."""

    task_id: str
    releases: tuple[Release, ...]
    basis: int


@dataclass(frozen=True, slots=True)
class ChildrenStopping(Event):
    """These live dispatches were told to stop (journal); stop these (work log, one record for each partition)."""

    task_id: str
    releases: tuple[Release, ...]
    reason: str
    basis: int


@dataclass(frozen=True, slots=True)
class ChildrenCancelled(Event):
    """These children are neither live nor ended, and will not be dispatched."""

    task_id: str
    spans: tuple[Span, ...]
    reason: str
    basis: int


@dataclass(frozen=True, slots=True)
class TaskSucceeded(Event):
    """Every child has ended and the policy is content."""

    task_id: str
    redrive: int
    reason: str
    basis: int


@dataclass(frozen=True, slots=True)
class TaskFailed(Event):
    """Every child has ended and the policy is not content."""

    task_id: str
    redrive: int
    reason: str
    basis: int


@dataclass(frozen=True, slots=True)
class TaskCancelled(Event):
    """Every child has ended after somebody asked for the end."""

    task_id: str
    redrive: int
    reason: str
    basis: int


@dataclass(frozen=True, slots=True)
class TicksDecided(Event):
    """What became of the schedule's nominal times up to ``upto``; a fired one is requested in the same transaction."""

    schedule_id: str
    upto: int
    ticks: tuple[Ticks, ...]
    basis: int


@dataclass(frozen=True, slots=True)
class TickEnded(Event):
    """The task of a tick has ended (``succeeded``, ``failed``, ``cancelled`` or ``refused``): in that transaction."""

    schedule_id: str
    task_id: str
    outcome: str
    redrive: int


@dataclass(frozen=True, slots=True)
class TickReopened(Event):
    """The task of a tick goes on as a redrive: in the transaction of its first dispatch."""

    schedule_id: str
    task_id: str
    redrive: int


@dataclass(frozen=True, slots=True)
class BackfillDecided(Event):
    """What became of a backfill's times up to ``upto``, in its order; tasks are asked for in the same transaction."""

    schedule_id: str
    backfill: int
    upto: int
    ticks: tuple[Refill, ...]
    basis: int


# --- work, and what became of it ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildCreated(Event):
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


@dataclass(frozen=True, slots=True)
class ChildStarted(Event):
    """An attempt began; written only for children that still ran when the worker flushed."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int


@dataclass(frozen=True, slots=True)
class ChildCheckpointed(Event):
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


@dataclass(frozen=True, slots=True)
class ChildCompleted(Event):
    """The handler returned: the accepted outcome of a dispatch ends the child."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    started_at: int
    sequence: int
    result: str | None


@dataclass(frozen=True, slots=True)
class ChildFailed(Event):
    """An attempt failed: ``reason`` is ``error``, ``timeout``, ``heartbeat``, ``worker_lost`` or ``poison``.

    ``delay`` is the wait before the next attempt in milliseconds, where the error itself named one.
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


@dataclass(frozen=True, slots=True)
class ChildCancelled(Event):
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


@dataclass(frozen=True, slots=True)
class ChildReturned(Event):
    """A worker gives back what it has not begun, so that another can have it."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    sequence: int
    state: str | None
    recoveries: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChildYielded(Event):
    """For information: stopped at a checkpoint by a drain or a revoke; its continuation stays in the work log."""

    task_id: str
    child: int
    ordinal: int
    attempt: int
    token: int
    sequence: int
    reason: str


# --- nodes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunningChild:
    """What a beat tells of one running child: progress as its handler gave it."""

    task_id: str
    child: int
    attempt: int
    started_at: int
    done: float
    total: float


@dataclass(frozen=True, slots=True)
class NodeBeat(Event):
    """A node is alive: who it is, what it owns, what it could take. ``loop_age`` in milliseconds."""

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


# --- dead letters ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeadLetter(Event):
    """A record that could not be decoded or handled, kept whole with its origin."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None


Work = ChildCreated | ChildCheckpointed
OfSchedule = (
    ScheduleSet | SchedulePaused | ScheduleTriggered | ScheduleDeleted | BackfillRequested | BackfillCancelled
    | TicksDecided | TickEnded | TickReopened | BackfillDecided
)  # fmt: skip
"""What stands under a schedule's id in the journal; all else there stands under a task's."""
OF_SCHEDULE: frozenset[type[Event]] = frozenset(get_args(OfSchedule))
EVENTS: tuple[type[Event], ...] = (
    TaskRequested, TaskCancelRequested, TaskRedriven, TimerFired, PartitionReset,
    ScheduleSet, SchedulePaused, ScheduleTriggered, ScheduleDeleted, BackfillRequested, BackfillCancelled,
    TaskPlanned, TaskPlanProgressed, TaskRefused, ChildrenDispatched, ChildrenStopping, ChildrenCancelled,
    TaskSucceeded, TaskFailed, TaskCancelled, TicksDecided, TickEnded, TickReopened, BackfillDecided,
    ChildCreated, ChildStarted, ChildCheckpointed, ChildCompleted, ChildFailed, ChildCancelled, ChildReturned,
    ChildYielded,
    NodeBeat, DeadLetter,
)  # fmt: skip
