"""From records to events: each topic's records decoded, and refused where they are not events of that topic.

Any client with write access can write anything to a topic. What is refused here as ``Undecodable`` is set aside by all
nodes in the same way, so that all folds agree: a broken body, an event whose numbers or texts cannot be
(``domain.validation``), one of another topic, one under another key than its task's, or in a journal partition that is
not its task's home.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, cast

from streamsched.domain.bounds import GRAMMAR
from streamsched.domain.events import (
    OF_SCHEDULE,
    STOP_MODES,
    BackfillRequested,
    ChildCheckpointed,
    ChildCreated,
    ChildrenStopping,
    DeadLetter,
    Event,
    NodeBeat,
    PartitionReset,
    RecordSetAside,
    ScheduleSet,
    TaskRedriven,
    TaskRequested,
    Work,
)
from streamsched.domain.ids import is_task_id
from streamsched.domain.template import LEVEL
from streamsched.domain.validation import test_of
from streamsched.log.codec import Codec, Undecodable, UnknownSchema, header, place_of
from streamsched.log.port import Headers, Record
from streamsched.log.topics import RECORD_LIMIT, Topics

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_WORK: Final = frozenset({ChildCreated, ChildCheckpointed, ChildrenStopping})
_TEMPLATES: Final = frozenset({TaskRequested, ScheduleSet, BackfillRequested})
"""Events with a template in them."""
_NOBODYS: Final = frozenset({PartitionReset, RecordSetAside, ChildCreated, NodeBeat, DeadLetter})
"""Events that stand under no task's and no schedule's id in the journal; all but the first two are none of it."""


class EventReader:
    """Reads the records of one installation.

    Every call raises ``UnknownSchema`` for a record of a newer version, and ``Undecodable`` for what is not an event.
    """

    def __init__(self, codec: Codec, topics: Topics) -> None:
        self._codec = codec
        self._topics = topics
        self._home = lru_cache(maxsize=4096)(self._find_home)

    def journal(self, record: Record) -> Event:
        """Read an event of the journal."""
        event = self._event(record)
        kind = type(event)
        if kind in _NOBODYS:
            if kind is PartitionReset:
                return event
            if isinstance(event, RecordSetAside):
                return _decision(record, event)
            raise Undecodable(f"{place_of(record)}: {kind.__name__} is not an event of the journal")
        if kind in _TEMPLATES:
            _check_level(record, cast("TaskRequested | ScheduleSet | BackfillRequested", event))
        elif kind is ChildrenStopping:
            _check_mode(record, cast("ChildrenStopping", event))
        elif kind is TaskRedriven:
            _check_grammar(record, cast("TaskRedriven", event))
        owner: str = event.schedule_id if kind in OF_SCHEDULE else event.task_id  # type: ignore[attr-defined]
        key, home = self._home(owner)
        if record.key != key:
            raise _misplaced(record, "its key is not its task's or schedule's id")
        if record.partition != home:
            raise _misplaced(record, f"its home is partition {home}")
        return event

    def work(self, record: Record) -> Work | ChildrenStopping | RecordSetAside:
        """Read a record of the work log: work to do, a stop marker, or what was decided of an unknown record."""
        event = self._event(record)
        if type(event) not in _WORK:
            if isinstance(event, RecordSetAside):
                return _decision(record, event)
            raise Undecodable(f"{place_of(record)}: {type(event).__name__} is not work")
        if type(event) is ChildCheckpointed and event.work is None:
            raise Undecodable(f"{place_of(record)}: a continuation without its work")
        work = cast("Work | ChildrenStopping", event)
        if type(work) is ChildrenStopping:
            _check_mode(record, work)
        if record.key != work.task_id.encode():
            raise _misplaced(record, "its key is not its task's id")
        return work

    def beat(self, record: Record) -> NodeBeat | None:
        """Read a node's beat; None where the node has left."""
        if record.value is None:
            return None
        event = self._event(record)
        if not isinstance(event, NodeBeat):
            raise Undecodable(f"{place_of(record)}: {type(event).__name__} is not a beat")
        if record.key != event.node_id.encode():
            raise _misplaced(record, "its key is not its node's id")
        if event.role == "worker" and event.partitions and max(event.partitions) >= self._topics.child_partitions:
            raise Undecodable(f"{place_of(record)}: the work log has no partition {max(event.partitions)}")
        return event

    def dead_letter(self, record: Record) -> DeadLetter:
        """Read a dead letter."""
        event = self._event(record)
        if not isinstance(event, DeadLetter):
            raise Undecodable(f"{place_of(record)}: {type(event).__name__} is not a dead letter")
        return event

    def _event(self, record: Record) -> Event:
        value = record.value
        if value is not None and len(value) > RECORD_LIMIT:
            raise Undecodable(f"{place_of(record)}: {len(value):,} bytes, the limit is {RECORD_LIMIT:,}")
        event = self._codec.decode(record)
        problem = test_of(type(event))(event)
        if problem is not None:
            raise Undecodable(f"{place_of(record)}: {type(event).__name__} cannot be: {problem}")
        return event

    def _find_home(self, task_id: str) -> tuple[bytes, int]:
        return task_id.encode(), self._topics.journal_of(task_id).partition


def blame(headers: Headers) -> tuple[str, int, int] | None:
    """Return which dispatch the headers of a record name that cannot be read: task, child, ordinal."""
    task_id, child, ordinal = (header(headers, name) or "" for name in ("task", "child", "ordinal"))
    if not (is_task_id(task_id) and _NUMBER.fullmatch(child) and _NUMBER.fullmatch(ordinal)):
        return None
    return task_id, int(child), int(ordinal)


def set_aside(record: Record, decision: RecordSetAside) -> Undecodable:
    """Return why a record of an unknown schema is passed over."""
    return Undecodable(f"{place_of(record)}: set aside by {decision.by}: {decision.reason}")


def _decision(record: Record, event: RecordSetAside) -> RecordSetAside:
    """Check that a decision stands behind the record that it is about, in the same partition."""
    if record.key is not None or event.partition != record.partition or event.offset >= record.offset:
        raise _misplaced(record, "it is about no earlier record of its partition")
    return event


def _check_level(record: Record, event: TaskRequested | ScheduleSet | BackfillRequested) -> None:
    """Stop at a template of a newer version: it would be refused here, for good, or folded in another way."""
    parts = event.parts if isinstance(event, BackfillRequested) else (event,)
    level = max((part.level for part in parts), default=0)
    if level > LEVEL:
        raise UnknownSchema(
            f"{place_of(record)}: a template of level {level}, above the {LEVEL} that this version reads; "
            "it was written by a newer version of streamsched: upgrade this node"
        )


def _check_mode(record: Record, event: ChildrenStopping) -> None:
    """Stop at a mode of a newer version: to take it for another one would end what should continue."""
    if event.mode not in STOP_MODES:
        raise UnknownSchema(
            f"{place_of(record)}: children are stopped in the mode {event.mode!r}; "
            "it was written by a newer version of streamsched: upgrade this node"
        )


def _check_grammar(record: Record, event: TaskRedriven) -> None:
    """Stop at a selector of a newer grammar: it would be folded in another way."""
    if event.selector is not None and event.selector.version > GRAMMAR:
        raise UnknownSchema(
            f"{place_of(record)}: a selector of grammar {event.selector.version}, above the {GRAMMAR} that this "
            "version reads; it was written by a newer version of streamsched: upgrade this node"
        )


def _misplaced(record: Record, why: str) -> Undecodable:
    return Undecodable(f"{place_of(record)}: out of place: {why}")
