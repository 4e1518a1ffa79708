"""Reading a schedule's mapping, field by field, with errors that name the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from streamsched.domain import duration
from streamsched.domain.calendar import moment
from streamsched.domain.refusal import FieldPath, ScheduleError, suggest, within

T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)


class Reader:
    """The fields of one mapping. Every method raises ScheduleError for what the field cannot hold."""

    def __init__(self, value: object, known: Sequence[str], path: FieldPath = ()) -> None:
        self._path = path
        if not isinstance(value, Mapping):
            raise ScheduleError("must be an object", "write name: value lines under it", path=path)
        for name in value:
            if name not in known:
                raise ScheduleError(f"unknown field {name}", suggest(str(name), known), path=(*path, str(name)))
        for name, entry in value.items():
            if entry is None:
                raise ScheduleError("is empty", "give it a value, or remove the line", path=(*path, name))
        self.value: Mapping[str, Any] = value

    def parts(self, name: str, read: Callable[[object], T]) -> tuple[T, ...]:
        """Read a part, or a list of parts."""
        value = self.value.get(name, [])
        if not isinstance(value, list | tuple):
            with within(*self._path, name):
                return (read(value),)
        found = []
        for place, entry in enumerate(value):
            with within(*self._path, name, place):
                found.append(read(entry))
        return tuple(found)

    def text(self, name: str) -> str | None:
        """Read a text."""
        value = self.value.get(name)
        if value is not None and not isinstance(value, str):
            raise self._refuse(name, f"must be a string, not {value!r}", "put it in quotes")
        return value

    def choice(self, name: str, among: type[Choice]) -> Choice | None:
        """Read one of a few words."""
        value = self.value.get(name)
        if value is None:
            return None
        words = [str(word) for word in among]
        if value not in words:
            raise self._refuse(name, f"{value!r} is unknown", suggest(str(value), words))
        return among(value)

    def moment(self, name: str) -> int | None:
        """Read a moment, in milliseconds."""
        if name not in self.value:
            return None
        found = moment.read(self.value[name])
        if found is None:
            reason = f"{self.value[name]!r} is not a time with an offset (RFC 3339)"
            raise self._refuse(name, reason, "write 2026-11-23T12:00:00Z or 2026-11-23T12:00:00+01:00")
        return found

    def duration(self, name: str) -> int:
        """Read a duration, in milliseconds; 0 for a missing one."""
        found = duration.read(self.value.get(name, 0))
        if found is None:
            reason = f"{self.value[name]!r} is not a duration"
            raise self._refuse(name, reason, "write 30s, 15m or 1h30m, at most 3650d")
        return found

    def _refuse(self, name: str, reason: str, remedy: str) -> ScheduleError:
        return ScheduleError(reason, remedy, path=(*self._path, name))
