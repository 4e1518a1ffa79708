"""A backfill: past times of a schedule that are gone through once more, a few tasks at a time.

::

    BackfillRequested ──▶ active ──(its times are gone through, its tasks have ended)──▶ done
                            └──BackfillCancelled, ScheduleDeleted──▶ cancelled

    a time ──BackfillDecided──▶ fired (a new task) | redriven (the task of that time continues) | left (as it is)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.phases import Phase
from streamsched.domain.refusal import ScheduleError
from streamsched.domain.tick import tick_id

if TYPE_CHECKING:
    from streamsched.domain.calendar.spec import ScheduleSpec

EXAMINED: Final = 500
"""Times looked at in one decision."""
FIRED_CHARACTERS: Final = 8 * 1024 * 1024
"""Limit for the templates and parameters of the new tasks in one decision."""
PARTS_LIMIT: Final = 1_000
_BLOCK: Final = 3_600_000
"""Milliseconds searched together on the way back."""


class Reprocess(StrEnum):
    """Which times a backfill makes tasks of. Source: Airflow's backfills."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


class TaskStanding(NamedTuple):
    """How the task of a time stands."""

    phase: Phase
    redrive: int


@lru_cache(maxsize=1_024)
def read_spec(text: str) -> ScheduleSpec:
    """Read the times of a part."""
    from streamsched.domain.calendar.spec import ScheduleSpec  # late: most views hold no schedule

    return ScheduleSpec.from_json(text)


@dataclass(slots=True)
class Backfill:
    """One backfill as its events made it. ``cursor``: the last time that was gone through, None before the first."""

    request: e.BackfillRequested
    cursor: int | None = None
    cancelled: bool = False
    note: str = ""
    running: dict[str, int] = field(default_factory=dict)
    """Its unfinished tasks, with their redrives."""
    counts: Counter[str] = field(default_factory=Counter)
    _next: list[tuple[int, e.BackfillPart] | None] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Which of its schedule's backfills it is, from 1 on."""
        return self.request.backfill

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return not self.running and (self.cancelled or self.next_time() is None)

    @property
    def state(self) -> str:
        """Return its state in a word."""
        if not self.done:
            return "cancelling" if self.cancelled else "active"
        return "cancelled" if self.cancelled else "done"

    @property
    def room(self) -> int:
        """How many of its tasks may be started now."""
        return 0 if self.cancelled else max(0, self.request.max_active - len(self.running))

    def next_time(self) -> tuple[int, e.BackfillPart] | None:
        """Return the time to go through next, and what holds for it."""
        if not self._next:
            self._next.append(next(self.times(), None))
        return self._next[0]

    def times(self) -> Iterator[tuple[int, e.BackfillPart]]:
        """Yield the times that were not gone through, in the backfill's order."""
        return times_of(self.request.parts, newest_first=self.request.newest_first, cursor=self.cursor)

    def changed(self) -> None:
        """Drop what was computed from the old state; when it is done, its times too."""
        self._next.clear()
        if self.done and self.request.parts:
            self.request = replace(self.request, parts=())


def is_readable(request: e.BackfillRequested) -> bool:
    """Return whether the times of all parts can be read."""
    try:
        for part in request.parts:
            read_spec(part.spec)
    except ScheduleError:
        return False
    return True


def times_of(
    parts: Sequence[e.BackfillPart], *, newest_first: bool, cursor: int | None = None
) -> Iterator[tuple[int, e.BackfillPart]]:
    """Yield the times of a backfill beyond its cursor, in its order, each with what holds for it."""
    for part in reversed(parts) if newest_first else parts:
        first, last, spec = part.first, part.last, read_spec(part.spec)
        if newest_first:
            found = latest(spec, first, last if cursor is None else min(last, cursor - 1))
        else:
            found = spec.between(first if cursor is None else max(first, cursor + 1), last + 1)
        for nominal in found:
            yield nominal, part


