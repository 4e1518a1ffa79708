"""The folded state of one schedule, and ``evolve_schedule``: what each of its events does to it. Pure and total.

Its times are accounted for in their order, up to the ``cursor``. What people changed holds for the times after the
change: so a time that is decided late is decided as the schedule was then (``timeline``).

::

    ScheduleSet ──▶ active ◀──SchedulePaused──▶ paused
                      │                           │
                      └──────ScheduleDeleted──────┴──▶ deleted ──ScheduleSet──▶ active

    a time:  due ──TicksDecided──▶ fired | skipped | missed | suppressed | dropped
                       └─▶ buffered ──TicksDecided──▶ fired | skipped | dropped
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from streamsched.domain import backfill as backfills
from streamsched.domain import events as e
from streamsched.domain.backfill import Backfill
from streamsched.domain.overlap import Rules, read_rules
from streamsched.domain.tick import tick_id

FOREVER: Final = 1 << 62


class PendingTick(NamedTuple):
    """A time that waits for a running task, or a trigger that waits to be decided."""

    kind: str
    nominal: int


@dataclass(frozen=True, slots=True)
class ScheduleVersion:
    """What holds for nominal times after ``since``; where the schedule was deleted, there are none."""

    since: int
    body: e.ScheduleSet
    paused: bool = False
    deleted: bool = False

    @property
    def rules(self) -> Rules:
        """The rules in the body, which the fold has checked."""
        rules = read_rules(self.body.spec, self.body.policy)
        if rules is None:
            raise AssertionError(f"schedule {self.body.schedule_id} was folded without rules")
        return rules


class Schedule:
    """One schedule as its events made it. Changed only by ``evolve_schedule``."""

    __slots__ = (
        "_next", "backfill", "backfills", "counts", "created_at", "cursor", "ended_since", "last_outcome",
        "last_trigger", "left", "note", "running", "schedule_id", "timeline", "triggers", "version", "void", "waiting",
    )  # fmt: skip

    def __init__(self, schedule_id: str) -> None:
        self.schedule_id = schedule_id
        self.version = 0
        self.timeline: list[ScheduleVersion] = []
        self.cursor = 0
        """Every time up to here is accounted for."""
        self.note = ""
        self.left: int | None = None
        """Runs that are left, where they are limited."""
        self.running: dict[str, int] = {}
        """Unfinished tasks, with their redrives; those of a backfill are its own."""
        self.waiting: list[PendingTick] = []
        self.triggers: list[PendingTick] = []
        self.last_trigger = 0
        self.last_outcome = ""
        self.counts: Counter[str] = Counter()
        self.created_at = 0
        self.backfills = 0
        """How many backfills were asked for."""
        self.backfill: Backfill | None = None
        """The latest of them."""
        self.ended_since: dict[str, int] = {}
        """Tasks of which a redrive ended since the last decision: one on its way may ask for the same redrive."""
        self.void = 0
        self._next: list[tuple[int, ScheduleVersion] | None] = []

    @property
    def now(self) -> ScheduleVersion:
        """What holds for the times to come."""
        return self.timeline[-1]

    @property
    def deleted(self) -> bool:
        """Whether it has ended."""
        return self.now.deleted

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return self.now.paused

    @property
    def state(self) -> str:
        """Return its state in a word."""
        if self.deleted:
            return "deleted"
        if self.paused:
            return "paused"
        return "finished" if self.next_time() is None and not self.waiting else "active"

    def next_time(self) -> tuple[int, ScheduleVersion] | None:
        """Return the first nominal time that is not accounted for, and what holds for it."""
        if not self._next:
            self._next.append(next(self.times(), None))
        return self._next[0]

    def times(self) -> Iterator[tuple[int, ScheduleVersion]]:
        """Yield the nominal times after the cursor."""
        if self.left == 0:
            return
        for version, until in self.spans():
            if version.deleted:
                continue
            at: int | None = max(self.cursor, version.since)
            while at is not None and at < until:
                at = version.rules.spec.next_after(at)
                if at is not None and at <= until:
                    yield at, version

    def spans(self) -> Iterator[tuple[ScheduleVersion, int]]:
        """Yield what holds, with the nominal time up to which it does."""
        return zip(self.timeline, [*(after.since for after in self.timeline[1:]), FOREVER], strict=True)

    def held_at(self, nominal: int) -> ScheduleVersion:
        """Return what holds for a nominal time; the first that is known, for an older one."""
        return next((version for version in reversed(self.timeline) if version.since < nominal), self.timeline[0])

    def is_free(self, nominal: int) -> bool:
        """Return whether a backfill may have this time: it has its outcome, or was never one of the schedule's own."""
        if nominal <= self.cursor:
            return True
        found = self.next_time()
        return found is None or found[0] > nominal

    @property
    def backfill_due(self) -> bool:
        """Whether there is something to decide about its backfill."""
        backfill = self.backfill
        if backfill is None or not backfill.room:
            return False
        found = backfill.next_time()
        return found is not None and self.is_free(found[0])

    def due(self) -> int | None:
        """Return when there is something to decide, in milliseconds: 0 is at once, None never."""
        return 0 if self.backfill_due else self.tick_due()

    def tick_due(self) -> int | None:
        """Return when there is something to decide about its own times."""
        if self.triggers or (self.waiting and self.deleted):
            return 0
        if self.left == 0 and any(tick.kind == "tick" for tick in self.waiting):
            return 0
        if self.waiting and not self.running and not self.paused:
            return 0
        found = self.next_time()
        if found is None:
            return None
        nominal, version = found
        return version.rules.spec.due(self.schedule_id, nominal)

    def changed(self) -> None:
        """Drop what was computed from the old state."""
        self._next.clear()
        if self.backfill is not None:
            self.backfill.changed()


