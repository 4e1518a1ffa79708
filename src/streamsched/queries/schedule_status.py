"""What people and scripts are told of a schedule: plain data, made from the view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from streamsched.audit.document import decoded
from streamsched.domain import duration
from streamsched.domain.backfill import Backfill
from streamsched.domain.calendar import moment
from streamsched.domain.overlap import SchedulePolicy
from streamsched.domain.schedule import FOREVER, Schedule
from streamsched.queries.status import rfc3339

SHOWN: Final = 5
"""Coming times that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillStatus:
    """A backfill as it stands. ``cursor``: the last time that it went through, in milliseconds since the epoch."""

    number: int
    state: str
    reprocess: str
    max_active: int
    asked_at: int
    asked_by: str
    note: str
    cursor: int | None
    counts: Mapping[str, int]
    running: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether there is nothing more to come of it."""
        return self.state in ("done", "cancelled")

    @property
    def passed(self) -> int:
        """Count the times that it went through."""
        return sum(self.counts.get(outcome, 0) for outcome in ("fired", "redriven", "left"))

    def document(self) -> dict[str, Any]:
        """Make the JSON document of the backfill in ``schedule show --json``."""
        return {
            "number": self.number,
            "state": self.state,
            "reprocess": self.reprocess,
            "max_active": self.max_active,
            "asked_at": rfc3339(self.asked_at),
            "asked_by": self.asked_by,
            "note": self.note,
            "cursor": rfc3339(self.cursor),
            "counts": dict(self.counts),
            "running": list(self.running),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """A schedule as it stands. Times in milliseconds since the epoch; ``spec`` is as in its file."""

    schedule_id: str
    state: str
    note: str
    version: int
    spec: Mapping[str, Any]
    policy: SchedulePolicy
    template: str
    template_version: str
    params: Any
    priority: int
    zone: str
    created_at: int
    changed_at: int
    changed_by: str
    coming: tuple[int, ...]
    """The next nominal times, with which a paused schedule does nothing."""
    left: int | None
    counts: Mapping[str, int]
    running: tuple[str, ...]
    waiting: int
    last_outcome: str
    backfill: BackfillStatus | None
    """The latest one."""
    void: int

    @property
    def deleted(self) -> bool:
        """Whether it has ended."""
        return self.state == "deleted"

    @property
    def coming_local(self) -> list[str]:
        """Write the next times in the schedule's zone."""
        return [moment.write(at, self.zone) for at in self.coming]

    def policy_document(self) -> dict[str, Any]:
        """Write the policy as in a file."""
        policy = self.policy
        return {
            "overlap": str(policy.overlap),
            "catchup_window": duration.write(policy.catchup_window_ms),
            "max_catchup_runs": policy.max_catchup_runs,
            "limited_runs": policy.limited_runs,
            "pause_on_failure": policy.pause_on_failure,
        }

    def document(self) -> dict[str, Any]:
        """Make the JSON document of ``schedule show --json``."""
        return {
            "schedule_id": self.schedule_id,
            "state": self.state,
            "note": self.note,
            "version": self.version,
            "spec": dict(self.spec),
            "policy": self.policy_document(),
            "template": self.template,
            "template_version": self.template_version,
            "params": self.params,
            "priority": self.priority,
            "zone": self.zone,
            "created_at": rfc3339(self.created_at),
            "changed_at": rfc3339(self.changed_at),
            "changed_by": self.changed_by,
            "next": self.coming_local,
            "left": self.left,
            "counts": dict(self.counts),
            "running": list(self.running),
            "waiting": self.waiting,
            "last_outcome": self.last_outcome or None,
            "backfill": None if self.backfill is None else self.backfill.document(),
            "void": self.void,
        }


def schedule_status(schedule: Schedule, now: int) -> ScheduleStatus:
    """Tell how a schedule stands at ``now``."""
    body, (spec, policy) = schedule.now.body, schedule.now.rules
    shown = 0 if schedule.deleted else SHOWN if schedule.left is None else min(SHOWN, schedule.left)
    return ScheduleStatus(
        schedule_id=schedule.schedule_id,
        state=schedule.state,
        note=schedule.note,
        version=schedule.version,
        spec=spec.to_mapping(),
        policy=policy,
        template=body.template_name,
        template_version=body.template_version,
        params=decoded(body.params),
        priority=body.priority,
        zone=spec.home,
        created_at=schedule.created_at,
        changed_at=body.at,
        changed_by=body.by,
        coming=tuple(islice(spec.between(max(now, schedule.cursor) + 1, FOREVER), shown)),
        left=schedule.left,
        counts=dict(sorted(schedule.counts.items())),
        running=tuple(schedule.running),
        waiting=len(schedule.waiting) + len(schedule.triggers),
        last_outcome=schedule.last_outcome,
        backfill=None if schedule.backfill is None else _backfill_status(schedule.backfill),
        void=schedule.void,
    )


def _backfill_status(backfill: Backfill) -> BackfillStatus:
    request = backfill.request
    return BackfillStatus(
        number=backfill.number,
        state=backfill.state,
        reprocess=request.reprocess,
        max_active=request.max_active,
        asked_at=request.at,
        asked_by=request.by,
        note=backfill.note or request.note,
        cursor=backfill.cursor,
        counts=dict(sorted(backfill.counts.items())),
        running=tuple(backfill.running),
    )
