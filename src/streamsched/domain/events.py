"""Every event that streamsched writes, as frozen data: the vocabulary of the journal and of the work log.

One class of ``EVENTS`` is one ``.avsc`` file under ``schemas/``, field for field in the same order; a field that was
added since has the same default in both. Bounds and units are in the types of the fields (``domain.bounds``). ``by``
names who caused the event (a node or a user). User payloads (parameters, arguments, states, results) are JSON text.
``basis`` is the journal position up to which the maker of a decision had folded.
"""

from __future__ import annotations

from msgspec import Struct

from streamsched.domain.bounds import (
    Child,
    Children,
    Count,
    Entries,
    ErrorTypes,
    ExitCode,
    FanIn,
    Fingerprint,
    Frames,
    GrammarVersion,
    MaxActive,
    Millis,
    Modules,
    Name,
    Offset,
    Ordinal,
    PageCount,
    Partition,
    Payload,
    Percent,
    Positive,
    Priority,
    Queues,
    Reason,
    ScheduleId,
    Sequence,
    TaskId,
    Time,
    Token,
)  # fmt: skip


class Event(Struct, frozen=True, gc=False):
    """What every event carries: an id (16 bytes, unique), its time, and who caused it."""

    event_id: bytes
    at: Time
    by: str


class OfTask(Event, frozen=True, gc=False):
    """What stands under a task's id, in the journal or in the work log."""

    task_id: str


class OfSchedule(Event, frozen=True, gc=False):
    """What stands under a schedule's id in the journal."""

    schedule_id: str


class Release(Struct, frozen=True, gc=False):
    """Children ``first..last`` (inclusive), dispatched with this ordinal to this work-log partition."""

    first: Child
    last: Child
    ordinal: Ordinal
    partition: Partition


class Span(Struct, frozen=True, gc=False):
    """Children ``first..last``, inclusive."""

    first: Child
    last: Child


class Ticks(Struct, frozen=True, gc=False):
    """Nominal times of a schedule with one outcome: ``count`` of them, from ``first`` to ``last`` (milliseconds).

    ``kind`` is ``tick`` (a time of the schedule) or ``trigger`` (on request). ``outcome`` is ``buffered``
    (it waits, and has an outcome later) or final: ``fired``, ``skipped``, ``dropped``, ``missed`` or ``suppressed``.
    """

    kind: str
    first: Time
    last: Time
    count: Positive
    outcome: str


class BackfillPart(Struct, frozen=True, gc=False):
    """Nominal times ``first..last`` (inclusive, milliseconds) of a backfill: when they are, and what tasks they make.

    The other fields are as in ScheduleSet.
    """

    first: Time
    last: Time
    spec: str
    template_name: str
    template_version: str
    template: str
    params: str
    priority: int
    level: Count = 0


class Refill(Struct, frozen=True, gc=False):
    """Nominal times of a backfill with one outcome: ``count`` of them, between ``first`` and ``last`` (milliseconds).

    ``outcome`` is ``fired`` (a new task), ``redriven`` (the task of that time, as its redrive ``redrive``) or ``left``
    (as it is).
    """

    first: Time
    last: Time
    count: Positive
    outcome: str
    redrive: Count


class Cause(Struct, frozen=True, gc=False):
    """More about an error: ``error_types`` name its class and the bases of that, as ``domain.kinds`` does.

    ``exit_code`` is that of a program. ``fingerprint`` is the same for failures of one cause; ``frames`` are the
    innermost frames of the user's code that it was made of, outermost first.
    """

    error_types: ErrorTypes = ()
    exit_code: ExitCode | None = None
    fingerprint: Fingerprint = ""
    frames: Frames = ()


class Label(Struct, frozen=True, gc=False):
    """A name and a value that people gave a task or a worker."""

    name: Name
    value: Name


class Rate(Struct, frozen=True, gc=False):
    """At most ``count`` dispatches in ``period`` milliseconds; 0: any number."""

    count: Count
    period: Positive