def evolve_schedule(schedule: Schedule | None, event: e.OfSchedule) -> Schedule | None:
    """Apply one event, in the journal's order; None where there is no schedule that it could make or change."""
    if schedule is None:
        if not isinstance(event, e.ScheduleSet):
            return None
        schedule = Schedule(event.schedule_id)
        return schedule if _set(schedule, event) else None
    if not _APPLY[type(event)](schedule, event):
        schedule.void += 1
    schedule.changed()
    return schedule


def _set(schedule: Schedule, event: e.ScheduleSet) -> bool:
    new = not schedule.timeline or schedule.deleted
    rules = read_rules(event.spec, event.policy)
    if event.expected != (0 if new else schedule.version) or rules is None:
        return False
    schedule.version += 1
    paused = False if new else schedule.paused
    if not schedule.timeline or schedule.left == 0:
        schedule.cursor = max(schedule.cursor, event.at)  # nothing is due before: there was none, or no run was left
    if new:
        schedule.created_at = event.at
        schedule.note = ""
    _turn(schedule, event.at, ScheduleVersion(0, event, paused))
    schedule.left = rules.policy.limited_runs or None
    return True


def _turn(schedule: Schedule, at: int, version: ScheduleVersion) -> None:
    """Begin another version, not before the last one: clients' clocks differ."""
    since = max([at, schedule.cursor, *(before.since for before in schedule.timeline[-1:])])
    schedule.timeline.append(replace(version, since=since))
    _trim(schedule)


def _trim(schedule: Schedule) -> None:
    timeline = schedule.timeline
    while len(timeline) > 1 and timeline[1].since <= schedule.cursor:
        del timeline[0]


def _paused(schedule: Schedule, event: e.SchedulePaused) -> bool:
    if schedule.deleted or event.paused == schedule.paused:
        return False
    schedule.note = event.note
    _turn(schedule, event.at, replace(schedule.now, paused=event.paused))
    return True


def _triggered(schedule: Schedule, event: e.ScheduleTriggered) -> bool:
    if schedule.deleted:
        return False
    schedule.last_trigger = max(event.at, schedule.last_trigger + 1)
    schedule.triggers.append(PendingTick("trigger", schedule.last_trigger))
    return True


