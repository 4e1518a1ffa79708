"""A schedule's times: what its mapping says, checked, and the next of them after any moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, TypeVar

from streamsched.domain.calendar import cron, moment
from streamsched.domain.calendar.assembly import Rules
from streamsched.domain.calendar.calendar import Calendar
from streamsched.domain.calendar.interval import Interval
from streamsched.domain.calendar.pattern import DayMatch
from streamsched.domain.calendar.reading import Reader
from streamsched.domain.calendar.ticks import LIMIT, PATIENCE_LOOKS, Ticks
from streamsched.domain.calendar.zone import Fold, Gap, load
from streamsched.domain.duration import write
from streamsched.domain.placeholders import encode
from streamsched.domain.refusal import ScheduleError, within

_FIELDS: Final = (
    "cron", "calendars", "interval", "exclude", "start", "end", "zone", "gap", "fold", "day_match", "jitter",
)  # fmt: skip
ENTRIES_LIMIT: Final = 500
"""Cron strings, calendars, intervals and exclusions of one schedule: each is asked for every time."""
TEXT_LIMIT: Final = 256 * 1024
"""Characters of a schedule's times as JSON."""
Entry = TypeVar("Entry")
Made = TypeVar("Made")
_EXCLUDED: Final = ("cron", "calendars")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """What is taken out: cron strings and calendars. A time of day that these leave open is any, seconds too."""

    cron: tuple[str, ...] = ()
    calendars: tuple[Calendar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """The union of cron strings, calendars and intervals, less what is excluded, from start to end (inclusive).

    Moments are milliseconds from 1970 in UTC; there are none after 2199. ``zone`` None is UTC, or for each cron string
    the zone that it names. ``gap``, ``fold`` and ``day_match`` None are as the kind of times wants it: where the hour
    begins with ``*`` they follow real time (skip, both), any other runs once a day (shift, first); the day fields of
    cron strings join as in Vixie cron, those of calendars must both hold. One that could never fire cannot be made
    (ScheduleError).
    """

    cron: tuple[str, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    interval: tuple[Interval, ...] = ()
    exclude: Exclusion = Exclusion()
    start_ms: int | None = None
    end_ms: int | None = None
    zone: str | None = None
    gap: Gap | None = None
    fold: Fold | None = None
    day_match: DayMatch | None = None
    jitter_ms: int = 0
    _ticks: Ticks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ticks", self._assemble())
        self._check()

    @property
    def home(self) -> str:
        """The zone in which people think of it: its own, that of the first cron string which names one, or UTC."""
        return self.zone or next((zone for text in self.cron if (zone := cron.read(text).zone)), "UTC")

    @classmethod
    def from_mapping(cls, value: object) -> ScheduleSpec:
        """Read a mapping as it comes from YAML or JSON. Raise ScheduleError with field, cause and remedy."""
        reader = Reader(value, _FIELDS)
        exclude = Reader(reader.value.get("exclude", {}), _EXCLUDED, ("exclude",))
        return cls(
            cron=reader.parts("cron", cron.canonical),
            calendars=reader.parts("calendars", Calendar.read),
            interval=reader.parts("interval", Interval.read),
            exclude=Exclusion(
                cron=exclude.parts("cron", cron.canonical), calendars=exclude.parts("calendars", Calendar.read)
            ),
            start_ms=reader.moment("start"),
            end_ms=reader.moment("end"),
            zone=reader.text("zone"),
            gap=reader.choice("gap", Gap),
            fold=reader.choice("fold", Fold),
            day_match=reader.choice("day_match", DayMatch),
            jitter_ms=reader.duration("jitter"),
        )

    @classmethod
    def from_json(cls, text: str) -> ScheduleSpec:
        """Read what ``to_json`` wrote. Raise ScheduleError for anything else."""
        if len(text) > TEXT_LIMIT:
            raise ScheduleError(f"has {len(text):,} characters, the limit is {TEXT_LIMIT:,}", "make it smaller")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ScheduleError(f"is not JSON ({type(error).__name__})", "give it from its file") from None
        return cls.from_mapping(value)

    def to_mapping(self) -> dict[str, object]:
        """Write the mapping that it can be read from; what is not given stays away."""
        exclude = {"cron": list(self.exclude.cron), "calendars": [each.to_mapping() for each in self.exclude.calendars]}
        fields = {
            "cron": list(self.cron),
            "calendars": [each.to_mapping() for each in self.calendars],
            "interval": [each.to_mapping() for each in self.interval],
            "exclude": {name: entries for name, entries in exclude.items() if entries},
            "start": None if self.start_ms is None else moment.write(self.start_ms),
            "end": None if self.end_ms is None else moment.write(self.end_ms),
            "zone": self.zone,
            "gap": self.gap,
            "fold": self.fold,
            "day_match": self.day_match,
            "jitter": write(self.jitter_ms) if self.jitter_ms else None,
        }
        return {name: entry for name, entry in fields.items() if entry}

    def to_json(self) -> str:
        """Write the canonical JSON: sorted keys, no spaces, ASCII. Equal specs have equal text."""
        return encode(self.to_mapping())

    def next_after(self, moment_ms: int) -> int | None:
        """Return the first of its times strictly after a moment; None if that is after 2199, or none is left."""
        return self._at_or_after(moment_ms + 1)

    def between(self, start_ms: int, end_ms: int) -> Iterator[int]:
        """Yield its times in [start_ms, end_ms), in order, each once."""
        found = self._at_or_after(start_ms)
        while found is not None and found < end_ms:
            yield found
            found = self._at_or_after(found + 1)

    def last_before(self, moment_ms: int, first_ms: int) -> int | None:
        """Return the last of its times in [first_ms, moment_ms) or None; an earlier one if the search is costly."""
        reach, low, until = 1_000, None, self.looks + 4 * PATIENCE_LOOKS
        while low is None:
            start = max(first_ms, moment_ms - reach)
            low = self._at_or_after(start)
            if low is None or low >= moment_ms:
                if start <= first_ms:
                    return None
                low, reach = None, reach * 8
        high = moment_ms
        while high - low > 1 and self.looks < until:
            middle = (low + high) // 2
            found = self._at_or_after(middle)
            if found is None or found >= high:
                high = middle
            else:
                low = found
        return low

    @property
    def looks(self) -> int:
        """What all searches in it have cost by now; see ``Ticks``."""
        return self._ticks.looks

    def due(self, schedule_id: str, nominal_ms: int) -> int:
        """Return when the tick of a nominal time is due: up to ``jitter_ms`` later, by a hash of schedule and time.

        The delay stays below the distance to the next time, so that ticks never change their order.
        """
        if not self.jitter_ms:
            return nominal_ms
        following = self.next_after(nominal_ms)
        bound = self.jitter_ms if following is None else min(self.jitter_ms, following - nominal_ms)
        salt = f"{schedule_id}@{nominal_ms}"
        draw = int.from_bytes(sha256(salt.encode(errors="surrogatepass")).digest()[:8])
        return nominal_ms + (draw * bound >> 64)

    def _at_or_after(self, moment_ms: int) -> int | None:
        if self.start_ms is not None:
            moment_ms = max(moment_ms, self.start_ms)
        found = self._ticks.at_or_after(moment_ms)
        return None if found is None or (self.end_ms is not None and found > self.end_ms) else found

    def _assemble(self) -> Ticks:
        if self.zone is not None:
            with within("zone"):
                load(self.zone)
        entries = (self.cron, self.calendars, self.interval, self.exclude.cron, self.exclude.calendars)
        if (count := sum(map(len, entries))) > ENTRIES_LIMIT:
            reason = f"has {count:,} entries (cron, calendars, interval, exclude), the limit is {ENTRIES_LIMIT}"
            raise ScheduleError(reason, "join them: one entry may name several hours, days and months")
        rules = Rules(zone=self.zone, gap=self.gap, fold=self.fold, day_match=self.day_match)
        sources = [
            *_each(self.cron, rules.of_cron, "cron"),
            *_each(self.calendars, rules.of_calendar, "calendars"),
            *self.interval,
        ]
        if not sources:
            raise ScheduleError("there are no times", "add cron, calendars or interval")
        return Ticks(
            sources,
            [
                *_each(self.exclude.cron, rules.out_by_cron, "exclude", "cron"),
                *_each(self.exclude.calendars, rules.out_by_calendar, "exclude", "calendars"),
            ],
        )

    def _check(self) -> None:
        for name, value in (("start", self.start_ms), ("end", self.end_ms)):
            if value is not None and not 0 <= value < LIMIT * 1000:
                raise ScheduleError("is not between 1970 and 2199", "correct the year", path=(name,))
        if self.start_ms is not None and self.end_ms is not None and self.end_ms < self.start_ms:
            raise ScheduleError("is before the start", "exchange them, or correct one", path=("end",))
        if self._at_or_after(0) is None:
            reason = "never fires: nothing is left between start and end, less what is excluded"
            raise ScheduleError(reason, "widen start and end, or exclude less")


def _each(entries: Iterable[Entry], make: Callable[[Entry], Made], *path: str) -> Iterator[Made]:
    for place, entry in enumerate(entries):
        with within(*path, place):
            yield make(entry)
