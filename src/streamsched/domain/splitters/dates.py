"""``split.dates``: the hours, days, weeks or months of a stretch of time, half-open, in a time zone."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from streamsched.domain.placeholders import check_known, encode, parse, references, text_of
from streamsched.domain.refusal import FieldPath, ScheduleError, TemplateError, suggest
from streamsched.domain.splitters.port import Input, Params, Splitter, require_integers

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
EVERY: Final = (*_UNITS, "month")
_SHORTEST_MONTH: Final = timedelta(days=28)
TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d)?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_YEARS: Final = range(1900, 2199)
_EXAMPLES: Final = {"start": "2024-01-31", "end": "2024-12-31T06:00", "every": "day", "zone": "Europe/Berlin"}


class DatesCut:
    """One child for each unit from ``start`` to ``end``: ISO 8601, as wall times of ``zone`` where without an offset.

    Days, weeks and months go by the wall clock: a day has 23 or 25 hours where the clock is changed. Hours go by the
    time that passes. A time that a zone leaves out is as much later as the clock was put on, and of one that it has
    twice the first is meant. Months begin on the day of ``start``, or on their last.
    """

    __slots__ = ("_begin", "_end", "_every", "_given", "_start", "_wanted", "_zone", "children")

    def __init__(
        self,
        wanted: Collection[str],
        start: str,
        end: str,
        every: str,
        zone: str,
        begin: int = 0,
        count: int | None = None,
    ) -> None:
        self._given = {"start": start, "end": end, "every": every, "zone": zone}
        self._zone = zone
        self._start = self._wall(start)
        self._end = self._instant(self._wall(end))
        self._every = every
        self._wanted = wanted
        self._begin = begin
        self.children = self._count() if count is None else count
        require_integers(begin, self.children)

    def variables(self, index: int) -> dict[str, object]:
        """Return the wanted variables: times in RFC 3339 with the zone's offset, and the date of the start there."""
        from streamsched.domain.calendar import moment

        start = self._border(index)
        ends = [start, min(self._border(index + 1), self._end)]
        first, last = (moment.write((each - _EPOCH) // timedelta(milliseconds=1), self._zone) for each in ends)
        texts = {"start": first, "end": last, "date": self._local(start).date().isoformat()}
        return {key: index if key == "index" else self._text(key, texts) for key in self._wanted}

    def widths(self) -> dict[str, int]:
        """Return the widths: all times have one but those in UTC."""
        widest = {"start": "2000-01-01T00:00:00+00:00", "end": "2000-01-01T00:00:00+00:00", "date": "2000-01-01"}
        last = len(str(self._begin + self.children))
        return {key: last if key == "index" else len(self._text(key, widest)) for key in self._wanted}

    def weight(self, index: int) -> int:
        """Return 1: a child has one unit."""
        return 1

    def slice(self, first: int, last: int) -> Input:
        """Return the whole stretch, and which of its children are meant."""
        return {**self._given, "begin": first, "count": last - first + 1}

    def _count(self) -> int:
        # Two for the ends, and a third where a zone skips a whole day.
        most = (self._end - self._border(0)) // _UNITS.get(self._every, _SHORTEST_MONTH) + 3
        return bisect_left(range(max(0, most)), self._end, key=self._border)

    def _border(self, index: int) -> datetime:
        """Return the instant at which child ``index`` begins and the one before it ends."""
        if self._every == "hour":
            return self._instant(self._start) + index * _UNITS["hour"]
        if index == 0:
            return self._instant(self._start)  # the second of two equal wall times, where its offset said so
        if self._every == "month":
            return self._instant(_months_later(self._start, index))
        return self._instant(self._start + index * _UNITS[self._every])

    def _wall(self, text: str) -> datetime:
        time = datetime.fromisoformat(text.upper())
        return time if time.tzinfo is None else self._local(time).replace(tzinfo=None)

    def _local(self, time: datetime) -> datetime:
        from streamsched.domain.calendar.zone import load

        return time.astimezone(load(self._zone))

    def _instant(self, wall: datetime) -> datetime:
        from streamsched.domain.calendar.zone import load

        return wall.replace(tzinfo=load(self._zone)).astimezone(UTC)

    @staticmethod
    def _text(key: str, texts: Mapping[str, str]) -> str:
        name, inside, _ = key.partition("~")
        return texts[name] if inside else encode(texts[name])


def _months_later(wall: datetime, months: int) -> datetime:
    number = wall.year * 12 + wall.month - 1 + months
    first = wall.replace(year=number // 12, month=number % 12 + 1, day=1, fold=0)
    last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(wall.day, last.day))


@dataclass(frozen=True, slots=True, kw_only=True)
class DatesSplit(Splitter):
    """The units of ``start <= time < end``: texts, or texts with placeholders. ``every``: hour, day, week or month."""

    kind = "dates"
    level = 2
    cut = DatesCut
    variables = frozenset({"index", "start", "end", "date"})
    texts = frozenset({"start", "end", "date"})

    start: str
    end: str
    every: str = "day"
    zone: str = "UTC"

    def check(self, params: Params) -> None:
        """Refuse what is not a text, and what is wrong without a placeholder."""
        for name in _EXAMPLES:
            path, value = ("split", "dates", name), getattr(self, name)
            if not isinstance(value, str):
                raise TemplateError(f"must be a text, not {value!r}"[:200], f"write {_EXAMPLES[name]}", path=path)
            for where, variable in references(value, path):
                check_known(variable, where, params, "split")
            if not any(references(value, path)):
                _check(name, "".join(map(str, parse(value))), path)

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Fill in the placeholders. Raise TemplateError for what then is not a time, a unit or a zone."""
        return {name: _resolved(name, getattr(self, name), params) for name in _EXAMPLES}


def _resolved(name: str, value: str, params: Mapping[str, object]) -> str:
    path = ("split", "dates", name)
    text = "".join(piece if isinstance(piece, str) else text_of(params[piece.name]) for piece in parse(value, path))
    _check(name, text, path)
    return text


def _check(name: str, text: str, path: FieldPath) -> None:
    if name == "every":
        if text not in EVERY:
            raise TemplateError(f"{text[:50]!r} is not a unit", suggest(text, EVERY), path=path)
    elif name == "zone":
        from streamsched.domain.calendar.zone import load

        try:
            load(text)
        except ScheduleError as error:
            raise TemplateError(error.reason, error.remedy, path=path) from None
    elif not _is_time(text):
        reason = f"{text[:50]!r} is not a time from {_YEARS[0]} to {_YEARS[-1]}"
        raise TemplateError(reason, "write 2024-01-31, 2024-01-31T06:00 or 2024-01-31T06:00:00Z", path=path)


def _is_time(text: str) -> bool:
    try:
        return bool(TIME.fullmatch(text)) and datetime.fromisoformat(text.upper()).year in _YEARS
    except ValueError:
        return False
