"""Decisions about schedules: what is due becomes tasks, in the transaction that moves the cursor."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.backfill import Backfill, BackfillStep, TaskStanding, backfill_step, read_spec
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.phases import Phase
from streamsched.domain.refusal import TemplateError
from streamsched.domain.schedule import PendingTick, Schedule
from streamsched.domain.tick import fill, tick_id
from streamsched.domain.ticking import Decided, decide
from streamsched.log.port import Append
from streamsched.log.topics import PAYLOAD_LIMIT
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.barrier import Barrier
from streamsched.scheduler.decider import Decider
from streamsched.scheduler.decisions import Decision
from streamsched.view.view import View

ROUND: Final = 500
"""Schedules decided about in one transaction."""
ROUND_BYTES: Final = 16 * 1024 * 1024
"""Requests of one round: with so many bytes no more schedules join it."""
DECIDING_S: Final = 0.5
"""Time for decisions in one turn, except the last: a schedule decides what its times cost to find."""
SOON_MS: Final = 20
"""Time after which a backfill that waits for the fold is looked at again."""

Body = e.ScheduleSet | e.BackfillPart


class ScheduleDecider(Decider):
    """Decides what becomes of the times of schedules and of their backfills."""

    def __init__(self, view: View, records: Records, me: Identity, barrier: Barrier) -> None:
        super().__init__(view, records, me, view.schedule_homes)
        self._barrier = barrier

    def forget(self, key: str) -> None:
        """Ask the barrier anew before the next backfill decision."""
        self._barrier.leave(key)

    def decide(self, now: int, owned: Collection[int]) -> Sequence[Decision]:
        """Decide about all schedules that are due, or a round of them."""
        made: list[Decision] = []
        backfilling: dict[str, Schedule] = {}
        size, until = 0, self._me.clock.monotonic() + DECIDING_S
        for schedule_id in self._agenda.take(now):
            if not self._is_free(schedule_id, owned):
                continue
            schedule = self._view.schedules[schedule_id]
            due = schedule.due()
            if due is None or due > now:
                self._agenda.at(schedule_id, due)
            elif (decided := decide(schedule, now)).ticks:
                made.append(self._ticked(schedule, decided, now))
                size += _size(made[-1])
            elif schedule.backfill_due:
                backfilling[schedule_id] = schedule
            if len(made) >= ROUND or size >= ROUND_BYTES or self._me.clock.monotonic() >= until:
                break
        return made + self._backfill_steps(backfilling, now)

    def _backfill_steps(self, schedules: dict[str, Schedule], now: int) -> list[Decision]:
        """Decide about the backfills that have passed the barrier."""
        made: list[Decision] = []
        passed, size = self._barrier.passed(schedules) if schedules else (), 0
        for schedule_id, schedule in schedules.items():
            backfill = schedule.backfill
            if backfill is None or schedule_id not in passed or size >= ROUND_BYTES:
                self._agenda.at(schedule_id, now + SOON_MS)
                continue
            step = backfill_step(backfill, schedule.is_free, partial(self._standing, schedule))
            if step is not None:
                made.append(self._backfill_decision(schedule, backfill, step))
                size += _size(made[-1])
        return made

    def _ticked(self, schedule: Schedule, decided: Decided, now: int) -> Decision:
        schedule_id = schedule.schedule_id
        event = self._me.sign(
            e.TicksDecided, schedule_id=schedule_id, upto=decided.upto, ticks=tuple(decided.ticks),
            basis=self._basis(schedule_id),
        )  # fmt: skip
        event = replace(event, at=now)  # what is late is so at this very moment
        given = {
            fire.task_id: _request(schedule_id, fire.version.body, fire.version.rules.spec, fire.nominal)
            for fire in decided.fires
        }
        self._barrier.leave(schedule_id)
        cancels = tuple(self._cancel(schedule, task_id, kill=kill) for task_id, kill in decided.cancels.items())
        return self._decision(schedule_id, schedule, event, given=given, work=cancels)

    def _cancel(self, schedule: Schedule, task_id: str, *, kill: bool) -> Append:
        redrive, reason = schedule.running.get(task_id, 0), f"the next time of schedule {schedule.schedule_id} is due"
        event = self._me.sign(e.TaskCancelRequested, task_id=task_id, redrive=redrive, reason=reason, kill=kill)
        return self._records.journal(event, task_id)

    def _backfill_decision(self, schedule: Schedule, backfill: Backfill, made: BackfillStep) -> Decision:
        """Make the decision about a step of a backfill, with the requests and redrives of its tasks."""
        schedule_id = schedule.schedule_id
        event = self._me.sign(
            e.BackfillDecided, schedule_id=schedule_id, backfill=backfill.number, upto=made.upto,
            ticks=tuple(made.ticks), basis=self._basis(schedule_id),
        )  # fmt: skip
        given = {
            tick_id(schedule_id, "tick", nominal): _request(schedule_id, part, read_spec(part.spec), nominal)
            for nominal, part in made.fires
        }
        for revival in made.revivals:
            given[revival.task_id] = {"scope": revival.scope, "restart": False, "reason": backfill.request.note}
        return self._decision(schedule_id, schedule, event, given=given)

    def _standing(self, schedule: Schedule, nominal: int) -> TaskStanding | None:
        """Return how the task of a time stands; a time that waits for its task counts as requested."""
        if PendingTick("tick", nominal) in schedule.waiting:
            return TaskStanding(Phase.REQUESTED, 0)
        return self._view.standing(tick_id(schedule.schedule_id, "tick", nominal))


def _request(schedule_id: str, body: Body, spec: ScheduleSpec, nominal: int) -> dict[str, Any]:
    """Return what the request of a tick's task takes from its schedule."""
    params = body.params
    with suppress(TemplateError):  # another version wrote it: the planner judges it
        filled = fill(params, schedule_id, spec, nominal)
        params = filled if len(filled) <= PAYLOAD_LIMIT else params
    copied = ("template_name", "template_version", "template", "priority", "level")
    return {name: getattr(body, name) for name in copied} | {"params": params, "traceparent": None}


def _size(decision: Decision) -> int:
    texts = (text for given in decision.given.values() for text in given.values() if isinstance(text, str))
    return sum(len(text.encode()) for text in texts)
