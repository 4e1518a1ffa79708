"""The rows of a view: keys, and how a task's state becomes bytes and comes back.

======================  ==============================================
``m``                   format and journal
``p`` partition         position in that journal partition
``t`` task 00           the task's counters
``q`` task 00           its TaskRequested, as encoded in the journal
``c`` task 00 chunk     a piece of its table, as far as there are cells
``d`` task 00 child     what is known of one child
``i`` task 00 child     the entries of the page that begins with this child
``w`` task 00 child     when this child, and those before it that have no such row, were first dispatched
``g`` task 00           the groups of its failures, where there were any
``a`` task              its journal partition, while it has no terminal event
``s`` schedule          its state, with its journal partition
======================  ==============================================
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import heapify
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

import msgspec

from streamsched.domain.backfill import Backfill, TaskStanding
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.events import BackfillRequested, ScheduleSet, Selector, TaskRequested
from streamsched.domain.failure_groups import FailureGroup
from streamsched.domain.limits import Limits
from streamsched.domain.phases import ENDED, LIVE, ChildState, Hold, Phase
from streamsched.domain.schedule import PendingTick, Schedule, ScheduleVersion
from streamsched.domain.task import CHUNK, ChildDetail, Load, Task
from streamsched.log.codec import Codec
from streamsched.log.port import Record
from streamsched.view.store import Store

Rows = dict[bytes, bytes | None]
META: Final = b"m"
_HEADER: Final = (
    "phase", "redrive", "reason", "plan", "digest", "children", "first_undispatched", "live", "told",
    "succeeded", "failed", "cancelled", "started_at", "finished_at", "busy_ms", "measured", "reopened", "void",
    "refusal", "work", "work_end", "bound", "split", "fan_in", "pages", "restart", "everything", "selector", "cursor",
    "select_end", "left_failed", "left_cancelled", "marks", "hold", "hold_reason", "kill", "limits",
)  # fmt: skip
_SCHEDULE: Final = (
    "version", "cursor", "note", "left", "running", "waiting", "triggers", "last_trigger", "last_outcome", "counts",
    "created_at", "backfills", "ended_since", "void",
)  # fmt: skip
_schedule_values: Any = attrgetter(*_SCHEDULE)
_header_values: Any = attrgetter(*_HEADER)
_encode = msgspec.msgpack.Encoder(enc_hook=array.tobytes).encode
_decode = msgspec.msgpack.Decoder().decode
_decode_groups = msgspec.msgpack.Decoder(dict[str, FailureGroup]).decode
_decode_detail = msgspec.msgpack.Decoder(ChildDetail).decode


def position_key(partition: int) -> bytes:
    """Key of the position in one journal partition."""
    return b"p" + partition.to_bytes(2)


def task_key(kind: bytes, task_id: str) -> bytes:
    """Key (or prefix of the keys) of one kind of row of a task."""
    return kind + task_id.encode() + b"\0"


def page_key(task_id: str, first: int) -> bytes:
    """Key of the page of a task that begins with this child."""
    return task_key(b"i", task_id) + first.to_bytes(4)


def active_key(task_id: str) -> bytes:
    """Key of the mark of an active task."""
    return b"a" + task_id.encode()


def task_rows(task: Task, codec: Codec, *, new: bool) -> Rows:
    """Return the rows of everything that changed in a task since it was last asked."""
    task_id = task.task_id
    rows: Rows = {task_key(b"t", task_id): _encode(_header_values(task))}
    if new:
        rows[task_key(b"q", task_id)] = codec.encode(task.request)
    prefix = task_key(b"c", task_id)
    for chunk in task.changed:
        rows[prefix + chunk.to_bytes(4)] = task.table[chunk * CHUNK : (chunk + 1) * CHUNK].tobytes()
    prefix = task_key(b"d", task_id)
    details = task.details
    for child in task.touched:
        rows[prefix + child.to_bytes(4)] = _encode(details[child])
    if task.failures.changed:
        rows[task_key(b"g", task_id)] = _encode(task.failures)
    for first, entries in task.new_pages.items():
        rows[page_key(task_id, first)] = entries.encode()
    prefix = task_key(b"w", task_id)
    for last, at in task.new_dispatches.items():
        rows[prefix + last.to_bytes(4)] = at.to_bytes(8)
    return rows


def load_header(store: Store, codec: Codec, task_id: str, load: Load) -> Task | None:
    """Read a task back without its children."""
    header = store.get(task_key(b"t", task_id))
    request = store.get(task_key(b"q", task_id))
    if header is None or request is None:
        return None
    task = Task(cast(TaskRequested, codec.decode(_stored(request))), load)
    for name, value in zip(_HEADER, _decode(header), strict=True):
        setattr(task, name, value)
    task.phase, task.hold = Phase(task.phase), Hold(task.hold)
    task.pages = array("I", cast(bytes, task.pages))
    task.selector = msgspec.convert(task.selector, Selector | None)
    task.limits = msgspec.convert(task.limits, Limits)
    return task


def load_task(store: Store, codec: Codec, task_id: str, load: Load) -> Task | None:
    """Read a task back. ``load`` counts its live children only if the task is active and not yet counted."""
    task = load_header(store, codec, task_id, load)
    if task is None:
        return None
    groups = store.get(task_key(b"g", task_id))
    if groups is not None:
        task.failures.update(_decode_groups(groups))
    for _, piece in store.scan(task_key(b"c", task_id)):
        task.table.frombytes(piece)
    task.cells = len(task.table)
    if not task.terminal and task.finished_at is None:
        _load_open_children(task, store)
    return task


def schedule_key(schedule_id: str) -> bytes:
    """Key of the row of a schedule."""
    return b"s" + schedule_id.encode()


def schedule_row(schedule: Schedule, home: int, codec: Codec) -> bytes:
    """Write a schedule down."""
    timeline = [
        (version.since, codec.encode(version.body), version.paused, version.deleted) for version in schedule.timeline
    ]
    return _encode((home, timeline, _backfill_row(schedule.backfill, codec), *_schedule_values(schedule)))


def load_schedule(schedule_id: str, row: bytes, codec: Codec) -> tuple[Schedule, int]:
    """Read a schedule back, and its journal partition."""
    home, timeline, backfill, *values = _decode(row)
    schedule = Schedule(schedule_id)
    for name, value in zip(_SCHEDULE, values, strict=True):
        setattr(schedule, name, value)
    schedule.counts = Counter(schedule.counts)
    schedule.waiting = [PendingTick(*each) for each in schedule.waiting]
    schedule.triggers = [PendingTick(*each) for each in schedule.triggers]
    for since, body, *flags in timeline:
        schedule.timeline.append(ScheduleVersion(since, cast(ScheduleSet, codec.decode(_stored(body))), *flags))
    if backfill is not None:
        request, cursor, cancelled, note, running, counts = backfill
        known = cast(BackfillRequested, codec.decode(_stored(request)))
        schedule.backfill = Backfill(known, cursor, cancelled, note, running, Counter(counts))
    return schedule, home


def _backfill_row(backfill: Backfill | None, codec: Codec) -> tuple[object, ...] | None:
    if backfill is None:
        return None
    state = (backfill.cursor, backfill.cancelled, backfill.note, backfill.running, backfill.counts)
    return codec.encode(backfill.request), *state


def load_standing(store: Store, task_id: str) -> TaskStanding | None:
    """Return how a task stands, from its first row alone."""
    header = store.get(task_key(b"t", task_id))
    if header is None:
        return None
    phase, redrive, *_ = _decode(header)
    return TaskStanding(Phase(phase), redrive)


def load_detail(store: Store, task_id: str, child: int) -> ChildDetail | None:
    """Read the stored detail of one child."""
    row = store.get(task_key(b"d", task_id) + child.to_bytes(4))
    return None if row is None else _decode_detail(row)


def load_details(store: Store, task_id: str, first: int = 0) -> Iterator[tuple[int, ChildDetail]]:
    """Yield the stored details of a task's children in order, from child ``first`` on."""
    prefix = task_key(b"d", task_id)
    for key, value in store.scan(prefix, prefix + first.to_bytes(4)):
        yield int.from_bytes(key[len(prefix) :]), _decode_detail(value)


