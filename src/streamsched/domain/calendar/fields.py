"""One field of cron or of a calendar: ``*``, ``5``, ``MON-FRI``, ``*/15``, ``1,15,L``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from streamsched.domain.calendar.days import MonthDay, NthWeekday
from streamsched.domain.refusal import ScheduleError, suggest

_MONTHS: Final = (
    "JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE",
    "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER",
)  # fmt: skip
_WEEKDAYS: Final = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
_ITEM: Final = re.compile(r"(\*|[A-Z0-9]+)(?:-([A-Z0-9]+))?(?:/([0-9]+))?", re.ASCII)
_MONTH_DAY: Final = re.compile(r"(?:L(?:-([0-9]{1,2}))?|([0-9]{1,2})(?=W))(W?)", re.ASCII)
_NTH: Final = re.compile(r"([A-Z]+?|[0-9])(?:L|#([1-5]))", re.ASCII)
FIRST_YEAR, LAST_YEAR = 1970, 2199
TEXT_LIMIT: Final = 2_000
"""Characters of a field: all years, one by one, have less."""


def _by_name(names: tuple[str, ...], first: int) -> dict[str, int]:
    numbered = dict(zip(names, range(first, first + len(names)), strict=True))
    return numbered | {name[:3]: number for name, number in numbered.items()}


@dataclass(frozen=True, slots=True)
class Field:
    """What a field may hold: numbers from low to high, and names for some."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name.replace("_", " ")

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1


SECOND: Final = Field("second", 0, 59)
MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY_OF_MONTH: Final = Field("day_of_month", 1, 31)
MONTH: Final = Field("month", 1, 12, _by_name(_MONTHS, 1))
DAY_OF_WEEK: Final = Field("day_of_week", 0, 6, _by_name(_WEEKDAYS, 0))
YEAR: Final = Field("year", FIRST_YEAR, LAST_YEAR)
FIELDS: Final = (SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR)


@dataclass(frozen=True, slots=True)
class Values:
    """What a field says: sorted numbers, days that each month finds anew, and whether its text begins with ``*``."""

    numbers: tuple[int, ...]
    days: tuple[MonthDay | NthWeekday, ...] = ()
    starred: bool = False


def read(field: Field, text: str) -> Values:
    """Read a field. Raise ScheduleError, without a path, for anything else."""
    if len(text) > TEXT_LIMIT:
        raise ScheduleError(f"has {len(text):,} characters, the limit is {TEXT_LIMIT:,}", "write ranges and steps")
    text = text.strip().upper()
    if text == "?" and field in (DAY_OF_MONTH, DAY_OF_WEEK):
        text = "*"
    numbers: set[int] = set()
    days: list[MonthDay | NthWeekday] = []
    for item in map(str.strip, text.split(",")):
        day = _month_day(item) if field is DAY_OF_MONTH else _nth(item) if field is DAY_OF_WEEK else None
        if day is None:
            numbers.update(_numbers(field, item))
        else:
            days.append(day)
    return Values(tuple(sorted(numbers)), tuple(days), text.startswith("*"))


def _numbers(field: Field, item: str) -> list[int]:
    match = _ITEM.fullmatch(item)
    if match is None or (match[1] == "*" and match[2]):
        raise ScheduleError(f"{item!r} is not a valid {field.label}", _remedy(field, item))
    begin, end, step = match.groups()
    by = int(step) if step and len(step) < 5 else 0 if step else 1
    if not 1 <= by <= max(1, field.size - 1):
        remedy = "@every or an interval steps over more" if field in (SECOND, MINUTE, HOUR) else "name the values"
        raise ScheduleError(f"a step of {step} is not between 1 and {field.size - 1}", remedy)
    low = field.low if begin == "*" else _number(field, begin)
    high = _number(field, end) if end else field.high if begin == "*" or step else low
    if low > high:  # FRI-MON and 22-2 go round
        if field is YEAR:
            raise ScheduleError(f"{item} ends before it begins", "write the earlier year first")
        low = low % 7 if field is DAY_OF_WEEK else low
        high += field.size if low > high else 0
    return [field.low + (value - field.low) % field.size for value in range(low, high + 1, by)]


def _number(field: Field, text: str) -> int:
    number = field.names.get(text)
    if number is None and text.isdigit() and len(text) < 7:
        number = int(text)
    if number is None:
        raise ScheduleError(f"{text!r} is not a valid {field.label}", _remedy(field, text))
    if not field.low <= number <= field.high + (field is DAY_OF_WEEK):
        raise ScheduleError(f"{number} is not between {field.low} and {field.high}", "correct the number")
    return number


def _remedy(field: Field, text: str) -> str:
    if text == "?":
        return "? stands in day fields only; six fields end with the year, seconds make it seven"
    if field is DAY_OF_WEEK and text == "L":
        return "write SAT, or the last of which weekday: FRIL"
    if field.names and text.isalpha():
        return suggest(text, [name for name in field.names if len(name) == 3])
    special = {DAY_OF_MONTH.name: ", L, L-3, LW, 15W", DAY_OF_WEEK.name: ", FRI, FRIL, FRI#3"}.get(field.name, "")
    return f"write *, 5, 5-7, */5 or 1,5{special}" if field is not YEAR else "write *, 2030, 2030-2040 or */4"


def _month_day(item: str) -> MonthDay | None:
    match = _MONTH_DAY.fullmatch(item)
    if match is None:
        return None
    back, day, workday = match.groups()
    if day is not None:
        return MonthDay(_number(DAY_OF_MONTH, day), workday=True)
    if back and int(back) > 30:
        raise ScheduleError(f"no month has a day {item}", "write L-1 to L-30")
    return MonthDay(int(back or 0), from_end=True, workday=bool(workday))


def _nth(item: str) -> NthWeekday | None:
    match = _NTH.fullmatch(item)
    if match is None:
        return None
    return NthWeekday(_number(DAY_OF_WEEK, match[1]) % 7, int(match[2] or 0))
