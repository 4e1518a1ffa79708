"""The status of a schedule as plain data, from the view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any, ClassVar, Final, Self

from streamsched.audit.document import decoded
from streamsched.domain import duration
from streamsched.domain.backfill import Backfill
from streamsched.domain.calendar import moment
from streamsched.domain.calendar.zone import load
from streamsched.domain.overlap import Overlap, SchedulePolicy
from streamsched.domain.schedule import FOREVER, Schedule
from streamsched.queries.documents import Document, Time, Timestamp, millis_of

SHOWN_TIMES: Final = 10
"""Next times in a status."""


class LocalTime(Time):
    """A time in the zone of its schedule; one that was read is shown as it was."""

    text: str | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what ``shown`` wrote. Raise ValueError."""
        made = cls.fromisoformat(text)
        made.text = text
        return made

    @classmethod
    def there(cls, millis: int, zone: str) -> Self:
        """Return the time that is so many milliseconds after the epoch, in this zone."""
        return cls.at(millis).astimezone(load(zone))

    def shown(self) -> str:
        """Return it as text."""
        return moment.write(millis_of(self), str(self.tzinfo)) if self.text is None else self.text


class Duration(int):
    """Milliseconds; documents show them as files do, such as ``1h30m``."""

    schema: ClassVar = {"type": "string"}

    def shown(self) -> str:
        """Return it as text."""
        return duration.write(self)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what ``shown`` wrote. Raise ValueError."""
        found = duration.read(text)
        if found is None:
            raise ValueError(f"{text!r} is not a duration")
        return cls(found)


class PolicyStatus(Document, frozen=True, kw_only=True, rename={"catchup_window_ms": "catchup_window"}):
    """The policy of a schedule, as in its file."""

    overlap: Overlap
    catchup_window_ms: Duration
    max_catchup_runs: int
    limited_runs: int
    pause_on_failure: bool


class BackfillStatus(Document, frozen=True, kw_only=True):
    """A backfill. ``cursor``: the last time that it handled."""

    number: int
    state: str
    reprocess: str
    max_active: int
    asked_at: Timestamp
    asked_by: str
    note: str
    cursor: Timestamp | None
    counts: Mapping[str, int]
    running: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.state in ("done", "cancelled")


class ScheduleStatus(Document, frozen=True, kw_only=True, rename={"coming": "next"}):
    """A schedule; ``spec`` is as in its file."""

    schedule_id: str
    state: str
    note: str
    version: int
    spec: Mapping[str, Any]
    policy: PolicyStatus
    template: str
    template_version: str
    params: Any
    priority: int
    zone: str
    created_at: Timestamp
    changed_at: Timestamp
    changed_by: str
    coming: tuple[LocalTime, ...]
    """The next nominal times, in the schedule's zone, also of a paused schedule."""
    left: int | None
    counts: Mapping[str, int]
    running: tuple[str, ...]
    waiting: int
    last_outcome: str | None
    backfill: BackfillStatus | None
    """The latest one."""
    void: int

    @property
    def deleted(self) -> bool:
        """Whether it was deleted."""
        return self.state == "deleted"

    @property
    def coming_local(self) -> list[str]:
        """The next times as text, in the schedule's zone."""
        return [moment.write(millis_of(at), self.zone) for at in self.coming]


def schedule_status(schedule: Schedule, now: int) -> ScheduleStatus:
    """Return the status of a schedule at ``now``."""
    body, (spec, policy) = schedule.now.body, schedule.now.rules
    shown = 0 if schedule.deleted else SHOWN_TIMES if schedule.left is None else min(SHOWN_TIMES, schedule.left)
    coming = spec.between(max(now, schedule.cursor) + 1, FOREVER)
    return ScheduleStatus(
        schedule_id=schedule.schedule_id,
        state=schedule.state,
        note=schedule.note,
        version=schedule.version,
        spec=spec.to_mapping(),
        policy=policy_status(policy),
        template=body.template_name,
        template_version=body.template_version,
        params=decoded(body.params),
        priority=body.priority,
        zone=spec.home,
        created_at=Time.at(schedule.created_at),
        changed_at=Time.at(body.at),
        changed_by=body.by,
        coming=tuple(LocalTime.there(at, spec.home) for at in islice(coming, shown)),
        left=schedule.left,
        counts=dict(sorted(schedule.counts.items())),
        running=tuple(schedule.running),
        waiting=len(schedule.waiting) + len(schedule.triggers),
        last_outcome=schedule.last_outcome or None,
        backfill=None if schedule.backfill is None else _backfill_status(schedule.backfill),
        void=schedule.void,
    )


def policy_status(policy: SchedulePolicy) -> PolicyStatus:
    """Return a policy as in its file."""
    return PolicyStatus(**{**asdict(policy), "catchup_window_ms": Duration(policy.catchup_window_ms)})


def _backfill_status(backfill: Backfill) -> BackfillStatus:
    request = backfill.request
    return BackfillStatus(
        number=backfill.number,
        state=backfill.state,
        reprocess=request.reprocess,
        max_active=request.max_active,
        asked_at=Time.at(request.at),
        asked_by=request.by,
        note=backfill.note or request.note,
        cursor=Time.of(backfill.cursor),
        counts=dict(sorted(backfill.counts.items())),
        running=tuple(backfill.running),
    )
