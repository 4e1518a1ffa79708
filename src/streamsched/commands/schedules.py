"""Create, change and delete schedules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from streamsched.commands.backfills import BackfillStep, WantedBackfill, parts_of, preview
from streamsched.commands.request import record_of
from streamsched.domain import events as e
from streamsched.domain.errors import Conflict, InputError
from streamsched.domain.ids import event_id_of
from streamsched.domain.schedule import Schedule
from streamsched.domain.tick import tick_id
from streamsched.domain.validation import validate
from streamsched.files.schedule_file import WantedSchedule
from streamsched.installation.session import Session
from streamsched.installation.writing import write
from streamsched.log.port import PartitionHalted
from streamsched.queries.documents import Document, rfc3339
from streamsched.queries.schedule_status import ScheduleStatus
from streamsched.queries.schedules import Schedules

NEW: Final = 0
"""The expected version of a new schedule."""
Parts = tuple[e.BackfillPart, ...]


class ScheduleConflict(Conflict):
    """The schedule is not as the change expects it. Nothing took effect."""


class Changed(Document, frozen=True, kw_only=True):
    """The result of a change: ``changed`` is False if nothing was to be done; ``task_id`` is what a trigger made."""

    schedule_id: str
    changed: bool
    task_id: str | None
    status: ScheduleStatus | None


class ScheduleChanges:
    """Makes and changes the schedules of an installation."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._schedules = Schedules(session)

    def create(self, wanted: WantedSchedule) -> Changed:
        """Create a schedule, unless it exists with the same content. Raise ScheduleConflict."""
        there = self._live(wanted.schedule_id)
        if there is None:
            if self._write(self._set(wanted, NEW)).took_effect:
                return self._changed(wanted.schedule_id)
            there = self._live(wanted.schedule_id)
        if there is None:
            raise self._overtaken(wanted.schedule_id)
        return self._same(there, wanted)

    def update(self, wanted: WantedSchedule) -> Changed:
        """Change a schedule for future times. Raise NoSuchSchedule, ScheduleConflict."""
        there = self._need(wanted.schedule_id)
        if _content(there.now.body) == wanted.body():
            return self._unchanged(there)
        if not self._write(self._set(wanted, there.version)).took_effect:
            raise self._overtaken(wanted.schedule_id)
        return self._changed(wanted.schedule_id)

    def pause(self, schedule_id: str, note: str, *, paused: bool) -> Changed:
        """Pause or resume a schedule; times that come while it is paused are suppressed."""
        there = self._need(schedule_id)
        if there.paused is paused:
            return self._unchanged(there)
        event = self._session.me.sign(e.SchedulePaused, schedule_id=schedule_id, paused=paused, note=note)
        return self._done(schedule_id, self._write(event))

    def trigger(self, schedule_id: str) -> Changed:
        """Request a task of the schedule now; the overlap policy applies."""
        self._need(schedule_id)
        seen = self._write(self._session.me.sign(e.ScheduleTriggered, schedule_id=schedule_id))
        return replace(self._done(schedule_id, seen), task_id=tick_id(schedule_id, "trigger", seen.last_trigger))

    def delete(self, schedule_id: str, note: str) -> Changed:
        """Delete a schedule; its running tasks continue."""
        there = self._schedules.need(schedule_id)
        if there.deleted:
            return self._unchanged(there)
        self._write(self._session.me.sign(e.ScheduleDeleted, schedule_id=schedule_id, note=note))
        return self._changed(schedule_id)

    def backfill(
        self, schedule_id: str, wanted: WantedBackfill, *, parts: Parts | None = None, key: bytes | None = None
    ) -> Changed:
        """Start a backfill of past times. Raise ScheduleConflict while another one is active.

        ``parts`` are what ``parts_of`` has found. With a ``key`` of the caller's, 8 bytes, it is started once, for as
        long as it is the latest one of its schedule; something else under that key is a conflict.
        """
        there = self._need(schedule_id)
        event_id = None if key is None else event_id_of(key, wanted.digest())
        if key is not None and there.backfill is not None and there.backfill.request.event_id.startswith(key):
            if there.backfill.request.event_id == event_id:
                return self._unchanged(there)
            reason = f"something else was asked for under this key: backfill {there.backfill.number}"
            raise ScheduleConflict(reason, "choose another key, or ask for the same")
        if there.backfill is not None and not there.backfill.done:
            raise ScheduleConflict(
                f"backfill {there.backfill.number} of schedule {schedule_id!r} is {there.backfill.state}",
                f"wait for its end, or cancel it with 'streamsched schedule backfill {schedule_id} --cancel'",
            )
        event = self._session.me.sign(
            e.BackfillRequested,
            schedule_id=schedule_id,
            backfill=there.backfills + 1,
            reprocess=str(wanted.reprocess),
            max_active=wanted.max_active,
            newest_first=wanted.newest_first,
            parts=self._parts(there, wanted) if parts is None else parts,
            note=wanted.note,
        )
        return self._done(schedule_id, self._write(event if event_id is None else replace(event, event_id=event_id)))

    def preview(
        self, schedule_id: str, wanted: WantedBackfill, *, parts: Parts | None = None
    ) -> Iterator[BackfillStep]:
        """Yield the times of a backfill with what it would do about each; nothing is written."""
        there = self._need(schedule_id)
        view = self._session.folded(self._session.site.topics.journal())
        return preview(schedule_id, self._parts(there, wanted) if parts is None else parts, wanted, view.standing)

    def cancel_backfill(self, schedule_id: str, note: str) -> Changed:
        """Cancel the schedule's backfill; its running tasks continue."""
        there = self._need(schedule_id)
        backfill = there.backfill
        if backfill is None or backfill.done or backfill.cancelled:
            return self._unchanged(there)
        event = self._session.me.sign(e.BackfillCancelled, schedule_id=schedule_id, backfill=backfill.number, note=note)
        return self._done(schedule_id, self._write(event))

    def _parts(self, schedule: Schedule, wanted: WantedBackfill) -> Parts:
        history = partial(self._schedules.events, schedule.schedule_id)
        return parts_of(schedule.now, history, wanted, self._session.me.clock.now())

    def _set(self, wanted: WantedSchedule, expected: int) -> e.ScheduleSet:
        return self._session.me.sign(e.ScheduleSet, schedule_id=wanted.schedule_id, expected=expected, **wanted.body())

    def _write(self, event: e.OfSchedule) -> _Seen:
        """Append an event, fold up to it, and return whether it took effect."""
        schedule_id = event.schedule_id
        if problem := validate(event):
            raise InputError(f"no reader would accept it: {problem}", "correct it", source=f"schedule {schedule_id}")
        site, follower = self._session.site, self._session.follower
        record, home = record_of(site, event, schedule_id), site.topics.journal_of(schedule_id)
        if home.partition in follower.halts:
            raise PartitionHalted(f"nothing was written: {follower.halts[home.partition]}")
        seen: _Seen | None = None
        # Consume the whole batch: records that are not folded now never would be.
        for _, found in follower.seek(home, write(site, record)):
            if found.event_id == event.event_id and seen is None:
                seen = _see(follower.view.schedules.get(schedule_id), event)
        assert seen is not None, schedule_id  # noqa: S101 - it was read, or seek has raised
        return seen

    def _same(self, there: Schedule, wanted: WantedSchedule) -> Changed:
        body = there.now.body
        if _content(body) == wanted.body():
            return self._unchanged(there)
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

    def _unchanged(self, schedule: Schedule) -> Changed:
        return self._told(schedule, changed=False)

    def _changed(self, schedule_id: str) -> Changed:
        return self._told(self._schedules.need(schedule_id), changed=True)

    def _told(self, schedule: Schedule, *, changed: bool) -> Changed:
        status = self._schedules.status_of(schedule)
        return Changed(schedule_id=schedule.schedule_id, changed=changed, task_id=None, status=status)

    def _live(self, schedule_id: str) -> Schedule | None:
        found = self._schedules.find(schedule_id)
        return None if found is None or found.deleted else found

    def _need(self, schedule_id: str) -> Schedule:
        return self._schedules.need(schedule_id, live=True)

    def _overtaken(self, schedule_id: str) -> ScheduleConflict:
        reason = f"schedule {schedule_id!r} was changed by another command meanwhile"
        return ScheduleConflict(reason, f"look at 'streamsched schedule show {schedule_id}', and try again")


@dataclass(frozen=True, slots=True)
class _Seen:
    """The folded state right after an event of ours."""

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