def _deleted(schedule: Schedule, event: e.ScheduleDeleted) -> bool:
    if schedule.deleted:
        return False
    schedule.note = event.note
    _turn(schedule, event.at, replace(schedule.now, paused=False, deleted=True))
    if schedule.backfill is not None and not schedule.backfill.done:
        schedule.backfill.cancelled = True
    return True


def _decided(schedule: Schedule, event: e.TicksDecided) -> bool:
    before = schedule.cursor
    for run in event.ticks:
        tick = PendingTick(run.kind, run.first)
        if tick in schedule.waiting:
            schedule.waiting.remove(tick)
        elif tick in schedule.triggers:
            schedule.triggers.remove(tick)
        elif run.kind != "tick" or run.first <= before:
            continue  # it has its outcome
        if run.outcome == "buffered":
            schedule.waiting.append(tick)
            continue
        schedule.counts[run.outcome] += run.count
        if run.outcome == "fired":
            schedule.running[tick_id(schedule.schedule_id, run.kind, run.first)] = 0
            if schedule.left and run.kind == "tick":
                schedule.left -= 1
    schedule.cursor = max(before, event.upto)
    schedule.ended_since.clear()
    _trim(schedule)
    return True


def _tick_ended(schedule: Schedule, event: e.TickEnded) -> bool:
    of_backfill = schedule.backfill is not None and backfills.end_task(schedule.backfill, event)
    if event.redrive:
        schedule.ended_since[event.task_id] = event.redrive
    redrive = schedule.running.get(event.task_id)
    if redrive is None or event.redrive < redrive:
        return of_backfill or event.redrive > 0
    del schedule.running[event.task_id]
    schedule.last_outcome = event.outcome
    failed = event.outcome in ("failed", "refused")
    if failed and not schedule.deleted and not schedule.paused and schedule.now.rules.policy.pause_on_failure:
        schedule.note = f"task {event.task_id} {event.outcome}"
        _turn(schedule, event.at, replace(schedule.now, paused=True))
    return True


def _tick_reopened(schedule: Schedule, event: e.TickReopened) -> bool:
    if schedule.backfill is not None and event.task_id in schedule.backfill.running:
        return True
    schedule.running[event.task_id] = event.redrive
    return True


def _backfill_requested(schedule: Schedule, event: e.BackfillRequested) -> bool:
    free = schedule.backfill is None or schedule.backfill.done
    if schedule.deleted or not free or event.backfill != schedule.backfills + 1 or not backfills.is_readable(event):
        return False
    schedule.backfills += 1
    schedule.backfill = Backfill(event)
    return True


def _backfill_cancelled(schedule: Schedule, event: e.BackfillCancelled) -> bool:
    backfill = schedule.backfill
    if backfill is None or backfill.number != event.backfill or backfill.cancelled or backfill.done:
        return False
    backfill.cancelled = True
    backfill.note = event.note
    return True


def _backfill_decided(schedule: Schedule, event: e.BackfillDecided) -> bool:
    known = schedule.backfill is not None and backfills.advance(schedule.backfill, event, schedule.ended_since)
    if known:
        schedule.ended_since.clear()
    # A client with a slow clock may change the schedule so that a backfilled time becomes one of its own.
    schedule.cursor = max([schedule.cursor, *(run.last for run in event.ticks if run.outcome == "fired")])
    _trim(schedule)
    return known


_APPLY: Final[dict[type[e.Event], Callable[[Schedule, Any], bool]]] = {
    e.ScheduleSet: _set,
    e.SchedulePaused: _paused,
    e.ScheduleTriggered: _triggered,
    e.ScheduleDeleted: _deleted,
    e.TicksDecided: _decided,
    e.TickEnded: _tick_ended,
    e.TickReopened: _tick_reopened,
    e.BackfillRequested: _backfill_requested,
    e.BackfillCancelled: _backfill_cancelled,
    e.BackfillDecided: _backfill_decided,
}
