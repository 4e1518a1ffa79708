"""From what a schedule says to the sources of its moments, each in its zone and with its rule for gaps and folds."""

from __future__ import annotations

from dataclasses import dataclass

from streamsched.domain.calendar import cron, zone
from streamsched.domain.calendar.calendar import Calendar
from streamsched.domain.calendar.interval import Interval
from streamsched.domain.calendar.pattern import DayMatch, Pattern
from streamsched.domain.calendar.ticks import Source, ZonedPattern
from streamsched.domain.calendar.zone import Fold, Gap
from streamsched.domain.refusal import ScheduleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How wall times become moments; None leaves it to the kind of times."""

    zone: str | None = None
    gap: Gap | None = None
    fold: Fold | None = None
    day_match: DayMatch | None = None

    def of_cron(self, text: str) -> Source:
        """Make the source of a cron string."""
        own, times = self._read(text)
        if isinstance(times, Interval):
            return times
        return self._zoned(times.pattern(self.day_match or DayMatch.OR), own, self.fold)

    def of_calendar(self, calendar: Calendar) -> Source:
        """Make the source of a calendar."""
        return self._zoned(calendar.pattern(self.day_match or DayMatch.AND), None, self.fold)

    def out_by_cron(self, text: str) -> ZonedPattern:
        """Make what a cron string excludes: each of its minutes as a whole, the first and the second time."""
        own, times = self._read(text)
        if isinstance(times, Interval):
            raise ScheduleError("an interval cannot be excluded", "exclude wall times")
        return self._zoned(times.pattern(self.day_match or DayMatch.OR, whole=True), own, Fold.BOTH)

    def out_by_calendar(self, calendar: Calendar) -> ZonedPattern:
        """Make what a calendar excludes: where it leaves the time of day open, all day."""
        return self._zoned(calendar.pattern(self.day_match or DayMatch.AND, whole=True), None, Fold.BOTH)

    def _read(self, text: str) -> tuple[str | None, Calendar | Interval]:
        own, times = cron.read(text)
        if own is not None:
            zone.load(own)
        if own is not None and self.zone is not None:
            reason = f"names the zone {own}, and the field zone names {self.zone}"
            raise ScheduleError(reason, "keep one of them")
        return own, times

    def _zoned(self, pattern: Pattern, own: str | None, fold: Fold | None) -> ZonedPattern:
        zoned = ZonedPattern(
            pattern,
            own or self.zone or "UTC",
            self.gap or (Gap.SKIP if pattern.follows_time else Gap.SHIFT),
            fold or (Fold.BOTH if pattern.follows_time else Fold.FIRST),
        )
        if zoned.at_or_after(0) is None:
            reason = "never comes: none of its months has such a day, or no day such a time"
            raise ScheduleError(reason, "correct its days and months")
        return zoned
