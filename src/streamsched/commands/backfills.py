"""The times that a backfill covers, by the schedule as it was then or as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
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
    """A backfill of [start, end), in milliseconds since the epoch; without an end up to now. Raise InputError.

    ``as_of_now``: by the schedule as it is now, not as it was at each time. ``within``: how the names of the templates
    begin that the schedule had in the stretch.
    """

    start: int
    end: int | None = None
    reprocess: str = Reprocess.MISSING
    max_active: int = 1
    newest_first: bool = False
    as_of_now: bool = False
    note: str = ""
    within: str = ""

    def __post_init__(self) -> None:
        if self.end is not None and self.end <= self.start:
            raise InputError(f"{rfc3339(self.end)} is not after the start", "give a later one", source="--end")
        if self.reprocess not in tuple(Reprocess):
            remedy = f"choose one of {', '.join(Reprocess)}"
            raise InputError(f"unknown kind {self.reprocess!r}", remedy, source="--reprocess")
        if not 1 <= self.max_active <= ACTIVE_LIMIT:
            raise InputError(f"invalid number {self.max_active}", f"give 1 to {ACTIVE_LIMIT:,}", source="--max-active")

    def digest(self) -> bytes:
        """Return a digest of what is asked for, whoever asks."""
        return sha256(repr(replace(self, within="", reprocess=str(self.reprocess))).encode()).digest()


class BackfillStep(Document, frozen=True, kw_only=True):
    """What a backfill would do about one time: ``fire`` a task, ``redrive`` the existing one, or ``leave`` it."""

    nominal: Timestamp
    action: str
    task_id: str
    state: str | None
    """State of the existing task."""
    template_version: str


def parts_of(
    version: ScheduleVersion, history: Callable[[], Iterable[e.OfSchedule]], wanted: WantedBackfill, now: int
) -> tuple[e.BackfillPart, ...]:
    """Return what ``each_part`` yields of a history without pauses. Raise InputError."""
    return tuple(part for part in each_part(version, history, wanted, now) if part is not None)


def each_part(
    version: ScheduleVersion, history: Callable[[], Iterable[e.OfSchedule | None]], wanted: WantedBackfill, now: int
) -> Iterator[e.BackfillPart | None]:
    """Yield the versions of a schedule that held in the stretch, the first one also before the schedule was made.

    ``version`` is the latest one. None where the history has None: others may read meanwhile. Raise InputError for no
    times, too many versions, templates that are not within what is wanted, or a stretch that is not over yet.
    """
    schedule_id, end = version.body.schedule_id, now if wanted.end is None else wanted.end
    if end > now + 1:
        raise InputError(f"{rfc3339(end)} is in the future", "only past times are backfilled", source="--end")
    if end <= wanted.start:
        reason = f"{rfc3339(wanted.start)} is in the future"
        raise InputError(reason, "only past times are backfilled", source="--start")
    parts: list[e.BackfillPart] = []
    if wanted.within or not wanted.as_of_now:  # a task of then may be redriven, so it may not be another's
        for part in _parts(_versions(history()), wanted, end):
            if part is None:
                yield None
            elif not wanted.as_of_now:
                parts.append(part)
    if wanted.as_of_now:
        parts = [part for part in _parts([version], wanted, end) if part is not None]
    if next(times_of(parts, newest_first=False), None) is None:
        raise InputError(
            f"schedule {schedule_id!r} has no time from {rfc3339(wanted.start)} to {rfc3339(end)}",
            "give another stretch",
        )
    yield from parts


def preview(
    schedule_id: str,
    parts: Sequence[e.BackfillPart],
    wanted: WantedBackfill,
    standing: Callable[[str], TaskStanding | None],
) -> Iterator[BackfillStep]:
    """Yield the times of a backfill, with what it would do about each now."""
    for nominal, part in times_of(parts, newest_first=wanted.newest_first):
        task_id = tick_id(schedule_id, "tick", nominal)
        found = standing(task_id)
        yield BackfillStep(
            nominal=Time.at(nominal),
            action=ACTIONS[fate(wanted.reprocess, found)],
            task_id=task_id,
            state=None if found is None else str(found.phase),
            template_version=part.template_version,
        )


def _versions(history: Iterable[e.OfSchedule | None]) -> Iterator[ScheduleVersion | None]:
    """Yield each version of a schedule, and None where the history has it; a pause does not make one."""
    schedule: Schedule | None = None
    known: ScheduleVersion | None = None
    for event in history:
        if event is None:
            yield None
            continue
        schedule = evolve_schedule(schedule, event) or schedule
        if schedule is None:
            continue
        version = schedule.now
        if known is None or (version.body, version.deleted) != (known.body, known.deleted):
            known = version
            yield version


def _spans(versions: Iterable[ScheduleVersion | None]) -> Iterator[tuple[ScheduleVersion, int] | None]:
    """Yield each version with the last time that it holds, and None where they are still looked for."""
    version: ScheduleVersion | None = None
    for following in versions:
        if following is None:
            yield None
            continue
        if version is not None:
            yield version, following.since
        version = following
    if version is not None:
        yield version, FOREVER


def _parts(
    versions: Iterable[ScheduleVersion | None], wanted: WantedBackfill, end: int
) -> Iterator[e.BackfillPart | None]:
    """Yield what each version holds of the stretch; none is read behind its end. None as ``_spans`` does."""
    after, size, count = -1, 0, 0
    for span in _spans(versions):
        if after >= end - 1:
            break
        if span is None:
            yield None
            continue
        version, upto = span
        first, after = after + 1, upto
        if version.deleted or max(wanted.start, first) > min(end - 1, upto):
            continue
        if not version.body.template_name.startswith(wanted.within):
            reason = f"the schedule had a template in that stretch whose name does not begin with {wanted.within!r}"
            raise InputError(reason, "give a later start")
        part = _part(max(wanted.start, first), min(end - 1, upto), version.body)
        size, count = size + _size(part), count + 1
        if count > PARTS_LIMIT or size > PARTS_LIMIT_CHARS:
            raise InputError(
                "the schedule had more versions in that stretch than one backfill can hold",
                "backfill shorter stretches, or all of it as of now",
            )
        yield part


def _part(first: int, last: int, body: e.ScheduleSet) -> e.BackfillPart:
    held = {name: getattr(body, name) for name in e.BackfillPart.__struct_fields__[2:]}
    return e.BackfillPart(first, last, **held)


def _size(part: e.BackfillPart) -> int:
    return len(part.spec) + len(part.template) + len(part.params)
