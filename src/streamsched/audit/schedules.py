"""The audit of one schedule: its events in the journal's order, each decision held against the fold at its basis.

As with tasks (``task``), an event is folded once, when the basis of a decision passes it. The decision is then checked
time by time: those that waited, triggers, and the schedule's own times, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamsched.audit.backfill_steps import judge_backfill_step
from streamsched.audit.report import Fault
from streamsched.audit.task import END, Tell
from streamsched.domain import events as e
from streamsched.domain.calendar.moment import write as utc
from streamsched.domain.overlap import Overlap
from streamsched.domain.schedule import PendingTick, Schedule, ScheduleVersion, evolve_schedule
from streamsched.domain.ticking import EXAMINED, first_to_catch_up

HELD: Final = 2_000
"""Events of one schedule held back for later bases; of more, the older half is folded."""
TIMES: Final = 4 * EXAMINED
"""More times than any decision has: its own, those that waited, and triggers."""
FINAL: Final = frozenset({"fired", "skipped", "dropped", "missed", "suppressed"})
_BESIDE: Final = (Overlap.ALLOW_ALL, Overlap.TERMINATE_OTHER)
"""With these a time fires though another task of the schedule runs."""


class ScheduleAudit:
    """One schedule, from its first event on."""

    __slots__ = ("_applied", "_decided", "_held", "_schedule_id", "_tell", "schedule", "unjudged")

    def __init__(self, schedule_id: str, tell: Tell) -> None:
        self.schedule: Schedule | None = None
        self.unjudged = 0
        """Decisions whose basis had been passed when they came."""
        self._schedule_id = schedule_id
        self._tell = tell
        self._held: list[tuple[int, e.OfSchedule]] = []
        self._applied = 0
        self._decided = -1

    def take(self, offset: int, event: e.OfSchedule) -> None:
        """Take in the next event."""
        if isinstance(event, e.TicksDecided | e.BackfillDecided):
            if fault := self._judge(offset, event):
                self._tell(fault, self._schedule_id, offset)
            self._decided = offset
        self._held.append((offset, event))
        if len(self._held) > HELD:
            self.advance(self._held[HELD // 2][0])

    def advance(self, position: int = END) -> None:
        """Fold what is held below a position."""
        count = 0
        for offset, event in self._held:
            if offset >= position:
                break
            self.schedule = evolve_schedule(self.schedule, event)
            self._applied = offset + 1
            count += 1
        del self._held[:count]

    def _judge(self, offset: int, event: e.TicksDecided | e.BackfillDecided) -> Fault | None:
        basis = event.basis
        if not 0 <= basis <= offset:
            self.advance(offset)
            return Fault(10, None, f"a basis at or below its own offset {offset}", f"basis {basis}")
        if self._decided >= basis:
            expected = f"no other decision of this schedule from basis {basis} on"
            return Fault(10, None, expected, f"another one at offset {self._decided}")
        if basis < self._applied:
            self.unjudged += 1
            return None
        self.advance(basis)
        if self.schedule is None:
            return Fault(10, None, f"a schedule at basis {basis}", type(event).__name__)
        if isinstance(event, e.BackfillDecided):
            return judge_backfill_step(self.schedule, event)
        return _Decision(self.schedule, event).judge()


class _Decision:
    """One decision against the schedule that its maker had folded."""

    def __init__(self, schedule: Schedule, event: e.TicksDecided) -> None:
        self._schedule = schedule
        self._event = event
        self._waiting = set(schedule.waiting)
        self._triggers = set(schedule.triggers)
        self._running = len(schedule.running)
        self._left = schedule.left
        self._times: Iterator[tuple[int, ScheduleVersion]] = schedule.times()
        self._next = next(self._times, None)
        self._last = schedule.cursor
        self._begins: dict[int, int] = {}

    def judge(self) -> Fault | None:
        """Check all its times, then look for times that it left out."""
        event = self._event
        if not event.ticks:
            return Fault(11, None, "times with their outcomes", "a decision without any")
        times = sum(run.count for run in event.ticks)
        if times > TIMES:  # checking them one by one would never end
            return Fault(11, None, f"at most {TIMES:,} times in one decision", f"{times:,} of them")
        for run in event.ticks:
            if fault := self._run(run):
                return fault
        if event.upto != self._last:
            following = self._following()
            if following is not None and following[0] <= event.upto:
                return Fault(11, None, f"an outcome of {utc(following[0])}", f"none, and all up to {utc(event.upto)}")
            return Fault(11, None, f"all up to {utc(self._last)}, its last time", f"up to {event.upto}")
        return None

    def _following(self) -> tuple[int, ScheduleVersion] | None:
        """Return the first time that has no outcome so far."""
        return None if self._left == 0 else self._next

    def _run(self, run: e.Ticks) -> Fault | None:
        if run.outcome not in FINAL and run.outcome != "buffered":
            return Fault(11, None, "an outcome of a time", f"{run.outcome!r} of {utc(run.first)}")
        tick = PendingTick(run.kind, run.first)
        known = self._triggers if tick in self._triggers else self._waiting
        if tick in known:
            return self._known(run, tick, known)
        if run.kind != "tick":
            return Fault(11, None, "a trigger that was requested, once", f"{run.outcome} {utc(run.first)}+trigger")
        if run.outcome in ("fired", "buffered") and run.count != 1:
            return Fault(11, None, f"one time that is {run.outcome}", f"{run.count} of them in one")
        return self._own(run)

    def _known(self, run: e.Ticks, tick: PendingTick, known: set[PendingTick]) -> Fault | None:
        """Judge the outcome of a time that waited, or of a trigger."""
        known.discard(tick)
        if (run.last, run.count) != (run.first, 1):
            return Fault(11, None, f"an outcome of {utc(run.first)} alone, which waited", f"of {run.count} times")
        if run.outcome == "buffered":
            if known is self._waiting:
                return Fault(11, None, f"a final outcome of {utc(run.first)}, which waits", "buffered again")
            self._waiting.add(tick)
            return None
        return self._fire(run, self._schedule.now) if run.outcome == "fired" else None

    def _own(self, run: e.Ticks) -> Fault | None:
        """Judge the outcomes of times of the schedule that had none so far."""
        named = utc(run.first) if run.count == 1 else f"{run.count} times from {utc(run.first)} to {utc(run.last)}"
        for nth in range(run.count):
            following = self._following()
            wanted = run.first if nth == 0 else run.last if nth == run.count - 1 else None
            at = following[0] if following else END
            if following is None or (wanted not in (None, at)) or at > run.last:
                when = f"{utc(at)} next" if following else "no time any more"
                return Fault(11, None, when, f"{run.outcome} {named}")
            if fault := self._one(run, *following):
                return fault
            self._last = at
            self._next = next(self._times, None)
        if run.count < 1 or self._last != run.last:
            return Fault(11, None, f"a run that ends at {utc(self._last)}", f"{run.outcome} {named}")
        return None

    def _one(self, run: e.Ticks, nominal: int, version: ScheduleVersion) -> Fault | None:
        due = version.rules.spec.due(self._schedule.schedule_id, nominal)
        if due > self._event.at:
            return Fault(11, None, f"{utc(nominal)} not before {utc(due)}, when it is due", f"at {utc(self._event.at)}")
        if version.paused != (run.outcome == "suppressed"):
            what = "paused" if version.paused else "not paused"
            return Fault(11, None, f"an outcome of {utc(nominal)} as the schedule was {what} then", run.outcome)
        if not version.paused and self._is_late(nominal, version) != (run.outcome == "missed"):
            when = "in time" if run.outcome == "missed" else "too late"
            return Fault(11, None, f"an outcome of {utc(nominal)} as one that was found {when}", run.outcome)
        if run.outcome == "buffered":
            self._waiting.add(PendingTick("tick", nominal))
        return self._fire(run, version) if run.outcome == "fired" else None

    def _is_late(self, nominal: int, version: ScheduleVersion) -> bool:
        """Return whether a time was out of the catch-up window, or had too many later ones to be fired."""
        at = self._event.at
        if nominal < at - version.rules.policy.catchup_window_ms:
            return True
        if id(version) not in self._begins:
            self._begins[id(version)] = first_to_catch_up(version, self._schedule.cursor, at)
        return nominal < self._begins[id(version)]

    def _fire(self, run: e.Ticks, version: ScheduleVersion) -> Fault | None:
        if self._running and version.rules.policy.overlap not in _BESIDE:
            expected = f"no task beside the one that runs ({version.rules.policy.overlap})"
            return Fault(11, None, expected, f"fired {utc(run.first)}")
        self._running += 1
        if run.kind == "tick" and self._left is not None:
            if self._left == 0:
                return Fault(11, None, "no more runs than its limit", f"fired {utc(run.first)}")
            self._left -= 1
        return None