class Tolerance(Struct, frozen=True, gc=False):
    """How many failed children a task bears, as a count, as a percentage of all, or both; neither: none."""

    count: Count | None
    percent: Percent | None


class Clause(Struct, frozen=True, gc=False):
    """One condition of a selector: ``op`` is ``=``, ``!=`` or ``>=``; a range is written ``first..last``."""

    field: Name
    op: Name
    values: tuple[Reason, ...]


class Selector(Struct, frozen=True, gc=False):
    """Which work children are meant: those that meet all clauses, which are of this version of the grammar.

    ``seen`` is the journal position of the preview that its writer saw; -1: none.
    """

    version: GrammarVersion
    clauses: tuple[Clause, ...]
    seen: int = -1


class Terms(Struct, frozen=True, gc=False):
    """On what terms a child competes with others (fairness key and its weight), and what its worker must be."""

    key: Name = ""
    weight: Positive = 1
    queue: Name = ""
    needs: tuple[Label, ...] = ()


# --- facts from people and time -------------------------------------------------------------------------------------


class TaskRequested(OfTask, frozen=True, gc=False):
    """A request for a task: the template's body and the parameters, whole, so that history needs nothing else.

    ``level`` is the oldest language of templates that has all fields of this one. ``labels`` are added to those of the
    template.
    """

    task_id: TaskId
    template_name: str
    template_version: str
    template: str
    params: str
    priority: Priority
    origin: str
    traceparent: Name | None
    level: Count = 0
    labels: tuple[Label, ...] = ()


class TaskCancelRequested(OfTask, frozen=True, gc=False):
    """A request to stop this redrive of the task; void for any other redrive.

    With ``kill`` running children have no moment to stop; such a request also counts while the task is closing.
    """

    redrive: Count
    reason: str
    kill: bool = False


class TaskPaused(OfTask, frozen=True, gc=False):
    """Nothing of this redrive is dispatched any more, or it is again (``paused`` false); void for any other redrive.

    What waits at workers comes back. With ``now`` running children come back too, at their next checkpoint.
    """

    redrive: Count
    paused: bool
    now: bool
    reason: Reason


class TaskLimitsChanged(OfTask, frozen=True, gc=False):
    """Limits of this redrive are replaced, those that are not null; void for any other redrive.

    ``parallelism`` is how many work children may be live, 0: any number. ``deadline`` is when the task fails, 0: never.
    """

    redrive: Count
    parallelism: Count | None
    rate: Rate | None
    priority: Priority | None
    weight: Positive | None
    tolerate: Tolerance | None
    deadline: Time | None
    reason: Reason


class TaskRedriven(OfTask, frozen=True, gc=False):
    """A request that a task that has ended continues, as its redrive ``redrive``; void for any but the next.

    ``scope`` is ``failed`` (the children that did not succeed) or ``all``. They continue from their last
    checkpoints. With ``restart``, and where they succeeded, they begin anew. ``origin`` names a backfill that asked.
    With a ``selector`` only work children that meet it do, as ChildrenSelected names them.
    """

    redrive: Count
    scope: str
    restart: bool
    origin: str
    reason: str
    selector: Selector | None = None


class PartitionReset(Event, frozen=True, gc=False):
    """A work-log partition lost its committed position: the children that were live there count as returned."""

    partition: Partition


class RecordSetAside(Event, frozen=True, gc=False):
    """A user decided that a record further up in this partition is rubbish, though it looks like an event.

    It stands in the partition that it is about, of the journal or the work log, and counts only where the record cannot
    be read because its schema is unknown.
    """

    partition: Partition
    offset: Offset
    reason: Reason


