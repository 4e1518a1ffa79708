"""Making, changing and ending schedules: facts in the journal, and whether they took effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from streamsched.commands.backfills import BackfillStep, WantedBackfill, parts_of, preview
from streamsched.commands.request import record_of
from streamsched.domain import events as e
from streamsched.domain.errors import Conflict, InputError
from streamsched.domain.flaws import flaw_of
from streamsched.domain.schedule import Schedule
from streamsched.domain.tick import tick_id
from streamsched.files.schedule_file import WantedSchedule
from streamsched.installation.session import Session
from streamsched.installation.writing import write
from streamsched.log.port import PartitionHalted
from streamsched.queries.documents import rfc3339
from streamsched.queries.schedule_status import ScheduleStatus
from streamsched.queries.schedules import Schedules

NEW: Final = 0
"""The version that is expected where there is no schedule yet."""


class ScheduleConflict(Conflict):
    """The schedule is not as the change expects it: nothing came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What became of a change.

    ``changed`` is False where the schedule was so already. ``task_id`` is what a trigger makes.
    """

    schedule_id: str
    changed: bool = True
    status: ScheduleStatus | None = None
    task_id: str | None = None


class ScheduleChanges:
    """Makes and changes the schedules of an installation."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._schedules = Schedules(session)

    def create(self, wanted: WantedSchedule) -> Changed:
        """Make a schedule; one that is there with the same content is left as it is. Raise ScheduleConflict."""
        there = self._live(wanted.schedule_id)
        if there is not None:
            return self._same(there, wanted)
        event = self._set(wanted, NEW)
        seen = self._write(event)
        if seen.took_effect:
            return self._changed(wanted.schedule_id)
        there = self._live(wanted.schedule_id)
        if there is None:
            raise self._overtaken(wanted.schedule_id)
        return self._same(there, wanted)

    def update(self, wanted: WantedSchedule) -> Changed:
        """Change a schedule for the times to come. Raise NoSuchSchedule; ScheduleConflict where another was quicker."""
        schedule_id = wanted.schedule_id
        there = self._need(schedule_id)
        if _content(there.now.body) == wanted.body():
            return Changed(schedule_id=schedule_id, changed=False, status=self._schedules.told(there))
        seen = self._write(self._set(wanted, there.version))
        if not seen.took_effect:
            raise self._overtaken(schedule_id)
        return self._changed(schedule_id)

    def pause(self, schedule_id: str, note: str, *, paused: bool) -> Changed:
        """Pause a schedule, or let it go on; a time that comes while it is paused is suppressed."""
        there = self._need(schedule_id)
        if there.paused is paused:
            return Changed(schedule_id=schedule_id, changed=False, status=self._schedules.told(there))
        event = self._session.me.sign(e.SchedulePaused, schedule_id=schedule_id, paused=paused, note=note)
        return self._done(schedule_id, self._write(event))

    def trigger(self, schedule_id: str) -> Changed:
        """Ask for a task of the schedule now; the overlap policy holds for it too."""
        self._need(schedule_id)
        seen = self._write(self._session.me.sign(e.ScheduleTriggered, schedule_id=schedule_id))
        done = self._done(schedule_id, seen)
        task_id = tick_id(schedule_id, "trigger", seen.last_trigger)
        return Changed(schedule_id=schedule_id, status=done.status, task_id=task_id)

    def delete(self, schedule_id: str, note: str) -> Changed:
        """End a schedule: its tasks that run go on, no more are made."""
        there = self._schedules.need(schedule_id)
        if there.deleted:
            return Changed(schedule_id=schedule_id, changed=False, status=self._schedules.told(there))
        self._write(self._session.me.sign(e.ScheduleDeleted, schedule_id=schedule_id, note=note))
        return self._changed(schedule_id)

    def backfill(self, schedule_id: str, wanted: WantedBackfill) -> Changed:
        """Go through past times of the schedule once more. Raise ScheduleConflict while another backfill does."""
        there = self._need(schedule_id)
        if there.backfill is not None and not there.backfill.done:
            raise ScheduleConflict(
                f"backfill {there.backfill.number} of schedule {schedule_id!r} is {there.backfill.state}",
                f"wait for its end, or end it with 'streamsched schedule backfill {schedule_id} --cancel'",
            )
        event = self._session.me.sign(
            e.BackfillRequested,
            schedule_id=schedule_id,
            backfill=there.backfills + 1,
            reprocess=str(wanted.reprocess),
            max_active=wanted.max_active,
            newest_first=wanted.newest_first,
            parts=self._parts(there, wanted),
            note=wanted.note,
        )
        return self._done(schedule_id, self._write(event))

    def preview(self, schedule_id: str, wanted: WantedBackfill) -> Iterator[BackfillStep]:
        """Walk the times of a backfill with what would become of each; nothing is written."""
        there = self._need(schedule_id)
        parts = self._parts(there, wanted)
        view = self._session.folded(self._session.site.topics.journal())
        return preview(there, parts, wanted, view.standing)

    def cancel_backfill(self, schedule_id: str, note: str) -> Changed:
        """Let the schedule's backfill start nothing more; its tasks that run go on."""
        there = self._need(schedule_id)
        backfill = there.backfill
        if backfill is None or backfill.done or backfill.cancelled:
            return Changed(schedule_id=schedule_id, changed=False, status=self._schedules.told(there))
        event = self._session.me.sign(e.BackfillCancelled, schedule_id=schedule_id, backfill=backfill.number, note=note)
        return self._done(schedule_id, self._write(event))

    def _parts(self, schedule: Schedule, wanted: WantedBackfill) -> tuple[e.BackfillPart, ...]:
        history = partial(self._schedules.events, schedule.schedule_id)
        return parts_of(schedule, history, wanted, self._session.me.clock.now())

    def _set(self, wanted: WantedSchedule, expected: int) -> e.ScheduleSet:
        return self._session.me.sign(e.ScheduleSet, schedule_id=wanted.schedule_id, expected=expected, **wanted.body())

    def _write(self, event: e.OfSchedule) -> _Seen:
        """Append an event and fold up to it."""
        schedule_id = event.schedule_id
        if flaw := flaw_of(event):
            raise InputError(f"nobody could read that: {flaw}", "correct it", source=f"schedule {schedule_id}")
        site, follower = self._session.site, self._session.follower
        record, home = record_of(site, event, schedule_id), site.topics.journal_of(schedule_id)
        if home.partition in follower.halts:
            raise PartitionHalted(f"nothing was written: {follower.halts[home.partition]}")
        seen: _Seen | None = None
        # To the end of the batch: what is not folded now never would be.
        for _, found in follower.seek(home, write(site, record)):
            if found.event_id == event.event_id and seen is None:
                seen = _see(follower.view.schedules.get(schedule_id), event)
        assert seen is not None, schedule_id  # noqa: S101 - it was read, or seek has raised
        return seen

    def _same(self, there: Schedule, wanted: WantedSchedule) -> Changed:
        body = there.now.body
        if _content(body) == wanted.body():
            return Changed(schedule_id=wanted.schedule_id, changed=False, status=self._schedules.told(there))
        raise ScheduleConflict(
            f"schedule {wanted.schedule_id!r} exists with {_difference(body, wanted)}: made at {rfc3339(body.at)} by "
            f"{body.by}",
            "change it with 'schedule update', or choose another --id",
        )

    def _done(self, schedule_id: str, seen: _Seen) -> Changed:
        if not seen.took_effect:
            self._need(schedule_id)
            raise self._overtaken(schedule_id)
        return self._changed(schedule_id)

    def _changed(self, schedule_id: str) -> Changed:
        return Changed(schedule_id=schedule_id, status=self._schedules.told(self._schedules.need(schedule_id)))

    def _live(self, schedule_id: str) -> Schedule | None:
        found = self._schedules.find(schedule_id)
        return None if found is None or found.deleted else found

    def _need(self, schedule_id: str) -> Schedule:
        return self._schedules.need(schedule_id, live=True)

    def _overtaken(self, schedule_id: str) -> ScheduleConflict:
        reason = f"somebody else changed schedule {schedule_id!r} meanwhile"
        return ScheduleConflict(reason, f"look at 'streamsched schedule show {schedule_id}', and do it again")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the fold said right after an event of ours."""

    took_effect: bool
    last_trigger: int


def _see(schedule: Schedule | None, event: e.OfSchedule) -> _Seen:
    if schedule is None:
        return _Seen(False, 0)
    if isinstance(event, e.ScheduleSet):
        took_effect = schedule.now.body.event_id == event.event_id
    elif isinstance(event, e.SchedulePaused):
        took_effect = not schedule.deleted and schedule.paused is event.paused
    elif isinstance(event, e.BackfillRequested | e.BackfillCancelled):
        backfill = schedule.backfill
        took_effect = backfill is not None and backfill.number == event.backfill
        if isinstance(event, e.BackfillRequested):
            took_effect = backfill is not None and backfill.request.event_id == event.event_id
    else:
        took_effect = schedule.deleted is isinstance(event, e.ScheduleDeleted)
    return _Seen(took_effect, schedule.last_trigger)


def _content(body: e.ScheduleSet) -> dict[str, Any]:
    return {name: getattr(body, name) for name in _CONTENT}


_CONTENT: Final = ("spec", "policy", "template_name", "template_version", "template", "params", "priority", "level")
_PARTS: Final = {"spec": "other times", "policy": "another policy", "template": "another template",
                 "params": "other parameters", "priority": "another priority"}  # fmt: skip


def _difference(body: e.ScheduleSet, wanted: WantedSchedule) -> str:
    there, new = _content(body), wanted.body()
    return ", ".join(text for name, text in _PARTS.items() if there[name] != new[name])
