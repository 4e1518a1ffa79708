"""The limits of a task as its events made them, and the bucket that its rate is counted with. Pure, in integers.

A bucket holds one second of its rate, at least one token. It is full when its rate is set for the first time; what is
in it counts in parts of a token, ``rate.period`` of them: ``rate.count`` parts are added each millisecond. Its time
is that of the latest admission and never goes back, so a scheduler with a clock behind it waits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from streamsched.domain import duration
from streamsched.domain.bounds import COUNT_END, TABLE_LIMIT, TIME_END
from streamsched.domain.events import Rate, Release, TaskLimitsChanged, Tolerance
from streamsched.domain.policy import FailurePolicy
from streamsched.domain.refusal import FieldPath, TemplateError

ANY_RATE: Final = Rate(0, 1)
RATE_PERIOD_LIMIT_MS: Final = 86_400_000
RATE_TEXT: Final = r"^[1-9][0-9]{0,9}/([0-9].*|d|h|m|s|ms)$"
_SECOND_MS: Final = 1_000
_LEAST: Final = -(1 << 60)
"""The lowest level: what no task comes to still fits into 64 bits."""


class Limits(Struct, frozen=True, array_like=True, gc=False):
    """What is in force: by its template, or by what people have set since.

    ``parallelism`` is how many work children may be live, 0: any number. ``deadline`` is when the task fails, 0: never;
    None before its plan, which says so.
    """

    parallelism: int = 0
    rate: Rate = ANY_RATE
    priority: int = 0
    weight: int | None = None
    tolerate: Tolerance | None = None
    deadline: int | None = None
    level: int = 0
    """What the bucket holds; below nothing where a rate was lowered while a dispatch was in flight."""
    filled_at: int = 0

    def policy(self, own: FailurePolicy) -> FailurePolicy:
        """Return what the task tolerates, where the template has this policy."""
        if self.tolerate is None:
            return own
        return FailurePolicy(self.tolerate.count, self.tolerate.percent, own.on, own.rules)

    def changed(self, event: TaskLimitsChanged) -> Limits:
        """Return the limits with what this event replaces."""
        names = ("parallelism", "priority", "weight", "tolerate", "deadline")
        new = {name: value for name in names if (value := getattr(event, name)) is not None}
        made = replace(self, **new)
        return made if event.rate is None else made.rated(event.rate)

    def rated(self, rate: Rate) -> Limits:
        """Return the limits with another rate: the bucket keeps its tokens, as far as they fit. The first one is full.

        Its time is that of schedulers alone: a client whose clock is ahead would hold up the task.
        """
        level = 0 if self.filled_at else _full(rate)
        if self.rate.count:
            level = self.level * rate.period // self.rate.period
        return replace(self, rate=rate, level=_within(level, rate))

    def room(self, live: int, now: int) -> int:
        """Return how many children may be dispatched now, beside so many live ones; where nothing is limited, many."""
        rooms = [TABLE_LIMIT]
        if self.parallelism:
            rooms.append(self.parallelism - live)
        if self.rate.count:
            rooms.append(self._level(now) // self.rate.period if now >= self.filled_at else 0)
        return max(0, min(rooms))

    def next_token(self, now: int) -> int:
        """Return when the bucket has a token, at this time or later."""
        if not self.rate.count:
            return now
        missing = max(0, self.rate.period - self.level)
        return max(now, self.filled_at + -(-missing // self.rate.count))

    def charged(self, at: int, children: int) -> Limits:
        """Return the limits after so many children were dispatched."""
        at = max(at, self.filled_at)
        level = self._level(at) - children * self.rate.period
        return replace(self, level=_within(level, self.rate), filled_at=at)

    def refunded(self) -> Limits:
        """Return the limits after a dispatched child came back that had not begun."""
        return replace(self, level=_within(self.level + self.rate.period, self.rate))

    def _level(self, at: int) -> int:
        return _within(self.level + self.rate.count * max(0, at - self.filled_at), self.rate)


def work_in(releases: Iterable[Release], work: range) -> int:
    """Return how many children of these releases are work children, which are those in the range."""
    return sum(len(range(max(each.first, work.start), min(each.last + 1, work.stop))) for each in releases)


def deadline_of(deadline_ms: int, requested_at: int, planned_at: int) -> int | None:
    """Return when a task fails whose template has such a deadline: a client whose clock is ahead gains nothing."""
    return min(min(requested_at, planned_at) + deadline_ms, TIME_END - 1) if deadline_ms else None


def initial(parallelism: int, rate: Rate | None, priority: int) -> Limits:
    """Return the limits that a template gives a task."""
    made = Limits(parallelism=parallelism, priority=priority)
    return made if rate is None else made.rated(rate)


def read_rate(value: object, path: FieldPath) -> Rate:
    """Read a rate as people write it: ``100/s``, ``5/m``, ``3/10s``. Raise TemplateError."""
    count, _, per = value.partition("/") if isinstance(value, str) and re.match(RATE_TEXT, value) else ("", "", "")
    period = duration.read(per if per[:1].isdigit() else f"1{per}")
    if not count or period is None:
        raise TemplateError(f"{value!r} is not a rate", "write 100/s, 5/m or 3/10s", path=path)
    rate = Rate(int(count), period)
    check_rate(rate, path)
    return rate


def check_rate(rate: Rate, path: FieldPath) -> None:
    """Refuse a rate that lets nothing through, or that no event can hold. Raise TemplateError."""
    if not 1 <= rate.count < COUNT_END:
        remedy = "leave it out, or take it away with rate=none; to dispatch nothing, pause the task"
        raise TemplateError(f"must be from 1 to {COUNT_END - 1} in its time", remedy, path=path)
    if not 1 <= rate.period <= RATE_PERIOD_LIMIT_MS:
        raise TemplateError("must be for a time from 1ms to 1d", "write 100/s, 5/m or 3/10s", path=path)


def write_rate(rate: Rate) -> str:
    """Write a rate so that ``read_rate`` finds the same."""
    period = duration.write(rate.period)
    return f"{rate.count}/{period[1:] if period in ('1s', '1m', '1h', '1d') else period}"


def write_tolerance(tolerate: Tolerance) -> str:
    """Write how many failed children are tolerated."""
    percent = None if tolerate.percent is None else f"{tolerate.percent:g}%"
    return " and ".join(str(each) for each in (tolerate.count, percent) if each is not None) or "0"


def _within(level: int, rate: Rate) -> int:
    return max(_LEAST, min(level, _full(rate)))


def _full(rate: Rate) -> int:
    return max(rate.period, rate.count * _SECOND_MS)
