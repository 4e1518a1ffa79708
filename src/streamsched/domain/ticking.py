"""Decides the outcome of each time of a schedule that is due, from the state alone, as ``owed`` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from streamsched.domain import events as e
from streamsched.domain.backfill import FIRED_CHARACTERS, latest
from streamsched.domain.overlap import BUFFER_LIMIT, Overlap
from streamsched.domain.schedule import PendingTick, Schedule, ScheduleVersion
from streamsched.domain.tick import tick_id

if TYPE_CHECKING:
    from streamsched.domain.calendar.spec import ScheduleSpec

EXAMINED: Final = 2_000
"""Times looked at in one decision."""
FIRES: Final = 100
"""Tasks requested in one decision."""
LOOKS: Final = 1_000_000
"""What looking for times may cost in one decision, but for the last (see ``Ticks``): half a second or so."""


class Fire(NamedTuple):
    """A task to request: the schedule as it was at the nominal time."""

    task_id: str
    nominal: int
    version: ScheduleVersion


@dataclass(slots=True)
class Decided:
    """A decision about the times of one schedule up to ``upto``."""

    upto: int
    ticks: list[e.Ticks] = field(default_factory=list)
    fires: list[Fire] = field(default_factory=list)
    cancels: dict[str, bool] = field(default_factory=dict)
    """The tasks that are to end for it, and whether they are to be killed."""


def decide(schedule: Schedule, now: int) -> Decided:
    """Decide about all that is due at ``now``, or as much of it as one decision holds."""
    return _Draft(schedule, now).made


def first_to_catch_up(version: ScheduleVersion, after: int, now: int) -> int:
    """Return the first late time after ``after`` that is still fired by the policy of this version; 0 for all.

    The search back ends after ``LOOKS``: of times that are costly to find fewer are fired.
    """
    spec, runs = version.rules.spec, version.rules.policy.catchup_runs
    if runs == 0:
        return 0
    until = spec.looks + LOOKS
    for count, nominal in enumerate(latest(spec, after + 1, now), 1):
        if count == runs or spec.looks > until:
            return nominal
    return 0


class _Draft:
    """A decision in the making, with the state as it will be."""

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
            for tick in pending[:EXAMINED]:
                self._tell(tick, "dropped")
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
            for tick in [tick for tick in self._waiting if tick.kind == "tick"]:
                self._waiting.remove(tick)
                self._tell(tick, "dropped")

    @property
    def _full(self) -> bool:
        return len(self.made.fires) >= FIRES or self._characters >= FIRED_CHARACTERS

    def _regular(self) -> None:
        schedule, made = self._schedule, self.made
        begins: dict[int, int] = {}
        marks: dict[int, tuple[ScheduleSpec, int]] = {}
        for count, (nominal, version) in enumerate(schedule.times()):
            spec, policy = version.rules
            marks.setdefault(id(spec), (spec, spec.looks))
            looks = sum(each.looks - mark for each, mark in marks.values())
            if self._full or count >= EXAMINED or looks > LOOKS or self._left == 0:
                return
            if spec.due(schedule.schedule_id, nominal) > self._now:
                return
            made.upto = nominal
            tick = PendingTick("tick", nominal)
            if id(version) not in begins:
                before, mark = spec.looks, marks[id(spec)][1]
                begins[id(version)] = first_to_catch_up(version, schedule.cursor, self._now)
                marks[id(spec)] = spec, mark + spec.looks - before  # that has a bound of its own
            if version.paused:
                self._tell(tick, "suppressed")
            elif nominal < max(self._now - policy.catchup_window_ms, begins[id(version)]):
                self._tell(tick, "missed")
            else:
                self._place(tick, version)

    def _place(self, tick: PendingTick, version: ScheduleVersion) -> None:
        """Decide about a time by the overlap policy."""
        overlap = version.rules.policy.overlap
        busy = bool(self._running or self._waiting)
        if not busy or overlap is Overlap.ALLOW_ALL:
            self._fire(tick, version)
        elif overlap is Overlap.SKIP:
            self._tell(tick, "skipped")
        elif overlap is Overlap.TERMINATE_OTHER:
            self._cancel_running(kill=True)
            self._fire(tick, version)
        elif overlap is Overlap.CANCEL_OTHER:
            self._cancel_running()
            for other in self._waiting:
                self._tell(other, "skipped")
            self._waiting = []
            self._buffer(tick)
        elif len(self._waiting) >= (1 if overlap is Overlap.BUFFER_ONE else BUFFER_LIMIT):
            self._tell(tick, "dropped")
        else:
            self._buffer(tick)

    def _cancel_running(self, *, kill: bool = False) -> None:
        cancels = self.made.cancels
        cancels.update({task_id: kill or cancels.get(task_id, False) for task_id in self._running})

    def _buffer(self, tick: PendingTick) -> None:
        self._waiting.append(tick)
        self._tell(tick, "buffered")

    def _fire(self, tick: PendingTick, version: ScheduleVersion) -> None:
        if self._left == 0 and tick.kind == "tick":
            self._tell(tick, "dropped")
            return
        task_id = tick_id(self._schedule.schedule_id, tick.kind, tick.nominal)
        self._running.append(task_id)
        self._tell(tick, "fired")
        self.made.fires.append(Fire(task_id, tick.nominal, version))
        self._characters += len(version.body.template) + len(version.body.params)
        if self._left and tick.kind == "tick":
            self._left -= 1

    def _tell(self, tick: PendingTick, outcome: str) -> None:
        """Add the outcome of a time; new ones of equal outcome in a row become one entry."""
        ticks = self.made.ticks
        ran = ticks[-1] if ticks else None
        # What waited has an entry of its own, even where it began to wait in this very decision.
        new = tick.nominal == self.made.upto > self._schedule.cursor
        joins = new and outcome in ("skipped", "missed", "suppressed")
        if joins and ran and (ran.kind, ran.outcome) == (tick.kind, outcome) == ("tick", outcome):
            ticks[-1] = e.Ticks("tick", ran.first, tick.nominal, ran.count + 1, outcome)
        else:
            ticks.append(e.Ticks(tick.kind, tick.nominal, tick.nominal, 1, outcome))
