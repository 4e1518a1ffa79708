"""What no streamsched writes: numbers and texts with which an event cannot be one, whatever schema it fits. Pure.

A record of a topic may come from anywhere. What passes here cannot make the fold, a view's rows, a decision or a
worker fail by its size: every number fits where it is kept, every text fits into the records that repeat it. Bounds
follow the names of fields, which mean the same in every event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streamsched.domain import events as e
from streamsched.domain.backfill import ACTIVE_LIMIT, PARTS_LIMIT, Reprocess
from streamsched.domain.ids import NAME_LIMIT, is_schedule_id, is_task_id
from streamsched.domain.kinds import COUNT_LIMIT
from streamsched.domain.policy import LONGEST_MS
from streamsched.domain.routing import flaw_of_patterns
from streamsched.domain.splitting import ARGS_LIMIT, CHILDREN_LIMIT
from streamsched.domain.task import LAST_ORDINAL

TIME_END: Final = 1 << 47
"""Milliseconds since the epoch: the year 6429."""
COUNT_END: Final = 1 << 31
NUMBER_END: Final = 1 << 53
PARTITION_END: Final = 1 << 16
PAYLOAD_LIMIT: Final = ARGS_LIMIT
"""Bytes of one payload (arguments, state, result)."""
REASON_LIMIT: Final = 2_000
"""Characters of the reason why a record is set aside: its dead letter repeats it."""

_BEAT_TEXTS: Final = ("by", "node_id", "name", "role", "version", "state", "member_id", "transactional_id")
BODY_LIMIT: Final = 1536 * 1024
"""Bytes of a schedule's template and parameters: its tasks' requests hold both, and a little more."""

_BOUNDS: Final = {
    "at": (0, TIME_END),
    "started_at": (0, TIME_END),
    "due": (0, TIME_END),
    "timeout": (0, LONGEST_MS + 1),
    "heartbeat": (0, LONGEST_MS + 1),
    "child": (0, CHILDREN_LIMIT),
    "children": (0, CHILDREN_LIMIT + 1),
    "ordinal": (1, LAST_ORDINAL + 1),
    "attempt": (1, COUNT_END),
    "recoveries": (0, COUNT_END),
    "redrive": (0, COUNT_END),
    "priority": (-COUNT_END, COUNT_END),
    "sequence": (0, NUMBER_END),
    "token": (0, 1 << 63),
    "partition": (0, PARTITION_END),
    "offset": (0, 1 << 63),
    "slots": (0, COUNT_END),
    "free": (0, COUNT_END),
    "pending": (0, COUNT_END),
    "expected": (0, COUNT_END),
    "upto": (0, TIME_END),
    "backfill": (1, COUNT_END),
    "max_active": (1, ACTIVE_LIMIT + 1),
    "level": (0, COUNT_END),
}
"""The numbers that a field may hold: from the first to below the second."""


def flaw_of(event: e.Event) -> str | None:
    """Say what is wrong with an event, or None."""
    test = _TESTS.get(type(event))
    if test is None:
        test = _TESTS[type(event)] = _test(type(event))
    return test(event)


_TESTS: Final[dict[type[e.Event], Callable[[Any], str | None]]] = {}


def _test(cls: type[e.Event]) -> Callable[[Any], str | None]:
    """Make the test of an event: its numbers in one expression, for every record that is read passes through it."""
    within = " and ".join(f"{low} <= event.{name} < {end}" for name, low, end in _bounded(cls))
    names = {"more": _MORE.get(cls, lambda event: None), "broken": _broken_bound}
    test: Callable[[Any], str | None]
    test = eval(f"lambda event: more(event) if {within} else broken(event)", names)  # noqa: S307 - our own bounds
    return test


def _bounded(cls: type[e.Event]) -> list[tuple[str, int, int]]:
    return [(name, *_BOUNDS[name]) for name in cls.__struct_fields__ if name in _BOUNDS]


def _broken_bound(event: e.Event) -> str:
    for name, low, end in _bounded(type(event)):
        value = getattr(event, name)
        if not low <= value < end:
            return f"{name} {value} is not within {low}..{end - 1}"
    raise AssertionError(event)


# --- texts and lists ------------------------------------------------------------------------------------------------


def _requested(event: e.TaskRequested) -> str | None:
    if not is_task_id(event.task_id):
        return f"{event.task_id[:200]!r} is no task id"
    return _long("traceparent", event.traceparent, NAME_LIMIT)


def _created(event: e.ChildCreated) -> str | None:
    if not is_task_id(event.task_id):
        return f"{event.task_id[:200]!r} is no task id"
    if event.state is None and event.traceparent is None and len(event.args) + len(event.handler) <= NAME_LIMIT:
        return None  # as nearly all
    return (
        _heavy("args", event.args)
        or _heavy("state", event.state)
        or _long("handler", event.handler, NAME_LIMIT)
        or _long("traceparent", event.traceparent, NAME_LIMIT)
    )


def _checkpointed(event: e.ChildCheckpointed) -> str | None:
    work = event.work
    if work is not None:
        if (work.task_id, work.child, work.ordinal) != (event.task_id, event.child, event.ordinal):
            return "its work is another child's"
        flaw = flaw_of(work)
        if flaw is not None:
            return f"in its work, {flaw}"
    return _heavy("state", event.state)


def _stateful(event: e.ChildCancelled) -> str | None:
    return _heavy("state", event.state)


def _returned(event: e.ChildReturned) -> str | None:
    why = event.why
    if why is not None:
        if not 0 <= why.retry_after <= LONGEST_MS:
            return f"retry_after {why.retry_after} is not within 0..{LONGEST_MS}"
        return _heavy("state", event.state) or _heavy("detail", why.detail)
    return _heavy("state", event.state)


def _failed(event: e.ChildFailed) -> str | None:
    if event.delay is not None and not 0 <= event.delay <= LONGEST_MS:
        return f"delay {event.delay} is not within 0..{LONGEST_MS}"
    names = event.cause.error_types if event.cause is not None else ()
    if len(names) > COUNT_LIMIT or any(len(name) > NAME_LIMIT for name in names):
        return f"{len(names):,} names of error types, the longest of {max(map(len, names)):,} characters"
    return _heavy("state", event.state)


def _completed(event: e.ChildCompleted) -> str | None:
    return None if event.result is None else _heavy("result", event.result)


def _ranges(event: e.ChildrenDispatched | e.ChildrenStopping) -> str | None:
    total = 0
    for release in event.releases:
        if not (
            0 <= release.first <= release.last < CHILDREN_LIMIT
            and 0 < release.ordinal <= LAST_ORDINAL
            and 0 <= release.partition < PARTITION_END
        ):
            return f"{release} cannot be"
        total += release.last - release.first + 1
    return _many(total)


def _spans(event: e.ChildrenCancelled) -> str | None:
    total = 0
    for span in event.spans:
        if not 0 <= span.first <= span.last < CHILDREN_LIMIT:
            return f"{span} cannot be"
        total += span.last - span.first + 1
    return _many(total)


def _set_aside(event: e.RecordSetAside) -> str | None:
    return _long("reason", event.reason, REASON_LIMIT)


def _of_schedule(event: e.ScheduleSet) -> str | None:
    if not is_schedule_id(event.schedule_id):
        return f"{event.schedule_id[:200]!r} is no schedule id"
    return _made_of(event)


def _made_of(body: e.ScheduleSet | e.BackfillPart) -> str | None:
    """Refuse what is too heavy for the requests that are made of it."""
    size = len(body.template.encode()) + len(body.params.encode())
    return f"template and parameters have {size:,} bytes, the limit is {BODY_LIMIT:,}" if size > BODY_LIMIT else None


def _ticks(event: e.TicksDecided) -> str | None:
    for run in event.ticks:
        if not (0 <= run.first <= run.last < TIME_END and 0 < run.count < COUNT_END):
            return f"{run} cannot be"
    return None


def _redriven(event: e.TaskRedriven) -> str | None:
    return None if event.scope in ("failed", "all") else f"{event.scope[:200]!r} is no scope"


def _backfill(event: e.BackfillRequested) -> str | None:
    if event.reprocess not in tuple(Reprocess):
        return f"{event.reprocess[:200]!r} is nothing to reprocess"
    before = -1
    for part in event.parts:
        if not before < part.first <= part.last < TIME_END:
            return f"times from {part.first} to {part.last} cannot follow {before}"
        if flaw := _made_of(part):
            return flaw
        if not 0 <= part.level < COUNT_END:
            return f"level {part.level} is not within 0..{COUNT_END - 1}"
        before = part.last
    return f"{len(event.parts):,} parts, more than a backfill can have" if len(event.parts) > PARTS_LIMIT else None


def _refills(event: e.BackfillDecided) -> str | None:
    for run in event.ticks:
        if not (0 <= run.first <= run.last < TIME_END and 0 < run.count < COUNT_END and 0 <= run.redrive < COUNT_END):
            return f"{run} cannot be"
    return None


def _beat(event: e.NodeBeat) -> str | None:
    for name in _BEAT_TEXTS:
        if flaw := _long(name, getattr(event, name), NAME_LIMIT):
            return flaw  # they go into requests that a broker refuses, and into each list
    for partition in event.partitions:
        if not 0 <= partition < PARTITION_END:
            return f"partition {partition} cannot be"
    for running in event.running:
        if not (0 <= running.child < CHILDREN_LIMIT and 0 <= running.started_at < TIME_END):
            return f"child {running.child}, running since {running.started_at}, cannot be"
    return None if event.modules is None else flaw_of_patterns(event.modules)


def _many(total: int) -> str | None:
    return f"{total:,} children, more than a task can have" if total > CHILDREN_LIMIT else None


def _heavy(name: str, text: str | None) -> str | None:
    """Refuse a payload beyond its limit."""
    if text is None or len(text) * 4 <= PAYLOAD_LIMIT:
        return None
    size = len(text) if text.isascii() else len(text.encode())
    return f"{name} has {size:,} bytes, the limit is {PAYLOAD_LIMIT:,}" if size > PAYLOAD_LIMIT else None


def _long(name: str, text: str | None, limit: int) -> str | None:
    if text is None or len(text) <= limit:
        return None
    return f"{name} has {len(text):,} characters, the limit is {limit:,}"


_MORE: Final[dict[type[e.Event], Callable[[Any], str | None]]] = {
    e.TaskRequested: _requested,
    e.ChildCreated: _created,
    e.ChildCheckpointed: _checkpointed,
    e.ChildCancelled: _stateful,
    e.ChildReturned: _returned,
    e.ChildFailed: _failed,
    e.ChildCompleted: _completed,
    e.ChildrenDispatched: _ranges,
    e.ChildrenStopping: _ranges,
    e.ChildrenCancelled: _spans,
    e.NodeBeat: _beat,
    e.RecordSetAside: _set_aside,
    e.ScheduleSet: _of_schedule,
    e.TicksDecided: _ticks,
    e.TaskRedriven: _redriven,
    e.BackfillRequested: _backfill,
    e.BackfillDecided: _refills,
}