def latest(spec: ScheduleSpec, first: int, last: int) -> Iterator[int]:
    """Yield the times in ``first..last`` backwards, an hour of them at a time."""
    while (found := spec.last_before(last + 1, first)) is not None:
        begin = max(first, found - _BLOCK + 1)
        yield from reversed(list(spec.between(begin, found + 1)))
        last = begin - 1


# --- what each of its events does -----------------------------------------------------------------------------------


def advance(backfill: Backfill, event: e.BackfillDecided, ended_since: dict[str, int]) -> bool:
    """Take in a decision; ``ended_since`` has the tasks whose redrives ended after it was made."""
    if event.backfill != backfill.number:
        return False
    for run in event.ticks:
        backfill.counts[run.outcome] += run.count
        if run.outcome == "left":
            continue
        task_id = tick_id(event.schedule_id, "tick", run.first)
        if ended_since.get(task_id, -1) < run.redrive:
            backfill.running[task_id] = run.redrive
    backfill.cursor = event.upto
    return True


def end_task(backfill: Backfill, event: e.TickEnded) -> bool:
    """Note that one of its tasks has ended."""
    redrive = backfill.running.get(event.task_id)
    if redrive is None or event.redrive < redrive:
        return False
    del backfill.running[event.task_id]
    backfill.counts[event.outcome] += 1
    return True


# --- what is owed to it ---------------------------------------------------------------------------------------------


class Revival(NamedTuple):
    """A task to redrive."""

    task_id: str
    redrive: int
    scope: str


@dataclass(slots=True)
class BackfillStep:
    """A decision about the times of a backfill up to ``upto``, in its order."""

    upto: int
    ticks: list[e.Refill] = field(default_factory=list)
    fires: list[tuple[int, e.BackfillPart]] = field(default_factory=list)
    revivals: list[Revival] = field(default_factory=list)


def backfill_step(
    backfill: Backfill, is_free: Callable[[int], bool], standing: Callable[[int], TaskStanding | None]
) -> BackfillStep | None:
    """Decide about as many of the next times as there is room for; None without room, or without a time left.

    ``is_free``: the schedule itself has nothing more to do with a time. ``standing``: how the task of a time stands.
    """
    made = BackfillStep(0)
    room, characters = backfill.room, 0
    for examined, (nominal, part) in enumerate(backfill.times()):
        if room == 0 or characters >= FIRED_CHARACTERS or examined >= EXAMINED or not is_free(nominal):
            break
        made.upto = nominal
        found = standing(nominal)
        outcome = fate(backfill.request.reprocess, found)
        if found is None:
            made.fires.append((nominal, part))
            characters += len(part.template) + len(part.params)
            made.ticks.append(e.Refill(nominal, nominal, 1, outcome, 0))
        elif outcome == "redriven":
            scope = "all" if backfill.request.reprocess == Reprocess.ALL else "failed"
            task_id = tick_id(backfill.request.schedule_id, "tick", nominal)
            made.revivals.append(Revival(task_id, found.redrive + 1, scope))
            made.ticks.append(e.Refill(nominal, nominal, 1, outcome, found.redrive + 1))
        else:
            _leave(made.ticks, nominal)
        room -= outcome != "left"
    return made if made.ticks else None


def fate(reprocess: str, found: TaskStanding | None) -> str:
    """Return the outcome of a time: ``fired``, ``redriven`` or ``left``."""
    if found is None:
        return "fired"
    again = {Phase.FAILED, Phase.CANCELLED} if reprocess == Reprocess.FAILED else set()
    if reprocess == Reprocess.ALL:
        again = {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED}
    return "redriven" if found.phase in again else "left"


def _leave(ticks: list[e.Refill], nominal: int) -> None:
    """Add a time that is left as it is; several in a row become one entry."""
    ran = ticks[-1] if ticks else None
    if ran is not None and ran.outcome == "left":
        ticks[-1] = e.Refill(min(ran.first, nominal), max(ran.last, nominal), ran.count + 1, "left", 0)
    else:
        ticks.append(e.Refill(nominal, nominal, 1, "left", 0))
