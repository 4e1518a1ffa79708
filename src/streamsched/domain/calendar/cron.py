"""Cron strings: five fields, six with a year, seven with seconds and year, and the short forms that begin with @."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from streamsched.domain.calendar.calendar import Calendar
from streamsched.domain.calendar.interval import Interval
from streamsched.domain.refusal import ScheduleError, suggest

MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ZONE: Final = re.compile(r"(?:CRON_TZ|TZ)=(\S*) ?(.*)")
_ORDER: Final = ("minute", "hour", "day_of_month", "month", "day_of_week", "year")


class Cron(NamedTuple):
    """What a cron string says: a calendar or an interval, and a zone if one stands in it."""

    zone: str | None
    times: Calendar | Interval


def canonical(value: object) -> str:
    """Check that a value is a text, and write it with single spaces. Raise ScheduleError."""
    if not isinstance(value, str):
        raise ScheduleError(f"{value!r} is not a cron string", 'write "0 3 * * *", in quotes')
    return " ".join(value.split())


def read(text: str) -> Cron:
    """Cut a cron string into its fields; the calendar's pattern reads these. Raise ScheduleError for anything else."""
    zone = None
    if prefix := _ZONE.fullmatch(text):
        zone, text = prefix.groups()
    if text.startswith("@"):
        return Cron(zone, _short(text))
    words = text.split()
    if not 5 <= len(words) <= 7:
        reason = f"{text!r} has {len(words)} field{'' if len(words) == 1 else 's'}"
        remedy = "write minute hour day month weekday, then perhaps a year; seconds before them make it seven"
        raise ScheduleError(reason, remedy)
    seconds = {"second": words.pop(0)} if len(words) == 7 else {}
    return Cron(zone, Calendar(**seconds, **dict(zip(_ORDER, words, strict=False))))


def _short(text: str) -> Calendar | Interval:
    name, *more = text.split()
    if name.lower() == "@every" and len(more) == 1:
        try:
            return Interval.read(more[0])
        except ScheduleError as error:
            raise ScheduleError(error.reason, error.remedy) from None
    if name.lower() == "@reboot":
        raise ScheduleError("@reboot is not a time", "submit the task when the machine starts")
    macro = MACROS.get(name.lower())
    if macro is None or more:
        known = [*MACROS, "@every"]
        remedy = "write @every 15m or @every 15m/3m" if name.lower() == "@every" else suggest(name.lower(), known)
        raise ScheduleError(f"{text!r} is not a short form", remedy)
    return Calendar(**dict(zip(_ORDER, macro.split(), strict=False)))
