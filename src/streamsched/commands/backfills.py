"""The times that a backfill covers, by the schedule as it was then or as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.backfill import PARTS_LIMIT, Reprocess, TaskStanding, fate, times_of
from streamsched.domain.bounds import ACTIVE_LIMIT
from streamsched.domain.errors import InputError
from streamsched.domain.schedule import FOREVER, Schedule, ScheduleVersion, evolve_schedule
from streamsched.domain.tick import tick_id
from streamsched.queries.documents import Document, Time, Timestamp, rfc3339

PARTS_LIMIT_CHARS: Final = 1_500_000
"""Of all parts of a backfill together: its event must fit into a record."""
ACTIONS: Final = {"fired": "fire", "redriven": "redrive", "left": "leave"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedBackfill:
    """A backfill of [start, end), in milliseconds since the epoch. Raise InputError.

    ``as_of_now``: by the schedule as it is now, not as it was at each time.
    """

    start: int
    end: int
    reprocess: str = Reprocess.MISSING
    max_active: int = 1
    newest_first: bool = False
    as_of_now: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise InputError(f"{rfc3339(self.end)} is not after the start", "give a later one", source="--end")
        if self.reprocess not in tuple(Reprocess):
            remedy = f"choose one of {', '.join(Reprocess)}"
            raise InputError(f"unknown kind {self.reprocess!r}", remedy, source="--reprocess")
        if not 1 <= self.max_active <= ACTIVE_LIMIT:
            raise InputError(f"invalid number {self.max_active}", f"give 1 to {ACTIVE_LIMIT:,}", source="--max-active")


class BackfillStep(Document, frozen=True, kw_only=True):
    """What a backfill would do about one time: ``fire`` a task, ``redrive`` the existing one, or ``leave`` it."""

    nominal: Timestamp
    action: str
    task_id: str
    state: str | None
    """State of the existing task."""
    template_version: str


def parts_of(
    schedule: Schedule, history: Callable[[], Iterable[e.OfSchedule]], wanted: WantedBackfill, now: int
) -> tuple[e.BackfillPart, ...]:
    """Return the versions of the schedule that held in the stretch, the first one also before the schedule was made.

    Raise InputError for no times, too many versions, or a stretch that is not over yet.
    """
    if wanted.end > now + 1:
        raise InputError(f"{rfc3339(wanted.end)} is in the future", "only past times are backfilled", source="--end")
    held = [schedule.now] if wanted.as_of_now else list(_versions(history()))
    begins = [-1, *(version.since for version in held[1:]), FOREVER]
    parts = tuple(
        _part(first, last, version.body)
        for (after, upto), version in zip(pairwise(begins), held, strict=True)
        for first, last in ((max(wanted.start, after + 1), min(wanted.end - 1, upto)),)
        if not version.deleted and first <= last
    )
    if next(times_of(parts, newest_first=False), None) is None:
        raise InputError(
            f"schedule {schedule.schedule_id!r} has no time from {rfc3339(wanted.start)} to {rfc3339(wanted.end)}",
            "give another --start and --end",
        )
    if len(parts) > PARTS_LIMIT or sum(map(_size, parts)) > PARTS_LIMIT_CHARS:
        raise InputError(
            f"the schedule had {len(parts):,} versions in that stretch, more than one backfill can hold",
            "backfill shorter stretches, or all of it as the schedule is now (--as-of now)",
        )
    return parts


def preview(
    schedule: Schedule,
    parts: Sequence[e.BackfillPart],
    wanted: WantedBackfill,
    standing: Callable[[str], TaskStanding | None],
) -> Iterator[BackfillStep]:
    """Yield the times of a backfill, with what it would do about each now."""
    for nominal, part in times_of(parts, newest_first=wanted.newest_first):
        task_id = tick_id(schedule.schedule_id, "tick", nominal)
        found = standing(task_id)
        yield BackfillStep(
            nominal=Time.at(nominal),
            action=ACTIONS[fate(wanted.reprocess, found)],
            task_id=task_id,
            state=None if found is None else str(found.phase),
            template_version=part.template_version,
        )


def _versions(history: Iterable[e.OfSchedule]) -> Iterator[ScheduleVersion]:
    """Yield each version of a schedule; a pause does not make one."""
    schedule: Schedule | None = None
    known: ScheduleVersion | None = None
    for event in history:
        schedule = evolve_schedule(schedule, event) or schedule
        if schedule is None:
            continue
        version = schedule.now
        if known is None or (version.body, version.deleted) != (known.body, known.deleted):
            known = version
            yield version


def _part(first: int, last: int, body: e.ScheduleSet) -> e.BackfillPart:
    held = {name: getattr(body, name) for name in e.BackfillPart.__struct_fields__[2:]}
    return e.BackfillPart(first, last, **held)


def _size(part: e.BackfillPart) -> int:
    return len(part.spec) + len(part.template) + len(part.params)
