"""Days that only a month's calendar tells: the last one, the weekday nearest to the 15th, the third Friday."""

from __future__ import annotations

from dataclasses import dataclass

SATURDAY, SUNDAY = 6, 0


@dataclass(frozen=True, slots=True)
class Month:
    """How many days a month has, and the weekday of its first (0 is Sunday)."""

    length: int
    first: int

    def weekday(self, day: int) -> int:
        """Return a day's weekday (0 is Sunday)."""
        return (self.first + day - 1) % 7


@dataclass(frozen=True, slots=True)
class MonthDay:
    """``15W``, ``L``, ``L-3``, ``LW``: a day counted from the begin (1 is the first) or the end (0 is the last).

    ``workday`` is the nearest day from Monday to Friday in the same month.
    """

    day: int
    from_end: bool = False
    workday: bool = False

    def in_month(self, month: Month) -> int | None:
        """Return the day; None where the month has none."""
        day = month.length - self.day if self.from_end else self.day
        if not 1 <= day <= month.length:
            return None
        if self.workday and month.weekday(day) == SATURDAY:
            return day - 1 if day > 1 else day + 2
        if self.workday and month.weekday(day) == SUNDAY:
            return day + 1 if day < month.length else day - 2
        return day


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """``FRI#3``, ``FRIL``: the n-th (1 to 5) of a weekday in the month; 0 is the last."""

    weekday: int
    nth: int

    def in_month(self, month: Month) -> int | None:
        """Return the day; None where the month has none."""
        day = 1 + (self.weekday - month.first) % 7 + 7 * (self.nth - 1 if self.nth else 4)
        if day <= month.length:
            return day
        return None if self.nth else day - 7
