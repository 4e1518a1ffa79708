"""When a schedule fires, worked out the slow way: every wall time of every day is held against the text of each field.

It shares no code with the domain: its own reading of fields, its own way from wall times to instants (a wall time that
zoneinfo does not give back does not exist).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDER = ("second", "minute", "hour", "day_of_month", "month", "day_of_week", "year")
RANGES = {"second": (0, 59), "minute": (0, 59), "hour": (0, 23), "day_of_month": (1, 31), "month": (1, 12),
          "day_of_week": (0, 6), "year": (1970, 2199)}  # fmt: skip
NAMES = {
    "month": {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name},
    "day_of_week": dict(zip(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], range(7), strict=True)),
}
SHORT = {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * SUN",
         "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}  # fmt: skip
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@cache
def zone_of(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def length_ms(text: str) -> int:
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhd])", text))


def value_of(name: str, text: str) -> int:
    return NAMES.get(name, {})[text] if text.isalpha() else int(text)


@cache
def holds(name: str, text: str, value: int) -> bool:
    """Return whether a plain field (no L, W, #) holds for a value: it lies in a range, or in one that goes round."""
    low, high = RANGES[name]
    size = high - low + 1
    for item in text.upper().split(","):
        span, _, step = item.partition("/")
        begin, _, end = span.partition("-")
        if begin in ("*", "?"):
            begin, end = str(low), str(high)
        elif step and not end:
            end = str(high)
        first = value_of(name, begin)
        last = value_of(name, end or begin)
        last += size if last < first else 0
        if any(first <= at <= last and (at - first) % int(step or 1) == 0 for at in (value, value + size)):
            return True
    return False


def workday_near(year: int, month: int, day: int) -> int:
    last = calendar.monthrange(year, month)[1]
    near = sorted(range(max(1, day - 2), min(last, day + 2) + 1), key=lambda other: (abs(other - day), other))
    return next(other for other in near if date(year, month, other).isoweekday() < 6)


def month_day_holds(text: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    for item in text.upper().split(","):
        special = re.fullmatch(r"L(?:-(\d+))?(W?)|(\d+)(W)", item)
        if special is None:
            if holds("day_of_month", item, day.day):
                return True
            continue
        wanted = int(special[3]) if special[3] else last - int(special[1] or 0)
        if 1 <= wanted <= last:
            wanted = workday_near(day.year, day.month, wanted) if special[2] or special[4] else wanted
            if day.day == wanted:
                return True
    return False


def weekday_holds(text: str, day: date) -> bool:
    weekday = day.isoweekday() % 7
    last = calendar.monthrange(day.year, day.month)[1]
    for item in text.upper().split(","):
        special = re.fullmatch(r"([A-Z]{3}|\d)(L|#\d)", item)
        if special is None:
            if holds("day_of_week", item, weekday):
                return True
        elif value_of("day_of_week", special[1]) % 7 == weekday:
            if special[2] == "L" and day.day + 7 > last:
                return True
            if special[2] != "L" and (day.day + 6) // 7 == int(special[2][1]):
                return True
    return False


class Wall:
    """One calendar or cron string: its texts, and how its days join."""

    def __init__(self, texts: Mapping[str, str], day_match: str, zone: str) -> None:
        self.texts = texts
        starred = texts["day_of_month"][0] in "*?" or texts["day_of_week"][0] in "*?"
        self.either = day_match == "or" and not starred
        self.zone = zone_of(zone)
        self.follows_time = texts["hour"].startswith("*")

    def day(self, day: date) -> bool:
        if not holds("year", self.texts["year"], day.year) or not holds("month", self.texts["month"], day.month):
            return False
        both = [month_day_holds(self.texts["day_of_month"], day), weekday_holds(self.texts["day_of_week"], day)]
        return any(both) if self.either else all(both)

    @cached_property
    def times(self) -> list[timedelta]:
        """Every time of day."""
        hours, minutes, seconds = (
            [value for value in range(RANGES[name][1] + 1) if holds(name, self.texts[name], value)]
            for name in ("hour", "minute", "second")
        )
        return [
            timedelta(hours=hour, minutes=minute, seconds=second)
            for hour in hours
            for minute in minutes
            for second in seconds
        ]

    def instants(self, first: date, last: date, gap: str | None, fold: str | None) -> Iterator[datetime]:
        """Walk the instants of the days from first to last, in no order."""
        gap = gap or ("skip" if self.follows_time else "shift")
        fold = fold or ("both" if self.follows_time else "first")
        for number in range(first.toordinal(), last.toordinal() + 1):
            day = date.fromordinal(number)
            if not self.day(day):
                continue
            for time in self.times:
                wall = datetime(day.year, day.month, day.day) + time  # noqa: DTZ001
                early = wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)
                late = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
                if early.astimezone(self.zone).replace(tzinfo=None, fold=0) != wall:
                    if gap == "shift":
                        yield early  # the offset from before the gap: as much later as the clock was put on
                elif early == late:
                    yield early
                else:
                    yield from {"first": [early], "second": [late], "both": [early, late]}[fold]

    def has(self, moment: datetime) -> bool:
        """Return whether the wall clock shows one of its times."""
        return self.shows(moment.astimezone(self.zone))

    def shows(self, wall: datetime) -> bool:
        """Return whether all fields hold for a wall time."""
        time = ((name, getattr(wall, name)) for name in ("hour", "minute", "second"))
        return all(holds(name, self.texts[name], value) for name, value in time) and self.day(wall.date())


def aslist(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def wall_of(entry: Any, spec: Mapping[str, Any], whole: bool) -> Wall | tuple[int, int]:
    """Read a cron string or a calendar; of ``@every`` its interval and phase."""
    small = "*" if whole else "0"
    zone = spec.get("zone", "UTC")
    if not isinstance(entry, str):
        texts = dict.fromkeys(ORDER, "*") | dict.fromkeys(("second", "minute", "hour"), small)
        given = {name: ",".join(map(str, aslist(value))) for name, value in entry.items()}
        return Wall(texts | given, spec.get("day_match", "and"), zone)
    if entry.startswith(("TZ=", "CRON_TZ=")):
        prefix, entry = entry.split(None, 1)
        zone = prefix.partition("=")[2]
    if entry.startswith("@every"):
        every, _, phase = entry.split()[1].partition("/")
        return length_ms(every), length_ms(phase)
    words = SHORT.get(entry, entry).split()
    words = [small, *words, "*"] if len(words) == 5 else [small, *words] if len(words) == 6 else words
    return Wall(dict(zip(ORDER, words, strict=True)), spec.get("day_match", "or"), zone)


def every_tick(spec: Mapping[str, Any], begin: datetime, end: datetime) -> list[datetime]:
    """List the times of a spec in [begin, end), in order, each once."""
    first, last = (begin - timedelta(days=3)).date(), (end + timedelta(days=3)).date()
    gap, fold = spec.get("gap"), spec.get("fold")
    found: set[datetime] = set()
    intervals = []
    for entry in [*aslist(spec.get("cron", [])), *aslist(spec.get("calendars", []))]:
        wall = wall_of(entry, spec, whole=False)
        if isinstance(wall, Wall):
            found.update(wall.instants(first, last, gap, fold))
        else:
            intervals.append(wall)
    for entry in aslist(spec.get("interval", [])):
        every, _, phase = (
            entry.partition("/") if isinstance(entry, str) else (entry["every"], "", entry.get("phase", ""))
        )
        intervals.append((length_ms(every), length_ms(phase)))
    for every_ms, phase_ms in intervals:
        turn = (begin - EPOCH) // timedelta(milliseconds=every_ms) - 1
        while (at := EPOCH + timedelta(milliseconds=turn * every_ms + phase_ms)) < end:
            found.add(at)
            turn += 1
    exclude = spec.get("exclude", {})
    for entry in [*aslist(exclude.get("cron", [])), *aslist(exclude.get("calendars", []))]:
        wall = wall_of(entry, spec, whole=True)
        assert isinstance(wall, Wall)
        found = {at for at in found if not wall.has(at)}
        if (gap or ("skip" if wall.follows_time else "shift")) == "shift":
            found -= {moved for moved in found if moved_into(wall, moved)}
    begin = max(begin, datetime.fromisoformat(spec["start"])) if "start" in spec else begin
    if "end" in spec:
        end = min(end, datetime.fromisoformat(spec["end"]) + timedelta(milliseconds=1))
    return sorted(at for at in found if begin <= at < end)


def moved_into(wall: Wall, moment: datetime) -> bool:
    """Return whether an excluded wall time that does not exist is moved to a moment."""
    here = moment.astimezone(wall.zone)
    if (moment - timedelta(days=1)).astimezone(wall.zone).utcoffset() == here.utcoffset():
        return False
    earlier = {(moment - timedelta(minutes=30 * steps)).astimezone(wall.zone).utcoffset() for steps in range(49)}
    for offset in earlier:
        assert offset is not None
        missing = (moment + offset).replace(tzinfo=None, microsecond=0)
        moved = missing.replace(tzinfo=wall.zone, fold=0).astimezone(UTC)
        if moved.astimezone(wall.zone).replace(tzinfo=None) == missing or moved != moment.replace(microsecond=0):
            continue
        if wall.shows(missing):
            return True
    return False