class ScheduleSet(OfSchedule, frozen=True, gc=False):
    """A schedule is created (``expected`` 0), or its version ``expected`` is changed; void for any other version.

    It holds for nominal times after its own time. ``spec`` and ``policy`` are JSON; template, parameters, priority and
    level are those of the tasks.
    """

    schedule_id: ScheduleId
    expected: Count
    spec: str
    policy: str
    template_name: str
    template_version: str
    template: str
    params: str
    priority: Priority
    level: Count = 0


class SchedulePaused(OfSchedule, frozen=True, gc=False):
    """The schedule is paused, or resumed (``paused`` false)."""

    paused: bool
    note: str


class ScheduleTriggered(OfSchedule, frozen=True, gc=False):
    """A request for a task of the schedule now."""


class ScheduleDeleted(OfSchedule, frozen=True, gc=False):
    """The schedule is deleted."""

    note: str


class BackfillRequested(OfSchedule, frozen=True, gc=False):
    """A request for the tasks of past times, as the schedule's backfill ``backfill``; void for any but the next.

    ``parts`` are the times, in their order, as they were then or are now. ``reprocess`` is ``missing`` (times without a
    task), ``failed`` (those whose task did not succeed, too) or ``all``. ``max_active`` of its tasks run at once.
    """

    backfill: Positive
    reprocess: str
    max_active: MaxActive
    newest_first: bool
    parts: tuple[BackfillPart, ...]
    note: str


class BackfillCancelled(OfSchedule, frozen=True, gc=False):
    """A request that this backfill starts nothing more; void for any other, and when it has ended."""

    backfill: Positive
    note: str


# --- decisions of the scheduler -------------------------------------------------------------------------------------


class TaskPlanned(OfTask, frozen=True, gc=False):
    """The split is complete: this many children, made by this plan (JSON: splitter and its resolved input).

    With ``fan_in`` 1 another child stands behind them, the reduce: it runs when all of them have ended. 0: none.
    With ``split`` the children come later, page by page (TaskPlanProgressed): child 0, the split child, finds them.
    ``deadline`` is when the task fails unless it has ended.
    """

    redrive: Count
    children: Children
    plan: str
    digest: str
    basis: int
    fan_in: FanIn = 0
    split: bool = False
    deadline: Time | None = None


class TimerFired(OfTask, frozen=True, gc=False):
    """The limits of time of this task up to ``due`` are over."""

    due: Time
    basis: int = 0


class ChildrenSelected(OfTask, frozen=True, gc=False):
    """Of the work children below ``upto`` that were not judged before, these spans meet the redrive's selector.

    Each child is judged once, at the basis of one such event.
    """

    redrive: Count
    upto: Child
    spans: tuple[Span, ...]
    basis: int


class TaskRefused(OfTask, frozen=True, gc=False):
    """The request with this event id cannot become a task."""

    request: bytes
    reason: str
    basis: int


class ChildrenDispatched(OfTask, frozen=True, gc=False):
    """These children were released into the work log, in the transaction of this event."""

    releases: tuple[Release, ...]
    basis: int


class ChildrenStopping(OfTask, frozen=True, gc=False):
    """These live dispatches were told to stop (journal); stop these (work log, one record for each partition).

    ``mode`` is ``return`` (what has not begun comes back), ``yield`` (what runs stops at its next checkpoint and comes
    back too), ``cancel`` (it ends) or ``kill`` (it ends at once).
    """

    releases: tuple[Release, ...]
    reason: str
    basis: int
    mode: str = "cancel"


class ChildrenCancelled(OfTask, frozen=True, gc=False):
    """These children are neither live nor ended, and will not be dispatched."""

    spans: tuple[Span, ...]
    reason: str
    basis: int


class TaskEnded(OfTask, frozen=True, gc=False):
    """The terminal event of a redrive: every child has ended."""

    redrive: Count
    reason: str
    basis: int


class TaskSucceeded(TaskEnded, frozen=True, gc=False):
    """Every child has ended, within what the failure policy tolerates."""


