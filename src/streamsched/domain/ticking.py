"""What is owed to a schedule's times: a fate for each that is due. Looks at the state alone, as ``owed`` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from streamsched.domain import events as e
from streamsched.domain.backfill import FIRED_CHARACTERS, latest
from streamsched.domain.overlap import BUFFER_LIMIT, Overlap
from streamsched.domain.schedule import Schedule, Segment, Wait
from streamsched.domain.tick import tick_id

if TYPE_CHECKING:
    from streamsched.domain.calendar.spec import ScheduleSpec

EXAMINED: Final = 2_000
"""Times looked at in one decision."""
FIRES: Final = 100
"""Tasks requested in one decision."""
LOOKS: Final = 1_000_000
"""What looking for times may cost in one decision, but for the last (see ``Ticks``): half a second or so."""


@dataclass(frozen=True, slots=True)
class Fire:
    """A task to request: the schedule as it was at the nominal time."""

    task_id: str
    nominal: int
    segment: Segment


@dataclass(slots=True)
class Decided:
    """A decision about the times of one schedule up to ``upto``."""

    upto: int
    ticks: list[e.Ticks] = field(default_factory=list)
    fires: list[Fire] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)


def decide(schedule: Schedule, now: int) -> Decided:
    """Decide about all that is due at ``now``, or as much of it as one decision holds."""
    return _Draft(schedule, now).made


def first_to_catch_up(segment: Segment, after: int, now: int) -> int:
    """Find the first of those times of a segment after ``after`` that are few enough to be made up for; 0 for all.

    Of times that are costly to find fewer may be: the search back ends after ``LOOKS``.
    """
    spec, runs = segment.rules.spec, segment.rules.policy.catchup_runs
    if runs == 0:
        return 0
    until = spec.looks + LOOKS
    for count, nominal in enumerate(latest(spec, after + 1, now), 1):
        if count == runs or spec.looks > until:
            return nominal
    return 0


class _Draft:
    """A decision in the making, with what it will have changed."""

    def __init__(self, schedule: Schedule, now: int) -> None:
        self._schedule = schedule
        self._now = now
        self._running = list(schedule.running)
        self._waiting = list(schedule.waiting)
        self._left = schedule.left
        self._characters = 0
        self.made = Decided(schedule.cursor)
        if schedule.deleted:
            pending = (*schedule.triggers, *schedule.waiting)
            for wait in pending[:EXAMINED]:
                self._tell(wait, "dropped")
            if len(pending) > EXAMINED:
                return  # the rest goes first: a time of before the end would still meet what waits
            self._waiting.clear()
        else:
            self._go_on()
            for trigger in schedule.triggers[:FIRES]:
                if not self._full:
                    self._place(trigger, schedule.now)
        self._regular()

    def _go_on(self) -> None:
        """Start what has waited for a running task."""
        schedule = self._schedule
        while self._waiting and not (self._running or schedule.paused):
            self._fire(self._waiting.pop(0), schedule.now)
        if self._left == 0:
            for wait in [wait for wait in self._waiting if wait.kind == "tick"]:
                self._waiting.remove(wait)
                self._tell(wait, "dropped")

    @property
    def _full(self) -> bool:
        return len(self.made.fires) >= FIRES or self._characters >= FIRED_CHARACTERS

    def _regular(self) -> None:
        schedule, made = self._schedule, self.made
        begins: dict[int, int] = {}
        marks: dict[int, tuple[ScheduleSpec, int]] = {}
        for count, (nominal, segment) in enumerate(schedule.times()):
            spec, policy = segment.rules
            marks.setdefault(id(spec), (spec, spec.looks))
            looks = sum(each.looks - mark for each, mark in marks.values())
            if self._full or count >= EXAMINED or looks > LOOKS or self._left == 0:
                return
            if spec.due(schedule.schedule_id, nominal) > self._now:
                return
            made.upto = nominal
            wait = Wait("tick", nominal)
            if id(segment) not in begins:
                before, mark = spec.looks, marks[id(spec)][1]
                begins[id(segment)] = first_to_catch_up(segment, schedule.cursor, self._now)
                marks[id(spec)] = spec, mark + spec.looks - before  # that has a bound of its own
            if segment.paused:
                self._tell(wait, "suppressed")
            elif nominal < max(self._now - policy.catchup_window_ms, begins[id(segment)]):
                self._tell(wait, "missed")
            else:
                self._place(wait, segment)

    def _place(self, wait: Wait, segment: Segment) -> None:
        """Let a time meet the tasks that run."""
        overlap = segment.rules.policy.overlap
        busy = bool(self._running or self._waiting)
        if not busy or overlap is Overlap.ALLOW_ALL:
            self._fire(wait, segment)
        elif overlap is Overlap.SKIP:
            self._tell(wait, "skipped")
        elif overlap is Overlap.TERMINATE_OTHER:
            self._cancel_running()
            self._fire(wait, segment)
        elif overlap is Overlap.CANCEL_OTHER:
            self._cancel_running()
            for other in self._waiting:
                self._tell(other, "skipped")
            self._waiting = []
            self._buffer(wait)
        elif len(self._waiting) >= (1 if overlap is Overlap.BUFFER_ONE else BUFFER_LIMIT):
            self._tell(wait, "dropped")
        else:
            self._buffer(wait)

    def _cancel_running(self) -> None:
        self.made.cancels = list(dict.fromkeys([*self.made.cancels, *self._running]))

    def _buffer(self, wait: Wait) -> None:
        self._waiting.append(wait)
        self._tell(wait, "buffered")

    def _fire(self, wait: Wait, segment: Segment) -> None:
        if self._left == 0 and wait.kind == "tick":
            self._tell(wait, "dropped")
            return
        task_id = tick_id(self._schedule.schedule_id, wait.kind, wait.nominal)
        self._running.append(task_id)
        self._tell(wait, "fired")
        self.made.fires.append(Fire(task_id, wait.nominal, segment))
        self._characters += len(segment.body.template) + len(segment.body.params)
        if self._left and wait.kind == "tick":
            self._left -= 1

    def _tell(self, wait: Wait, outcome: str) -> None:
        """Note what becomes of a time; new ones of equal fate are told as one run."""
        ticks = self.made.ticks
        ran = ticks[-1] if ticks else None
        # What waited is told of alone, even where it began to wait in this very decision.
        new = wait.nominal == self.made.upto > self._schedule.cursor
        joins = new and outcome in ("skipped", "missed", "suppressed")
        if joins and ran and (ran.kind, ran.outcome) == (wait.kind, outcome) == ("tick", outcome):
            ticks[-1] = e.Ticks("tick", ran.first, wait.nominal, ran.count + 1, outcome)
        else:
            ticks.append(e.Ticks(wait.kind, wait.nominal, wait.nominal, 1, outcome))
