"""The ledger of a schedule: each of its times, what became of it and why, read from the schedule's own history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from streamsched.domain import duration
from streamsched.domain import events as e
from streamsched.domain.calendar.moment import write as utc
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.overlap import Overlap
from streamsched.domain.schedule import Schedule, Segment, Wait, evolve_schedule
from streamsched.domain.tick import tick_id
from streamsched.queries.documents import Document, Time

OUTCOMES: Final = ("fired", "redriven", "skipped", "missed", "suppressed", "dropped", "waiting")


class Nominal(Time):
    """A time that documents have with milliseconds only if there are any."""

    def shown(self) -> str:
        """Write it as text."""
        return utc(self)


class Tick(Document, frozen=True, kw_only=True):
    """One time of a schedule. ``task_outcome`` is None until the task has ended."""

    nominal: Nominal
    kind: str
    outcome: str
    reason: str
    decided_at: Nominal
    task_id: str | None
    task_outcome: str | None


@dataclass(slots=True)
class _Run:
    """Times of equal fate, as they were told; ``spans`` are the specs that held, each for a stretch (inclusive)."""

    tick: Tick
    spans: list[tuple[ScheduleSpec, int, int]] = field(default_factory=list)

    def spelled(self, since: int, until: int) -> Iterator[Tick]:
        """Give the times in [since, until) one by one."""
        if not self.spans:
            if since <= self.tick.nominal < until:
                yield self.tick
            return
        for spec, first, last in self.spans:
            for nominal in spec.between(max(first, since), min(last + 1, until)):
                yield replace(self.tick, nominal=Nominal(nominal))


def ledger(events: Iterable[e.OfSchedule], *, since: int = 0, until: int = 1 << 62) -> Iterator[Tick]:
    """Tell of each time in [since, until) that was decided about, in their order."""
    book = _Book()
    for event in events:
        book.take(event)
    for run in sorted(book.runs, key=lambda run: run.tick.nominal):
        for tick in run.spelled(since, until):
            yield replace(tick, task_outcome=book.ended.get(tick.task_id or ""))


class _Book:
    """The ledger in the making: folds along, to know what held."""

    def __init__(self) -> None:
        self.runs: list[_Run] = []
        self.ended: dict[str, str] = {}
        self._waiting: dict[Wait, _Run] = {}
        self._schedule: Schedule | None = None

    def take(self, event: e.OfSchedule) -> None:
        schedule = self._schedule
        if schedule is not None and isinstance(event, e.TicksDecided):
            self._decided(schedule, event)
        elif schedule is not None and isinstance(event, e.BackfillDecided):
            self._backfill_step(schedule, event)
        elif isinstance(event, e.TickEnded):
            self.ended[event.task_id] = event.outcome
        self._schedule = evolve_schedule(schedule, event) or schedule

    def _decided(self, schedule: Schedule, event: e.TicksDecided) -> None:
        """Take in those fates that the fold takes in too."""
        open_ones = {*schedule.waiting, *schedule.triggers}
        for told in event.ticks:
            wait = Wait(told.kind, told.first)
            if wait not in open_ones and (told.kind != "tick" or told.first <= schedule.cursor):
                continue
            buffered = told.outcome == "buffered"
            tick = Tick(
                nominal=Nominal(told.first),
                kind=told.kind,
                outcome="waiting" if buffered else told.outcome,
                reason=_reason(schedule, told, event.at, waited=wait in self._waiting),
                decided_at=Nominal(event.at),
                task_id=tick_id(schedule.schedule_id, *wait) if told.outcome == "fired" else None,
                task_outcome=None,
            )
            run = self._waiting.pop(wait, None)
            if run is None:
                run = _Run(tick, list(_spans(schedule, told)))
                self.runs.append(run)
            run.tick = tick
            open_ones.discard(wait)
            if buffered:
                open_ones.add(wait)
                self._waiting[wait] = run

    def _backfill_step(self, schedule: Schedule, event: e.BackfillDecided) -> None:
        """Take in what a backfill did about times; what it left as it was has been told of before."""
        if schedule.backfill is None or schedule.backfill.number != event.backfill:
            return
        for told in event.ticks:
            if told.outcome == "left":
                continue
            tick = Tick(
                nominal=Nominal(told.first),
                kind="backfill",
                outcome=told.outcome,
                reason=f"asked for by backfill {event.backfill}",
                decided_at=Nominal(event.at),
                task_id=tick_id(schedule.schedule_id, "tick", told.first),
                task_outcome=None,
            )
            self.runs.append(_Run(tick))


def _spans(schedule: Schedule, told: e.Ticks) -> Iterator[tuple[ScheduleSpec, int, int]]:
    if told.count == 1:
        return
    for segment, until in schedule.spans():
        first, last = max(told.first, segment.since + 1), min(told.last, until)
        if not segment.deleted and first <= last:
            yield segment.rules.spec, first, last


def _reason(schedule: Schedule, told: e.Ticks, at: int, *, waited: bool) -> str:
    held = schedule.now if told.kind == "trigger" else schedule.held_at(told.first)
    policy = held.rules.policy
    if told.outcome == "fired":
        if waited:
            return "it had waited for a running task"
        return "asked for" if told.kind == "trigger" else "its time came"
    if told.outcome == "missed":
        if told.first < at - policy.catchup_window_ms:
            return f"found too late: the catch-up window is {duration.write(policy.catchup_window_ms)}"
        return f"more than {policy.max_catchup_runs} were found late (max_catchup_runs)"
    if told.outcome == "dropped":
        return _why_dropped(schedule, held, waited=waited)
    if told.outcome == "skipped" and waited:
        return "a later time took its place (overlap cancel_other)"
    return _REASONS.get(told.outcome, "")


_REASONS: Final = {
    "skipped": "a task of the schedule was running (overlap skip)",
    "suppressed": "the schedule was paused",
    "buffered": "a task of the schedule is running",
}


def _why_dropped(schedule: Schedule, held: Segment, *, waited: bool) -> str:
    if schedule.deleted:
        return "the schedule was deleted"
    overlap = held.rules.policy.overlap
    if waited or schedule.left == 0 or overlap not in (Overlap.BUFFER_ONE, Overlap.BUFFER_ALL):
        return "all of its runs were made (limited_runs)"
    return f"enough were waiting already (overlap {overlap})"
