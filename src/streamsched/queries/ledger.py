"""The tick ledger of a schedule: the outcome of each of its times and the reason, from the schedule's history."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypedDict

from msgspec.structs import replace

from streamsched.domain import duration
from streamsched.domain import events as e
from streamsched.domain.calendar.moment import write as utc
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.overlap import Overlap
from streamsched.domain.schedule import PendingTick, Schedule, ScheduleVersion, evolve_schedule
from streamsched.domain.tick import tick_id
from streamsched.queries.documents import Document, Moment, Time, millis_of

OUTCOMES: Final = ("fired", "redriven", "skipped", "missed", "suppressed", "dropped", "waiting")


class Nominal(Time):
    """A time that documents show with milliseconds only if there are any."""

    def shown(self) -> str:
        """Return it as text."""
        return utc(millis_of(self))


class Tick(Document, frozen=True, kw_only=True):
    """One time of a schedule. ``task_outcome`` is None until the task has ended."""

    nominal: Nominal
    kind: str
    outcome: str
    reason: str
    decided_at: Nominal
    task_id: str | None
    task_outcome: str | None


class TickFilter(TypedDict, total=False):
    """Which times are meant: in [``since``, ``until``), of one ``outcome``, only the ``last`` of them."""

    since: Moment | None
    until: Moment | None
    last: int | None
    outcome: str | None


@dataclass(slots=True)
class _Run:
    """Times with equal outcome; ``spans`` are the specs that held, each for an inclusive stretch."""

    tick: Tick
    spans: list[tuple[ScheduleSpec, int, int]] = field(default_factory=list)

    def ticks(self, since: int, until: int) -> Iterator[Tick]:
        """Yield the times in [since, until) one by one."""
        if not self.spans and since <= millis_of(self.tick.nominal) < until:
            yield self.tick
        for spec, first, last in self.spans:
            yield from map(self._at, spec.between(max(first, since), min(last + 1, until)))

    def last(self, count: int, since: int, until: int) -> list[Tick]:
        """Return the last so many times in [since, until), in order."""
        if not self.spans:
            return list(self.ticks(since, until))
        found: list[int] = []
        for spec, first, last in reversed(self.spans):
            found = _last(spec, count - len(found), max(first, since), min(last + 1, until)) + found
        return [self._at(nominal) for nominal in found]

    def _at(self, nominal: int) -> Tick:
        return replace(self.tick, nominal=Nominal.at(nominal))


def _last(spec: ScheduleSpec, count: int, since: int, until: int) -> list[int]:
    """Return the last so many times in [since, until): looked for in longer and longer stretches before the end."""
    reach = 1_000 * count
    while count > 0:
        start = max(since, until - reach)
        found = deque(spec.between(start, until), count)
        if len(found) == count or start == since:
            return list(found)
        reach *= 2
    return []


class Book:
    """Collects the ledger; folds the schedule along, to know what held at each time."""

    def __init__(self) -> None:
        self.runs: list[_Run] = []
        self.ended: dict[str, str] = {}
        self._waiting: dict[PendingTick, _Run] = {}
        self._schedule: Schedule | None = None

    def take(self, event: e.OfSchedule) -> None:
        """Take the next event of the schedule."""
        schedule = self._schedule
        if schedule is not None and isinstance(event, e.TicksDecided):
            self._decided(schedule, event)
        elif schedule is not None and isinstance(event, e.BackfillDecided):
            self._backfill_step(schedule, event)
        elif isinstance(event, e.TickEnded):
            self.ended[event.task_id] = event.outcome
        self._schedule = evolve_schedule(schedule, event) or schedule

    def ticks(self, since: int = 0, until: int = 1 << 62) -> Iterator[Tick]:
        """Yield each time in [since, until) that was decided so far, in order."""
        for run in self._in_order():
            yield from map(self._told, run.ticks(since, until))

    def last(self, count: int, since: int = 0, until: int = 1 << 62, outcome: str | None = None) -> list[Tick]:
        """Return the last so many times with this outcome, as ``ticks`` does; None: with any.

        A schedule of each second that was paused for a year has 31 million: few more are made than are asked for.
        """
        found: list[Tick] = []
        for run in reversed(self._in_order()):
            if len(found) == count:
                break
            if outcome in (None, run.tick.outcome):
                found += reversed(run.last(count - len(found), since, until))
        return [self._told(tick) for tick in reversed(found)]

    def _in_order(self) -> list[_Run]:
        return sorted(self.runs, key=lambda run: run.tick.nominal)

    def _told(self, tick: Tick) -> Tick:
        return replace(tick, task_outcome=self.ended.get(tick.task_id or ""))

    def _decided(self, schedule: Schedule, event: e.TicksDecided) -> None:
        """Take the outcomes that the fold accepts too."""
        open_ones = {*schedule.waiting, *schedule.triggers}
        for decided in event.ticks:
            pending = PendingTick(decided.kind, decided.first)
            if pending not in open_ones and (decided.kind != "tick" or decided.first <= schedule.cursor):
                continue
            buffered = decided.outcome == "buffered"
            tick = Tick(
                nominal=Nominal.at(decided.first),
                kind=decided.kind,
                outcome="waiting" if buffered else decided.outcome,
                reason=_reason(schedule, decided, event.at, waited=pending in self._waiting),
                decided_at=Nominal.at(event.at),
                task_id=tick_id(schedule.schedule_id, *pending) if decided.outcome == "fired" else None,
                task_outcome=None,
            )
            run = self._waiting.pop(pending, None)
            if run is None:
                run = _Run(tick, list(_spans(schedule, decided)))
                self.runs.append(run)
            run.tick = tick
            open_ones.discard(pending)
            if buffered:
                open_ones.add(pending)
                self._waiting[pending] = run

    def _backfill_step(self, schedule: Schedule, event: e.BackfillDecided) -> None:
        """Take what a backfill did; a time that it left has its entry already."""
        if schedule.backfill is None or schedule.backfill.number != event.backfill:
            return
        for decided in event.ticks:
            if decided.outcome == "left":
                continue
            tick = Tick(
                nominal=Nominal.at(decided.first),
                kind="backfill",
                outcome=decided.outcome,
                reason=f"asked for by backfill {event.backfill}",
                decided_at=Nominal.at(event.at),
                task_id=tick_id(schedule.schedule_id, "tick", decided.first),
                task_outcome=None,
            )
            self.runs.append(_Run(tick))


def _spans(schedule: Schedule, decided: e.Ticks) -> Iterator[tuple[ScheduleSpec, int, int]]:
    if decided.count == 1:
        return
    for version, until in schedule.spans():
        first, last = max(decided.first, version.since + 1), min(decided.last, until)
        if not version.deleted and first <= last:
            yield version.rules.spec, first, last


def _reason(schedule: Schedule, decided: e.Ticks, at: int, *, waited: bool) -> str:
    held = schedule.now if decided.kind == "trigger" else schedule.held_at(decided.first)
    policy = held.rules.policy
    if decided.outcome == "fired":
        if waited:
            return "it had waited for a running task"
        return "asked for" if decided.kind == "trigger" else "its time came"
    if decided.outcome == "missed":
        if decided.first < at - policy.catchup_window_ms:
            return f"found too late: the catch-up window is {duration.write(policy.catchup_window_ms)}"
        return f"more than {policy.max_catchup_runs} were found late (max_catchup_runs)"
    if decided.outcome == "dropped":
        return _why_dropped(schedule, held, waited=waited)
    if decided.outcome == "skipped" and waited:
        return "a later time took its place (overlap cancel_other)"
    return _REASONS.get(decided.outcome, "")


_REASONS: Final = {
    "skipped": "a task of the schedule was running (overlap skip)",
    "suppressed": "the schedule was paused",
    "buffered": "a task of the schedule is running",
}


def _why_dropped(schedule: Schedule, held: ScheduleVersion, *, waited: bool) -> str:
    if schedule.deleted:
        return "the schedule was deleted"
    overlap = held.rules.policy.overlap
    if waited or schedule.left == 0 or overlap not in (Overlap.BUFFER_ONE, Overlap.BUFFER_ALL):
        return "all of its runs were made (limited_runs)"
    return f"enough were waiting already (overlap {overlap})"
