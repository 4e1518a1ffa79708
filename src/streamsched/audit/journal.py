"""One partition of the journal: the audits of its tasks and schedules, fed with its events as they come."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import Enum, auto
from typing import Any, Final, NamedTuple, cast

from msgspec.structs import replace

from streamsched.audit import children, decisions
from streamsched.audit.fingerprints import EventIds, FingerprintSet
from streamsched.audit.followups import FollowupAudit
from streamsched.audit.report import Fault, Report
from streamsched.audit.schedules import ScheduleAudit
from streamsched.audit.task import END, TaskAudit
from streamsched.domain import events as e
from streamsched.domain.followups import AGREED, FOLLOWUPS, Followup, followups
from streamsched.domain.phases import Told
from streamsched.domain.task import Load, Task
from streamsched.log.port import TopicPartition
from streamsched.log.topics import Topics

HELD: Final = 100_000
"""Events that may be held back for later bases; of more, the older half is folded."""
FEW: Final = 8
"""Events that any task may hold back besides."""
TEXTS: Final = 1_000
"""Texts that requests share while they wait."""
HEAVY: Final = 2_048
"""Bytes from which on an event's payload is dropped, as it always is where details are kept: no invariant needs it.

A message stays where a failure rule asks for it."""
_PAYLOADS: Final[dict[str, Any]] = {
    "state": None, "result": None, "message": "", "traceback": "", "cursor": "", "entries": "", "output": None,
}  # fmt: skip
_COMMON: Final = ("by", "template_name", "template_version", "template", "origin")
_FACTS: Final = frozenset({e.TaskRequested, e.TaskCancelRequested, e.TaskLimitsChanged, e.TaskPaused, e.TaskRedriven})
"""Events that clients may write again at any time; they are void then."""
_TOLD: Final = (FOLLOWUPS.keys() | AGREED.keys()) & e.OF_SCHEDULE
"""What schedulers write of schedules, in transactions, so only once."""


class DispatchState(Enum):
    """The state of a dispatch in the journal."""

    UNKNOWN = auto()
    LIVE = auto()
    ENDED = auto()


class Live(NamedTuple):
    """A live dispatch."""

    task_id: str
    child: int
    ordinal: int
    partition: int
    told: Told
    sequence: int


class PartitionAudit:
    """Follows one partition.

    ``complete``: its first record is kept; otherwise no schedule is judged. ``redriven`` are tasks that are redriven
    after an end. One that was not known to be is skipped from then on, and in ``forgotten``.
    """

    def __init__(
        self, place: TopicPartition, *, topics: Topics, findings: Report, complete: bool, followups: FollowupAudit,
        redriven: Collection[str],
    ) -> None:  # fmt: skip
        self.place = place
        self._topics = topics
        self._findings = findings
        self.complete = complete
        self._followups = followups
        self._redriven = redriven
        self.forgotten: set[str] = set()
        self._tasks: dict[str, TaskAudit] = {}
        self._schedules: dict[str, ScheduleAudit] = {}
        self._ended = FingerprintSet()
        self._excused: set[str] = set()
        self._ids = EventIds()
        self._load = Load()
        self._texts: dict[str, str] = {}
        self.epochs: children.Epochs = {}
        """The highest epoch that was heard of for each work-log partition."""
        self._room = HELD
        self.resets: set[int] = set()
        """Work-log partitions that were reset: epochs begin anew there."""

    def take(self, offset: int, event: e.Event, size: int) -> None:
        """Take in the next event, whose record has this many bytes."""
        self._findings.events += 1
        if type(event) in e.OF_SCHEDULE:
            self._take_of_schedule(offset, cast(e.OfSchedule, event))
            return
        task_id: str | None = getattr(event, "task_id", None)
        if task_id is None:
            if isinstance(event, e.PartitionReset):
                self._reset(offset, event)
            return
        kind = type(event)
        if self._ids.repeated(event.event_id):
            self._repeated(task_id, offset, event)
            return
        if kind in AGREED:
            self._followups.written(event, self._named(offset))
        audit = self._tasks.get(task_id)
        if audit is None:
            self._begin(task_id, offset, event)
        elif kind in decisions.ACTIONS:
            if audit.decide(offset, event):  # type: ignore[arg-type]
                self._close(task_id, audit)
        else:
            if kind in children.WORKER_EVENTS and (size > HEAVY or task_id in self._redriven):
                event = _lightened(event, keep="message" if audit.needs_messages else "")
            audit.held.append((offset, event, None))
            self._room -= 1
            if self._room < 0:
                self._make_room()

    def settle(self) -> None:
        """Fold everything that is held back, for there is nothing more to come for now; a request alone can wait."""
        for audit in self._tasks.values():
            if audit.begun:
                audit.advance(END)

    def close(self) -> None:
        """Count what the tasks that are still followed came to."""
        self.settle()
        for audit in self._tasks.values():
            self._count(audit)
            self._findings.ended += audit.task is not None and audit.task.terminal
        for schedule in self._schedules.values():
            schedule.advance()
            self._findings.unjudged += schedule.unjudged
            self._findings.void += schedule.schedule.void if schedule.schedule else 0

    def task(self, task_id: str) -> Task | None:
        """Return a task that is followed."""
        audit = self._tasks.get(task_id)
        return audit.task if audit else None

    def is_excused(self, task_id: str) -> bool:
        """Return whether late events and records of a task are to be expected."""
        audit = self._tasks.get(task_id)
        return audit.excused if audit else task_id in self._excused

    def dispatch_state(self, task_id: str, child: int, ordinal: int) -> DispatchState:
        """Return the state of a dispatch."""
        task = self.task(task_id)
        if task is None:
            return DispatchState.ENDED if task_id in self._ended else DispatchState.UNKNOWN
        if task.is_current(child, ordinal):
            return DispatchState.LIVE
        known = 0 <= child < task.children and ordinal <= task.ordinal_of(child)
        return DispatchState.ENDED if known else DispatchState.UNKNOWN

    def live(self) -> Iterator[Live]:
        """Yield the live dispatches."""
        for task_id, audit in self._tasks.items():
            if (task := audit.task) is None:
                continue
            for child in task.live_children():
                yield Live(
                    task_id, child, task.ordinal_of(child), task.partition_of(child),
                    task.told_of(child), task.detail_of(child).sequence,
                )  # fmt: skip

    # --- inside -----------------------------------------------------------------------------------------------------

    def _take_of_schedule(self, offset: int, event: e.OfSchedule) -> None:
        schedule_id, kind = event.schedule_id, type(event)
        if kind in _TOLD and self._ids.repeated(event.event_id):
            expected = f"event {event.event_id.hex()} once"
            invariant = 10 if kind in (e.TicksDecided, e.BackfillDecided) else 12
            self._tell(Fault(invariant, None, expected, f"{kind.__name__} a second time"), schedule_id, offset)
            return
        if self.complete:
            audit = self._schedules.get(schedule_id)
            if audit is None:
                audit = self._schedules[schedule_id] = ScheduleAudit(schedule_id, self._tell)
            audit.take(offset, event)
        if kind in AGREED:
            self._followups.written(event, self._named(offset))
        for each in followups(None, event):
            self._wants(each, offset)

    def _begin(self, task_id: str, offset: int, event: e.Event) -> None:
        """Take in an event of a task of which nothing is kept."""
        ended = task_id in self._ended
        if ended and isinstance(event, e.TaskRedriven):
            self.forgotten.add(task_id)
            self._excused.add(task_id)
        if isinstance(event, e.TaskRequested) and not ended:
            self._findings.tasks += 1
            event = self._shared(event)
            self._tasks[task_id] = TaskAudit(
                event, offset, load=self._load, partitions=self._topics.child_partitions, epochs=self.epochs,
                tell=self._tell, wants=self._wants, keep=task_id in self._redriven,
            )  # fmt: skip
            self._room += FEW
        elif type(event) in _FACTS or children.is_poison(event) or task_id in self._excused:
            self._findings.void += 1
        elif ended or self.complete:
            name = decisions.name_of(event)
            expected = "nothing after its terminal event" if ended else "a TaskRequested before"
            invariant = 5 if ended else 10 if type(event) in decisions.ACTIONS else 3
            if isinstance(event, e.TaskPlanned) and ended:
                invariant = 1
            self._tell(Fault(invariant, getattr(event, "child", None), expected, name), task_id, offset)

    def _shared(self, request: e.TaskRequested) -> e.TaskRequested:
        """Keep one copy only of what many requests have in common."""
        if len(self._texts) > TEXTS:
            self._texts.clear()
        texts: dict[str, Any] = {
            name: self._texts.setdefault(text, text) for name in _COMMON if (text := getattr(request, name))
        }
        return replace(request, **texts)

    def _repeated(self, task_id: str, offset: int, event: e.Event) -> None:
        """Judge an event that stands twice: only a client may write one again, where it was not acknowledged."""
        self._findings.void += 1
        kind = type(event)
        if kind in _FACTS:
            return
        invariant = 10 if kind in decisions.ACTIONS else 3 if kind in children.OUTCOMES else 4
        if isinstance(event, e.TaskPlanned):
            invariant = 1
        elif isinstance(event, e.TaskSucceeded | e.TaskFailed | e.TaskCancelled):
            invariant = 5
        expected = f"event {event.event_id.hex()} once"
        self._tell(
            Fault(invariant, getattr(event, "child", None), expected, f"{kind.__name__} a second time"), task_id, offset
        )

    def _wants(self, followup: Followup, offset: int) -> None:
        self._followups.wanted(followup, self._named(offset))

    def _close(self, task_id: str, audit: TaskAudit) -> None:
        if task_id in self._redriven:
            return
        self._count(audit)
        self._findings.ended += 1
        self._ended.add(task_id)
        if audit.excused:
            self._excused.add(task_id)
        del self._tasks[task_id]
        self._room -= FEW

    def _count(self, audit: TaskAudit) -> None:
        self._findings.unjudged += audit.unjudged
        self._findings.void += audit.task.void if audit.task else 0

    def _reset(self, offset: int, event: e.PartitionReset) -> None:
        self.resets.add(event.partition)
        for audit in self._tasks.values():
            audit.held.append((offset, event, None))

    def _make_room(self) -> None:
        """Count again what is held back; where it is too much, fold the older half of what any task holds."""
        held = 0
        for audit in self._tasks.values():
            if len(audit.held) > FEW:
                held += len(audit.held) - FEW
        if held > HELD // 2:
            for audit in self._tasks.values():
                if len(audit.held) > FEW:
                    audit.advance(audit.held[len(audit.held) // 2][0])
            held //= 2
        self._room = HELD - held

    def _tell(self, fault: Fault, task_id: str, offset: int) -> None:
        self._findings.add(fault, task_id, self._named(offset))

    def _named(self, offset: int) -> str:
        return f"{self.place.topic}-{self.place.partition}-{offset}"


def _lightened(event: e.Event, *, keep: str) -> e.Event:
    """Return an event without its payload, but for the field to ``keep``."""
    return replace(event, **{name: value for name, value in _PAYLOADS.items() if hasattr(event, name) and name != keep})
