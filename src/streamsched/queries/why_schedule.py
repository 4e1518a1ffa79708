"""Why a schedule fires, or does not: its state, what it waits for, its next time, and what became of the last one."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from streamsched.domain.calendar import moment
from streamsched.domain.schedule import FOREVER, Schedule
from streamsched.installation.session import Session
from streamsched.installation.site import Installation
from streamsched.log.port import TopicPartition
from streamsched.queries.causes.facts import Said
from streamsched.queries.documents import millis_of
from streamsched.queries.ledger import Tick
from streamsched.queries.presence import Presence
from streamsched.queries.schedules import Schedules
from streamsched.queries.slices import DecidedTimes, folded_up_to
from streamsched.queries.why import Answer

LOOK_BACK_MS: Final = 366 * 86_400_000
"""How far back the last time is looked for."""


class WhySchedule:
    """What the view tells of a schedule. What became of its last time is to be read: ``read``, then ``answer``."""

    def __init__(self, schedule: Schedule, said: Said, times: DecidedTimes | None) -> None:
        self._schedule = schedule
        self._said = said
        self._times = times

    def read(self, site: Installation) -> Generator[None, None, None]:
        """Read its last time, and stop now and then. Raise LogError."""
        if self._times is not None:
            yield from self._times.read(site)

    def answer(self, _: Session) -> Answer:
        """Return the answer, without what was not read."""
        schedule, said, why = self._schedule, self._said, self._said.why
        if self._times is not None and self._times.ticks is None:
            why = f"{why}; what became of its last time was not read: the journal is too long"
        elif self._times is not None and self._times.ticks:
            why = f"{why}; {_fate(self._times.ticks[-1], schedule)}"
        return Answer(schedule.schedule_id, None, schedule.state, said.cause, why, said.change, schedule.schedule_id)


def why_schedule(session: Session, schedule_id: str, presence: Presence) -> WhySchedule | None:
    """Look at a schedule in the view; None where there is none of this id."""
    schedule = Schedules(session).find(schedule_id)
    if schedule is None:
        return None
    said = _ended(schedule) or _stopped(session, schedule, presence) or _waits(session, schedule)
    return WhySchedule(schedule, said, _last(session, schedule))


def _ended(schedule: Schedule) -> Said | None:
    if schedule.deleted:
        change = f"streamsched schedule create FILE --id {schedule.schedule_id}"
        return Said("deleted", "it has no time any more", change)
    if schedule.paused:
        note = f" ({schedule.note})" if schedule.note else ""
        return Said("paused", f"its times are suppressed{note}", f"streamsched schedule resume {schedule.schedule_id}")
    if schedule.state == "finished":
        why = "all of its runs were made (limited_runs)" if schedule.left == 0 else "it has no time any more"
        return Said("finished", why, f"streamsched schedule update FILE --id {schedule.schedule_id}")
    return None


def _stopped(session: Session, schedule: Schedule, presence: Presence) -> Said | None:
    """Say what keeps the scheduler from deciding anything about it."""
    halt = session.follower.halts.get(session.site.topics.journal_of(schedule.schedule_id).partition)
    if halt is not None:
        return Said("halted", f"its partition of the journal stands still, {halt}")
    missing, _, start = presence.missing().partition(": start ")
    if not any(beat.role == "scheduler" for beat in presence.beats()):  # what makes tasks; a worker may still lack
        return Said("nodes", missing, f"start {start}" if start else "")
    skewed = presence.skewed()
    return Said("clock", skewed, "set the clock, by NTP for example") if skewed else None


def _waits(session: Session, schedule: Schedule) -> Said:
    running = ", ".join(list(schedule.running)[:5])
    count = len(schedule.waiting) + len(schedule.triggers)
    if count and running:
        waits = "1 time waits" if count == 1 else f"{count:,} times wait"
        why = f"{waits} (overlap {schedule.now.rules.policy.overlap})"
        held = [task for task in session.folded(_homes(session, schedule)).active.values() if task.hold]
        paused = next((task.task_id for task in held if task.task_id in schedule.running), None)
        if paused is not None:
            return Said("held", f"{why}; held up by task {paused}, which is paused", f"streamsched resume {paused}")
        return Said("overlap", why, f"the end of {running}")
    found, now = schedule.next_time(), session.site.clock.now()
    if found is None:
        return Said("due", "what waits is decided at once")
    nominal, version = found
    due = version.rules.spec.due(schedule.schedule_id, nominal)
    at = _local(schedule, nominal)
    if due <= now:
        return Said("due", f"its time {at} is due, and the scheduler decides about it")
    jitter = f", with its jitter at {_local(schedule, due)}" if due != nominal else ""
    runs = f"; {running} still {'run' if ',' in running else 'runs'}" if running else ""
    return Said("scheduled", f"its next time is {at}{jitter}{runs}")


def _homes(session: Session, schedule: Schedule) -> list[TopicPartition]:
    return [session.site.topics.journal_of(task_id) for task_id in schedule.running]


def _last(session: Session, schedule: Schedule) -> DecidedTimes | None:
    """Return where the last time that was decided is read; None: it is long ago, or of a former version."""
    spec, cursor = schedule.now.rules.spec, schedule.cursor
    since = spec.last_before(cursor + 1, max(0, cursor - LOOK_BACK_MS))
    if since is None:
        return None
    return DecidedTimes(schedule.schedule_id, since, FOREVER, folded_up_to(session, schedule.schedule_id))


def _fate(tick: Tick, schedule: Schedule) -> str:
    at = _local(schedule, millis_of(tick.nominal))
    if tick.task_id is None:
        return f"its last time, {at}, {'waits' if tick.outcome == 'waiting' else f'was {tick.outcome}'}, {tick.reason}"
    ended = f"has ended: {tick.task_outcome}" if tick.task_outcome else "has not ended"
    return f"its last time, {at}, fired: task {tick.task_id} {ended}"


def _local(schedule: Schedule, millis: int) -> str:
    return moment.write(millis, schedule.now.rules.spec.home)