def load_dispatches(store: Store, task_id: str, first: int) -> Iterator[tuple[int, int]]:
    """Yield when children were dispatched for the first time, from child ``first`` on: up to which child, and when."""
    prefix = task_key(b"w", task_id)
    for key, value in store.scan(prefix, prefix + first.to_bytes(4)):
        yield int.from_bytes(key[len(prefix) :]), int.from_bytes(value)


class Row(NamedTuple):
    """A row in words: what it says, of which task and child."""

    task_id: str
    child: int | None
    """The child; of a piece of the table its first one."""
    values: Mapping[str, object]


def explain(key: bytes, value: bytes) -> Row:
    """Return a row in words; a piece of the table has one value for each child: state, ordinal, partition."""
    kind, rest = key[:1], key[1:]
    if kind == b"p":
        return Row("", None, {f"position of journal partition {int.from_bytes(rest)}": int.from_bytes(value)})
    name, _, tail = rest.partition(b"\0")
    task_id, number = name.decode(errors="replace"), int.from_bytes(tail) if tail else None
    if kind == b"a":
        return Row(task_id, None, {"journal partition of the unfinished task": int.from_bytes(value)})
    if kind == b"s":
        home, timeline, backfill, *values = _decode(value)
        told = {"schedule": rest.decode(errors="replace"), "journal partition": home, "versions": len(timeline)}
        told["backfill"] = None if backfill is None else backfill[1:]
        return Row("", None, {**told, **dict(zip(_SCHEDULE, values, strict=True))})
    if kind == b"g":
        return Row(task_id, None, {f"failures {key}": group for key, group in _decode(value).items()})
    if kind == b"i":
        return Row(task_id, number, {"entries": value.decode(errors="replace")})
    if kind == b"w":
        return Row(task_id, number, {"dispatched for the first time, with those before it": int.from_bytes(value)})
    if kind == b"q":
        return Row(task_id, None, {"request": value.hex()})
    if kind == b"c":
        first = (number or 0) * CHUNK
        cells = memoryview(value).cast("I")
        return Row(task_id, first, {f"child {first + at}": _cell(cell) for at, cell in enumerate(cells)})
    if kind not in (b"t", b"d"):
        return Row(task_id, None, {key.hex(): value.hex()})
    names = _HEADER if kind == b"t" else ChildDetail.__struct_fields__
    return Row(task_id, number, dict(zip(names, _decode(value), strict=True)))


def _stored(value: bytes) -> Record:
    return cast(Record, SimpleNamespace(topic="view", partition=0, offset=0, value=value))


def _cell(cell: int) -> str:
    state, ordinal, partition = cell & 0xF, cell >> 4 & LAST_ORDINAL, cell >> 16
    name = ChildState(state).name.lower() if state in list(ChildState) else f"state {state}"
    return f"{name}, ordinal {ordinal}, partition {partition}"


def _load_open_children(task: Task, store: Store) -> None:
    """Load what is kept in memory for children that have not ended. A task whose ending is certain has none of them."""
    for child in range(task.cells):
        if task.state_of(child) in LIVE:
            chunk = child // CHUNK
            task.live_chunks[chunk] = task.live_chunks.get(chunk, 0) + 1
            task.load[task.partition_of(child)] += 1
            task.placed[task.partition_of(child)] += 1
        elif task.is_revived(child):
            task.again[child // CHUNK] = task.again.get(child // CHUNK, 0) + 1
    for child, detail in load_details(store, task.task_id):
        state = task.state_of(child)
        if state not in ENDED and not task.is_revived(child):
            task.details[child] = detail
        if state is ChildState.DUE:
            task.due.append((detail.due, child))
    heapify(task.due)