class TaskFailed(TaskEnded, frozen=True, gc=False):
    """Every child has ended, beyond what the failure policy tolerates."""


class TaskCancelled(TaskEnded, frozen=True, gc=False):
    """Every child has ended after a request to cancel."""


class TicksDecided(OfSchedule, frozen=True, gc=False):
    """What became of the schedule's nominal times up to ``upto``; a fired one is requested in the same transaction."""

    upto: Time
    ticks: tuple[Ticks, ...]
    basis: int


class TickEnded(OfSchedule, frozen=True, gc=False):
    """The task of a tick has ended (``succeeded``, ``failed``, ``cancelled`` or ``refused``): in that transaction."""

    task_id: str
    outcome: str
    redrive: Count = 0


class TickReopened(OfSchedule, frozen=True, gc=False):
    """The task of a tick continues as a redrive: in the transaction of its first dispatch."""

    task_id: str
    redrive: Count


class BackfillDecided(OfSchedule, frozen=True, gc=False):
    """What became of a backfill's times up to ``upto``, in its order; tasks are asked for in the same transaction."""

    backfill: Positive
    upto: Time
    ticks: tuple[Refill, ...]
    basis: int


# --- work, and what became of it ------------------------------------------------------------------------------------


class ChildCreated(OfTask, frozen=True, gc=False):
    """One dispatch of one child: all that a worker needs to run it. Limits in milliseconds, 0 is none.

    ``options`` (JSON) says what a worker must know how to do beyond calling the handler with its arguments.
    """

    task_id: TaskId
    child: Child
    ordinal: Ordinal
    attempt: Positive
    handler: Name
    args: Payload
    timeout: Millis
    heartbeat: Millis
    priority: Priority
    sequence: Sequence
    state: Payload | None
    recoveries: Count
    traceparent: Name | None
    options: Payload | None = None
    terms: Terms | None = None


class WorkerEvent(OfTask, frozen=True, gc=False):
    """What a worker says of one dispatch of a child."""

    child: Child
    ordinal: Ordinal
    attempt: Positive
    token: Token


class TaskPlanProgressed(OfTask, frozen=True, gc=False):
    """A page of a split child: ``count`` more children, from ``first`` on, and the checkpoint from which it continues.

    ``entries`` is a line of canonical JSON for each of them. ``cursor`` is the state of the split child, whose dispatch
    the other fields name as in ChildCheckpointed. ``redrive`` and ``basis`` are 0 and mean nothing.
    """

    redrive: Count
    cursor: Payload
    basis: int
    child: Child = 0
    ordinal: Ordinal = 1
    attempt: Positive = 1
    token: Token = 0
    sequence: Sequence = 0
    first: Child = 0
    count: PageCount = 0
    entries: Entries = ""


class ChildStarted(WorkerEvent, frozen=True, gc=False):
    """An attempt began; written only for children that still ran when the worker flushed."""


class ChildCheckpointed(WorkerEvent, frozen=True, gc=False):
    """A durable resume point. In the work log it carries the work itself and so takes the place of its record."""

    sequence: Sequence
    state: Payload | None
    recoveries: Count
    work: ChildCreated | None


class ChildCompleted(WorkerEvent, frozen=True, gc=False):
    """The handler returned: the accepted outcome of a dispatch ends the child."""

    started_at: Time
    sequence: Sequence
    result: Payload | None


class ChildFailed(WorkerEvent, frozen=True, gc=False):
    """An attempt failed: ``reason`` is ``error``, ``timeout``, ``heartbeat``, ``worker_lost`` or ``poison``.

    ``delay`` is the wait before the next attempt in milliseconds, where the error itself named one. ``cause`` is told
    of what a handler raised, or a program ended with, ``output`` the end of what it had printed, where it had.
    """

    started_at: Time
    sequence: Sequence
    state: Payload | None
    reason: str
    error_type: str
    message: str
    traceback: str
    retryable: bool
    delay: Millis | None
    cause: Cause | None = None
    output: str | None = None


