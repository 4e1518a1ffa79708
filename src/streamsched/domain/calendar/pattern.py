"""Which wall times a calendar means: seven fields, searched forward without looking at every minute."""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Final

from streamsched.domain.calendar import fields
from streamsched.domain.calendar.days import Month
from streamsched.domain.calendar.fields import Values

DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()


class DayMatch(StrEnum):
    """How the two day fields join: either is enough if both are restricted (Vixie cron), or both must hold."""

    OR = "or"
    AND = "and"


class Pattern:
    """Wall times (whole seconds from 1970 by the wall clock) whose seven fields all hold."""

    __slots__ = (
        "_days",
        "_ends",
        "_hours",
        "_in_month",
        "_minutes",
        "_months",
        "_run",
        "_seconds",
        "_weekdays",
        "_years",
        "either",
        "follows_time",
    )

    def __init__(self, values: dict[str, Values], day_match: DayMatch) -> None:
        self._seconds = values["second"].numbers
        self._minutes = values["minute"].numbers
        self._hours = values["hour"].numbers
        self._months = values["month"].numbers
        self._years = values["year"].numbers
        self._days = values["day_of_month"]
        self._weekdays = values["day_of_week"]
        self.either = day_match is DayMatch.OR and not (self._days.starred or self._weekdays.starred)
        self.follows_time = values["hour"].starred
        self._run = 1  # seconds of the aligned stretches of which it has all or nothing
        self._ends: dict[int, int] = {}  # of each such stretch in a row of them: the last
        for found, field, size in (
            (self._seconds, fields.SECOND, 60),
            (self._minutes, fields.MINUTE, 3600),
            (self._hours, fields.HOUR, DAY),
        ):
            if len(found) < field.size:
                for value in reversed(found):
                    self._ends[value] = self._ends.get(value + 1, value)
                break
            self._run = size
        self._in_month = lru_cache(maxsize=64)(self._days_in_month)

    def at_or_after(self, wall: int) -> int | None:
        """Return the first of its wall times that is not before ``wall``; None if that is after 2199."""
        day, time = divmod(wall, DAY)
        found = self._day_at_or_after(day)
        if found == day:
            first = self._time_at_or_after(time)
            if first is not None:
                return day * DAY + first
            found = self._day_at_or_after(day + 1)
        if found is None:
            return None
        return found * DAY + self._hours[0] * 3600 + self._minutes[0] * 60 + self._seconds[0]

    def __contains__(self, wall: int) -> bool:
        day, time = divmod(wall, DAY)
        return self._time_at_or_after(time) == time and self._day_at_or_after(day) == day

    def end_of_run(self, wall: int) -> int:
        """Return an end of the unbroken run of its seconds from ``wall``, one of them, on: at most a month later."""
        if self._ends:
            number = wall // self._run
            value = number % (24 if self._run == 3600 else 60)
            return (number - value + self._ends[value] + 1) * self._run
        day = wall // DAY
        shown = date.fromordinal(day + _EPOCH)
        days = self._in_month(shown.year, shown.month)
        at = bisect_left(days, day)
        while at + 1 < len(days) and days[at + 1] == days[at] + 1:
            at += 1
        return (days[at] + 1) * DAY

    def _time_at_or_after(self, time: int) -> int | None:
        hour, rest = divmod(time, 3600)
        minute, second = divmod(rest, 60)
        hours, minutes, seconds = self._hours, self._minutes, self._seconds
        at = bisect_left(hours, hour)
        if at < len(hours) and hours[at] == hour:
            below = bisect_left(minutes, minute)
            if below < len(minutes) and minutes[below] == minute:
                last = bisect_left(seconds, second)
                if last < len(seconds):
                    return hour * 3600 + minute * 60 + seconds[last]
                below += 1
            if below < len(minutes):
                return hour * 3600 + minutes[below] * 60 + seconds[0]
            at += 1
        return hours[at] * 3600 + minutes[0] * 60 + seconds[0] if at < len(hours) else None

    def _day_at_or_after(self, day: int) -> int | None:
        wanted = date.fromordinal(day + _EPOCH)
        days = self._in_month(wanted.year, wanted.month)
        at = bisect_left(days, day)
        if at < len(days):
            return days[at]
        for year, month in self._months_after(wanted.year, wanted.month):
            days = self._in_month(year, month)
            if days:
                return days[0]
        return None

    def _months_after(self, year: int, month: int) -> Iterator[tuple[int, int]]:
        for later in self._years[bisect_left(self._years, year) :]:
            for each in self._months:
                if later > year or each > month:
                    yield later, each

    def _days_in_month(self, year: int, month: int) -> tuple[int, ...]:
        """Return its days in a month, counted from 1970-01-01."""
        if month not in self._months or year not in self._years:
            return ()
        monday_first, length = monthrange(year, month)
        shape = Month(length, (monday_first + 1) % 7)
        by_number = {*self._days.numbers, *(day.in_month(shape) for day in self._days.days)}
        by_weekday = {day.in_month(shape) for day in self._weekdays.days}
        before = date(year, month, 1).toordinal() - _EPOCH - 1
        found = []
        for day in range(1, length + 1):
            numbered = day in by_number
            named = shape.weekday(day) in self._weekdays.numbers or day in by_weekday
            if (numbered or named) if self.either else (numbered and named):
                found.append(before + day)
        return tuple(found)
