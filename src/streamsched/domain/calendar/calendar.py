"""A calendar: seven fields of text, of which a pattern of wall times is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streamsched.domain.calendar import fields
from streamsched.domain.calendar.pattern import DayMatch, Pattern
from streamsched.domain.refusal import ScheduleError, suggest, within

_NAMES: Final = tuple(field.name for field in fields.FIELDS)
_ON_THE_DOT: Final = {"second": "0", "minute": "0", "hour": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The fields as text, in the grammar of cron; None for one that is not given."""

    second: str | None = None
    minute: str | None = None
    hour: str | None = None
    day_of_month: str | None = None
    month: str | None = None
    day_of_week: str | None = None
    year: str | None = None

    @classmethod
    def read(cls, value: object) -> Calendar:
        """Read ``{hour: 3, minute: [0, 30], day_of_week: MON-FRI}``. Raise ScheduleError with the field."""
        if not isinstance(value, Mapping):
            raise ScheduleError(f"{value!r} is not a calendar", "write {hour: 3, minute: 30}")
        for name in value:
            if name not in _NAMES:
                raise ScheduleError(f"unknown field {name}", suggest(str(name), _NAMES), path=(str(name),))
        return cls(**{name: _text(name, entry) for name, entry in value.items()})

    def to_mapping(self) -> dict[str, object]:
        """Write the mapping that it can be read from."""
        return {name: text for name in _NAMES if (text := getattr(self, name)) is not None}

    def pattern(self, day_match: DayMatch, *, whole: bool = False) -> Pattern:
        """Make the pattern; a missing field is any, but a time of day is 0 unless ``whole``. Raise ScheduleError."""
        values = {}
        for field in fields.FIELDS:
            text = getattr(self, field.name)
            if text is None:
                text = "*" if whole else _ON_THE_DOT.get(field.name, "*")
            with within(field.name):
                values[field.name] = fields.read(field, text)
        return Pattern(values, day_match)


def _text(name: str, value: object) -> str:
    entries = value if isinstance(value, list | tuple) else [value]
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, int | str):
            raise ScheduleError(
                f"{entry!r} is not a valid {name}", "write a number, a text or a list of them", path=(name,)
            )
    if not entries:
        raise ScheduleError("the list is empty", "name a value, or remove the line for the default", path=(name,))
    return ",".join(str(entry).strip().upper() for entry in entries)
