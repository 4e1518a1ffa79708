"""What is owed to a schedule's times: a fate for each that is due. Looks at the state alone, as ``owed`` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.overlap import BUFFER_LIMIT, Overlap
from streamsched.domain.schedule import Schedule, Segment, Wait
from streamsched.domain.tick import tick_id

EXAMINED: Final = 2_000
"""Times looked at in one decision."""
FIRES: Final = 100
"""Tasks requested in one decision."""


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


class _Draft:
    """A decision in the making, with what it will have changed."""

    def __init__(self, schedule: Schedule, now: int) -> None:
        self._schedule = schedule
        self._now = now
        self._running = list(schedule.running)
        self._waiting = list(schedule.waiting)
        self._left = schedule.left
        self.made = Decided(schedule.cursor)
        if schedule.deleted:
            for wait in (*schedule.triggers, *schedule.waiting):
                self._tell(wait, "dropped")
            self._waiting.clear()
        else:
            self._go_on()
            for trigger in schedule.triggers:
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

    def _regular(self) -> None:
        schedule, made = self._schedule, self.made
        latest: dict[int, int] = {}
        for count, (nominal, segment) in enumerate(schedule.times()):
            spec, policy = segment.rules
            full = count >= EXAMINED or len(made.fires) >= FIRES
            if full or self._left == 0 or spec.due(schedule.schedule_id, nominal) > self._now:
                return
            made.upto = nominal
            wait = Wait("tick", nominal)
            if segment.paused:
                self._tell(wait, "suppressed")
            elif nominal < max(self._now - policy.catchup_window_ms, self._latest(segment, latest)):
                self._tell(wait, "missed")
            else:
                self._place(wait, segment)

    def _latest(self, segment: Segment, known: dict[int, int]) -> int:
        """Find the first of those times of a segment that are due and few enough to be made up for."""
        runs, key = segment.rules.policy.max_catchup_runs, id(segment)
        if runs == 0:
            return 0
        if key not in known:
            cursor, reach = self._schedule.cursor, 60_000
            while True:
                start = max(cursor + 1, self._now - reach)
                found = list(segment.rules.spec.between(start, self._now + 1))
                if len(found) >= runs or start == cursor + 1:
                    break
                reach *= 4
            known[key] = found[-runs] if len(found) >= runs else 0
        return known[key]

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
        self.made.cancels += [task_id for task_id in self._running if task_id not in self.made.cancels]

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
