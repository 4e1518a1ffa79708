"""What the Python client does with schedules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from streamsched.commands.request import Params
from streamsched.runtime.clock import SystemClock

if TYPE_CHECKING:  # imported where it is used, as in ``client``
    from streamsched.commands.backfills import BackfillStep, WantedBackfill
    from streamsched.commands.schedules import Changed
    from streamsched.files.schedule_file import WantedSchedule
    from streamsched.queries.ledger import Tick, TickFilter
    from streamsched.queries.schedule_status import ScheduleStatus
    from streamsched.reach import Reach


class ScheduleClient:
    """The schedules of one installation."""

    _reach: Reach

    def create_schedule(
        self, schedule: WantedSchedule | Path | str, params: Params = None, *, schedule_id: str | None = None
    ) -> Changed:
        """Create a schedule, unless it exists with the same content; durable on return.

        The default id is the file's name. Raise InputError, or ScheduleConflict if the id is taken by a schedule with
        other content; nothing was written then.
        """
        return self._reach.create_schedule(self._wanted_schedule(schedule, params, schedule_id))

    def update_schedule(
        self, schedule: WantedSchedule | Path | str, params: Params = None, *, schedule_id: str | None = None
    ) -> Changed:
        """Change a schedule for future times.

        Raise InputError, NoSuchSchedule, or ScheduleConflict if another command changed it at the same time.
        """
        return self._reach.update_schedule(self._wanted_schedule(schedule, params, schedule_id))

    def pause_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """Pause a schedule: its times are suppressed until it is resumed. Raise NoSuchSchedule."""
        return self._reach.pause_schedule(schedule_id, note, paused=True)

    def resume_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """Resume a schedule with its future times. Raise NoSuchSchedule."""
        return self._reach.pause_schedule(schedule_id, note, paused=False)

    def trigger_schedule(self, schedule_id: str) -> Changed:
        """Request a task of a schedule now, and return its id. Raise NoSuchSchedule."""
        return self._reach.trigger_schedule(schedule_id)

    def delete_schedule(self, schedule_id: str, note: str = "") -> Changed:
        """Delete a schedule; its running tasks continue. Raise NoSuchSchedule."""
        return self._reach.delete_schedule(schedule_id, note)

    def backfill(self, schedule_id: str, wanted: WantedBackfill) -> Changed:
        """Make tasks of past times. Raise NoSuchSchedule; ScheduleConflict while another backfill of it is active."""
        return self._reach.backfill(schedule_id, wanted)

    def preview_backfill(self, schedule_id: str, wanted: WantedBackfill) -> Iterator[BackfillStep]:
        """Yield the times of a backfill with what it would do about each; nothing is written. Raise NoSuchSchedule."""
        return self._reach.preview_backfill(schedule_id, wanted)

    def cancel_backfill(self, schedule_id: str, note: str = "") -> Changed:
        """Cancel a schedule's backfill; its running tasks continue. Raise NoSuchSchedule."""
        return self._reach.cancel_backfill(schedule_id, note)

    def schedule(self, schedule_id: str) -> ScheduleStatus:
        """Return the status of a schedule, a deleted one too. Raise NoSuchSchedule."""
        return self._reach.schedule(schedule_id)

    def schedules(self) -> list[ScheduleStatus]:
        """Return all schedules by their ids, the deleted ones too."""
        return self._reach.all_schedules()

    def ticks(self, schedule_id: str, **wanted: Unpack[TickFilter]) -> Iterator[Tick]:
        """Yield the decided times of a schedule in order, each with its outcome and the reason. Raise NoSuchSchedule.

        Optional filters: times in [``since``, ``until``), one ``outcome``, only the ``last`` of them.
        """
        return self._reach.ticks(schedule_id, wanted)

    def _wanted_schedule(
        self, schedule: WantedSchedule | Path | str, params: Params, schedule_id: str | None
    ) -> WantedSchedule:
        from streamsched.files.schedule_file import WantedSchedule, want_schedule

        if isinstance(schedule, WantedSchedule):
            return schedule
        return want_schedule(Path(schedule), params, now=SystemClock().now(), schedule_id=schedule_id)