class ChildCancelled(WorkerEvent, frozen=True, gc=False):
    """A dispatch was stopped on request; the last state is kept for a redrive."""

    started_at: Time
    sequence: Sequence
    state: Payload | None
    reason: str


class Why(Struct, frozen=True, gc=False):
    """Why a worker, the node with the id ``node``, cannot run a child; ``detail`` says it to people.

    ``code`` is ``module`` (it does not allow the handler's module), ``queue`` or ``label`` (it does not serve that
    queue, or lacks a label that the child needs), ``import`` (the handler could not be imported there just now) or
    ``version`` (it does not know an option of the child). The child is not dispatched again for
    ``retry_after`` milliseconds. ``begun``: whether its attempt had begun.
    """

    code: str
    detail: Payload
    node: str
    retry_after: Millis
    begun: bool


class ChildReturned(WorkerEvent, frozen=True, gc=False):
    """A worker gives a child back, begun or not, so that another can have it; ``why`` where it cannot run it."""

    sequence: Sequence
    state: Payload | None
    recoveries: Count
    reason: str
    why: Why | None = None


class ChildYielded(WorkerEvent, frozen=True, gc=False):
    """For information: stopped at a checkpoint by a revoke; its continuation stays in the work log."""

    sequence: Sequence
    reason: str


# --- nodes ----------------------------------------------------------------------------------------------------------


class RunningChild(Struct, frozen=True, gc=False):
    """What a beat tells of one running child, by its number inside its stage: progress as its handler gave it."""

    task_id: str
    child: Child
    attempt: int
    started_at: Time
    done: float
    total: float


class NodeBeat(Event, frozen=True, gc=False):
    """A node is alive: who it is, what it owns, what it could take. ``loop_age`` in milliseconds.

    ``modules`` are the patterns of the modules that a worker runs (``domain.routing``); None announces nothing. One
    that names no queues serves the one without a name.
    """

    by: Name
    node_id: Name
    name: Name
    role: Name
    version: Name
    state: Name
    member_id: Name
    transactional_id: Name
    slots: Count
    free: Count
    pending: Count
    partitions: tuple[Partition, ...]
    running: tuple[RunningChild, ...]
    loop_age: int
    modules: Modules | None = None
    queues: Queues = ()
    labels: tuple[Label, ...] = ()


# --- dead letters ---------------------------------------------------------------------------------------------------


class DeadLetter(Event, frozen=True, gc=False):
    """A record that could not be decoded or handled, kept whole with its origin."""

    topic: str
    partition: Partition
    offset: Offset
    reason: str
    key: bytes | None
    value: bytes | None


Work = ChildCreated | ChildCheckpointed
STOP_MODES: tuple[str, ...] = ("return", "yield", "cancel", "kill")
"""Modes of ChildrenStopping, in rising order."""
EVENTS: tuple[type[Event], ...] = (
    TaskRequested, TaskCancelRequested, TaskPaused, TaskLimitsChanged, TaskRedriven, PartitionReset, RecordSetAside,
    ScheduleSet, SchedulePaused, ScheduleTriggered, ScheduleDeleted, BackfillRequested, BackfillCancelled,
    TaskPlanned, TaskRefused, TimerFired, ChildrenSelected, ChildrenDispatched, ChildrenStopping, ChildrenCancelled,
    TaskSucceeded, TaskFailed, TaskCancelled, TicksDecided, TickEnded, TickReopened, BackfillDecided,
    ChildCreated, ChildStarted, ChildCheckpointed, ChildCompleted, ChildFailed, ChildCancelled, ChildReturned,
    ChildYielded, TaskPlanProgressed,
    NodeBeat, DeadLetter,
)  # fmt: skip
OF_SCHEDULE: frozenset[type[Event]] = frozenset(kind for kind in EVENTS if issubclass(kind, OfSchedule))
