"""Why the task of a time of a schedule was never made."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime

from streamsched.domain.errors import InputError
from streamsched.domain.schedule import Schedule
from streamsched.domain.task import Task
from streamsched.domain.tick import schedule_of, tick_id
from streamsched.installation.session import Session
from streamsched.installation.site import Installation
from streamsched.queries.documents import millis_of
from streamsched.queries.ledger import Tick
from streamsched.queries.schedules import Schedules
from streamsched.queries.slices import DecidedTimes, folded_up_to
from streamsched.queries.why import Answer


class WhyNoTask:
    """A time of a schedule that has no task. What became of it is to be read: ``read``, then ``answer``."""

    def __init__(self, task_id: str, schedule: Schedule, at: int, end: int) -> None:
        self._task_id = task_id
        self._schedule = schedule
        self._at = at
        self._times = DecidedTimes(schedule.schedule_id, at, at + 1, end)

    def read(self, site: Installation) -> Generator[None, None, None]:
        """Read what became of the time, and stop now and then. Raise LogError."""
        yield from self._times.read(site)

    def answer(self, session: Session) -> Answer | None:
        """Return the answer, one that says so where that was not read; None: there is no such time."""
        schedule, ticks = self._schedule, self._times.ticks
        if ticks is None:
            why = "no task was made of it, and what became of its time was not read: the journal is too long"
            return Answer(self._task_id, None, "unknown", "schedule", why, "")
        for tick in ticks:
            if tick.task_id is None and tick_id(schedule.schedule_id, tick.kind, self._at) == self._task_id:
                return _answer(self._task_id, tick, schedule, _paused(session, schedule, tick))
        return None


def why_no_task(session: Session, task_id: str) -> WhyNoTask | None:
    """Look for the schedule of a task of one of its times; None where it is none, or there is no such schedule."""
    schedule_id = schedule_of(task_id)
    if schedule_id is None:
        return None
    text = task_id.rpartition("@")[2].partition("+")[0]
    try:
        at = millis_of(datetime.fromisoformat(text))
    except (ValueError, InputError):
        return None
    schedule = Schedules(session).find(schedule_id)
    return None if schedule is None else WhyNoTask(task_id, schedule, at, folded_up_to(session, schedule_id))


def _answer(task_id: str, tick: Tick, schedule: Schedule, paused: Task | None) -> Answer:
    waits = tick.outcome == "waiting"
    why = f"{'its time waits' if waits else f'its time was {tick.outcome}'}, {tick.reason}"
    if paused is not None:
        held = f"{why}; held up by task {paused.task_id}, which is paused"
        change = f"streamsched resume {paused.task_id}{'' if waits else ', for the times to come'}"
        return Answer(task_id, None, tick.outcome, "held", held, change)
    change = f"the end of {', '.join(list(schedule.running)[:5])}" if waits else ""
    return Answer(task_id, None, tick.outcome, "schedule", why, change)


def _paused(session: Session, schedule: Schedule, tick: Tick) -> Task | None:
    """Return a paused task of the schedule that this time waits for, or because of which it got no task."""
    held_up = tick.outcome in ("waiting", "skipped", "dropped") and not schedule.deleted and schedule.left != 0
    if not (held_up and schedule.running):
        return None
    active = session.folded([session.site.topics.journal_of(task_id) for task_id in schedule.running]).active
    running = (active[task_id] for task_id in schedule.running if task_id in active)
    return next((task for task in running if task.hold and task.request.at <= millis_of(tick.decided_at)), None)
