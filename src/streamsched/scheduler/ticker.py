"""The schedules: what is due becomes tasks, or is told of, in the transaction that moves the schedule on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.refusal import TemplateError
from streamsched.domain.schedule import Schedule
from streamsched.domain.tick import OUTCOMES, fill, schedule_of
from streamsched.domain.ticking import Decided, Fire, decide
from streamsched.log.port import Append
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.view.view import View

ROUND: Final = 500
"""Schedules decided about in one transaction."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """A decision about one schedule, as records."""

    schedule_id: str
    home: int
    appends: tuple[Append, ...]


class Ticker:
    """Knows which schedule is due when, and which decisions were committed and not read back yet."""

    def __init__(self, view: View, records: Records, me: Identity) -> None:
        self._view = view
        self._records = records
        self._me = me
        self._due: list[tuple[int, str]] = []
        self._noted: dict[str, int] = {}
        self._flights: dict[str, bytes] = {}

    def touch(self, schedule: Schedule) -> None:
        """Note when there is something to decide."""
        due = schedule.due()
        if due is not None and self._noted.get(schedule.schedule_id) != due:
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
        while self._due and self._due[0][0] <= now and len(made) < ROUND:
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
                made.append(self._written(schedule, home, decided))
        return made

    def put_off(self, ticked: Ticked) -> None:
        """Look at it again: its transaction was aborted."""
        self._flights.pop(ticked.schedule_id, None)
        self.touch(self._view.schedules[ticked.schedule_id])

    def dropped(self, partitions: Collection[int]) -> None:
        """Wait for no decision of these partitions any more."""
        homes = self._view.schedule_homes
        for schedule_id in [each for each in self._flights if homes[each] in partitions]:
            del self._flights[schedule_id]

    def ended(self, task_id: str, event: e.Event) -> tuple[Append, ...]:
        """Make the record that tells a schedule of the end of its task, if it is one."""
        outcome, schedule_id = OUTCOMES.get(type(event)), schedule_of(task_id)
        if outcome is None or schedule_id is None:
            return ()
        told = self._me.sign(e.TickEnded, schedule_id=schedule_id, task_id=task_id, outcome=outcome)
        return (self._records.journal(told, schedule_id),)

    def _written(self, schedule: Schedule, home: int, decided: Decided) -> Ticked:
        schedule_id = schedule.schedule_id
        event = self._me.sign(
            e.TicksDecided,
            schedule_id=schedule_id,
            upto=decided.upto,
            ticks=tuple(decided.ticks),
            basis=self._view.positions.get(home, 0),
        )
        self._flights[schedule_id] = event.event_id
        appends = (self._records.journal(event, schedule_id), *self._requests(schedule_id, decided))
        return Ticked(schedule_id, home, appends)

    def _requests(self, schedule_id: str, decided: Decided) -> Iterator[Append]:
        for fire in decided.fires:
            yield self._records.journal(self._request(schedule_id, fire), fire.task_id)
        for task_id in decided.cancels:
            event = self._me.sign(
                e.TaskCancelRequested,
                task_id=task_id,
                redrive=0,
                reason=f"the next time of schedule {schedule_id} is due",
            )
            yield self._records.journal(event, task_id)

    def _request(self, schedule_id: str, fire: Fire) -> e.TaskRequested:
        body = fire.segment.body
        try:
            params = fill(body.params, schedule_id, fire.segment.rules.spec, fire.nominal)
        except TemplateError:
            params = body.params  # nobody who made it by our own means gets here; the planner judges it
        return self._me.sign(
            e.TaskRequested,
            task_id=fire.task_id,
            template_name=body.template_name,
            template_version=body.template_version,
            template=body.template,
            params=params,
            priority=body.priority,
            origin=f"schedule {schedule_id}",
            traceparent=None,
        )
