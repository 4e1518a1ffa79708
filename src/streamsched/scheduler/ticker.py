"""The schedules: what is due becomes tasks, or is told of, in the transaction that moves the schedule on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from typing import Final

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.backfill import Backfill, Refilled, Standing, refill, spec_of
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.phases import Phase
from streamsched.domain.refusal import TemplateError
from streamsched.domain.schedule import Schedule, Wait
from streamsched.domain.tick import fill, origin_of, tick_id
from streamsched.domain.ticking import Decided, decide
from streamsched.log.port import Append
from streamsched.log.topics import PAYLOAD_LIMIT
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.barrier import Barrier
from streamsched.view.view import View

ROUND: Final = 500
"""Schedules decided about in one transaction."""
ROUND_BYTES: Final = 16 * 1024 * 1024
"""Of the records of such a round: with so many there are no more schedules in it."""
DECIDING_S: Final = 0.5
"""Time for decisions in one turn, the last one apart: what a time costs to find is up to its schedule."""
SOON_MS: Final = 20
"""Until a backfill is looked at again that waits for the fold."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """A decision about one schedule, as records."""

    schedule_id: str
    home: int
    appends: tuple[Append, ...]


class Ticker:
    """Knows which schedule is due when, and which decisions were committed and not read back yet."""

    def __init__(self, view: View, records: Records, me: Identity, barrier: Barrier) -> None:
        self._view = view
        self._barrier = barrier
        self._records = records
        self._me = me
        self._due: list[tuple[int, str]] = []
        self._noted: dict[str, int] = {}
        self._flights: dict[str, bytes] = {}

    def touch(self, schedule: Schedule) -> None:
        """Note when there is something to decide."""
        due = schedule.due()
        if due is not None and self._noted.get(schedule.schedule_id) != due:
            self._note(schedule, due)

    def _note(self, schedule: Schedule, due: int) -> None:
        self._noted[schedule.schedule_id] = due
        heappush(self._due, (due, schedule.schedule_id))

    def read_back(self, schedule: Schedule, event: e.Event) -> None:
        """Take in an event of a schedule that was folded."""
        if self._flights.get(schedule.schedule_id) == event.event_id:
            del self._flights[schedule.schedule_id]

    def wait(self, now: int, at_most: float) -> float:
        """Tell how many seconds may pass before something is due."""
        return min(at_most, max(0, self._due[0][0] - now) / 1000) if self._due else at_most

    def decide(self, now: int, ready: Collection[int]) -> list[Ticked]:
        """Decide about all schedules of these partitions that are due, or a round of them."""
        made: list[Ticked] = []
        refilling: dict[str, Schedule] = {}
        size, until = 0, self._me.clock.monotonic() + DECIDING_S
        while self._due and self._due[0][0] <= now and len(made) < ROUND and size < ROUND_BYTES:
            due, schedule_id = heappop(self._due)
            if self._noted.get(schedule_id) != due:
                continue
            del self._noted[schedule_id]
            home = self._view.schedule_homes[schedule_id]
            if schedule_id in self._flights or home not in ready:
                continue  # looked at again when the decision is read back, or the partition is ready
            schedule = self._view.schedules[schedule_id]
            decided = decide(schedule, now)
            if decided.ticks:
                made.append(self._written(schedule, home, decided, now))
                size += _size(made[-1])
            elif schedule.refillable:
                refilling[schedule_id] = schedule
            if self._me.clock.monotonic() >= until:
                break
        return made + self._refill(refilling, now)

    def _refill(self, schedules: dict[str, Schedule], now: int) -> list[Ticked]:
        """Decide about backfills, those for which enough is known."""
        made: list[Ticked] = []
        passed, size = self._barrier.passed(schedules) if schedules else (), 0
        for schedule_id, schedule in schedules.items():
            backfill = schedule.backfill
            if backfill is None or schedule_id not in passed or size >= ROUND_BYTES:
                self._note(schedule, now + SOON_MS)
                continue
            refilled = refill(backfill, schedule.is_free, partial(self._standing, schedule))
            if refilled is not None:
                made.append(self._refilled(schedule, backfill, refilled))
                size += _size(made[-1])
        return made

    def put_off(self, ticked: Ticked) -> None:
        """Look at it again: its transaction was aborted."""
        self._flights.pop(ticked.schedule_id, None)
        self.touch(self._view.schedules[ticked.schedule_id])

    def dropped(self, partitions: Collection[int]) -> None:
        """Wait for no decision of these partitions any more: others decide from now on."""
        for schedule_id, home in self._view.schedule_homes.items():
            if home in partitions:
                self._flights.pop(schedule_id, None)
                self._barrier.leave(schedule_id)

    def _written(self, schedule: Schedule, home: int, decided: Decided, now: int) -> Ticked:
        schedule_id = schedule.schedule_id
        event = self._me.sign(
            e.TicksDecided,
            schedule_id=schedule_id,
            upto=decided.upto,
            ticks=tuple(decided.ticks),
            basis=self._view.positions.get(home, 0),
        )
        event = replace(event, at=now)  # what is late is so at this very moment
        self._flights[schedule_id] = event.event_id
        self._barrier.leave(schedule_id)
        appends = (self._records.journal(event, schedule_id), *self._requests(schedule, decided))
        return Ticked(schedule_id, home, appends)

    def _requests(self, schedule: Schedule, decided: Decided) -> Iterator[Append]:
        schedule_id = schedule.schedule_id
        for fire in decided.fires:
            body, spec = fire.segment.body, fire.segment.rules.spec
            params = _filled(body.params, schedule_id, spec, fire.nominal)
            yield self._request(fire.task_id, body, params, origin_of(schedule_id))
        for task_id in decided.cancels:
            event = self._me.sign(
                e.TaskCancelRequested,
                task_id=task_id,
                redrive=schedule.running.get(task_id, 0),
                reason=f"the next time of schedule {schedule_id} is due",
            )
            yield self._records.journal(event, task_id)

    def _refilled(self, schedule: Schedule, backfill: Backfill, made: Refilled) -> Ticked:
        """Write a decision about a backfill, with what it asks of tasks."""
        schedule_id, home = schedule.schedule_id, self._view.schedule_homes[schedule.schedule_id]
        event = self._me.sign(
            e.BackfillDecided,
            schedule_id=schedule_id,
            backfill=backfill.number,
            upto=made.upto,
            ticks=tuple(made.ticks),
            basis=self._view.positions.get(home, 0),
        )
        self._flights[schedule_id] = event.event_id
        origin = origin_of(schedule_id, backfill.number)
        appends = [self._records.journal(event, schedule_id)]
        for nominal, part in made.fires:
            params = _filled(part.params, schedule_id, spec_of(part), nominal)
            appends.append(self._request(tick_id(schedule_id, "tick", nominal), part, params, origin))
        for revival in made.revivals:
            redriven = self._me.sign(
                e.TaskRedriven,
                task_id=revival.task_id,
                redrive=revival.redrive,
                scope=revival.scope,
                restart=False,
                origin=origin,
                reason=backfill.request.note,
            )
            appends.append(self._records.journal(redriven, revival.task_id))
        return Ticked(schedule_id, home, tuple(appends))

    def _standing(self, schedule: Schedule, nominal: int) -> Standing | None:
        """Tell how the task of a time stands; one that waits for its task is as good as one that has it."""
        if Wait("tick", nominal) in schedule.waiting:
            return Standing(Phase.REQUESTED, 0)
        return self._view.standing(tick_id(schedule.schedule_id, "tick", nominal))

    def _request(self, task_id: str, body: e.ScheduleSet | e.BackfillPart, params: str, origin: str) -> Append:
        event = self._me.sign(
            e.TaskRequested,
            task_id=task_id,
            template_name=body.template_name,
            template_version=body.template_version,
            template=body.template,
            params=params,
            priority=body.priority,
            origin=origin,
            traceparent=None,
            level=body.level,
        )
        return self._records.journal(event, task_id)


def _size(ticked: Ticked) -> int:
    return sum(len(append.value or b"") for append in ticked.appends)


def _filled(params: str, schedule_id: str, spec: ScheduleSpec, nominal: int) -> str:
    try:
        filled = fill(params, schedule_id, spec, nominal)
    except TemplateError:
        return params  # nobody who made it by our own means gets here; the planner judges it
    return filled if len(filled) <= PAYLOAD_LIMIT else params  # and none whose values make it larger than a record
