"""From patterns and intervals to moments: in a zone, joined, and without what is excluded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from streamsched.domain.calendar.fields import LAST_YEAR
from streamsched.domain.calendar.pattern import DAY, Pattern
from streamsched.domain.calendar.zone import EPOCH, SPAN, Fold, Gap, stretches

LIMIT: Final = (datetime(LAST_YEAR + 1, 1, 1, tzinfo=EPOCH.tzinfo) - EPOCH).days * DAY
"""Seconds from 1970 at which every search ends."""
PATIENCE: Final = 100_000
"""Excluded moments in a row after which a search gives up."""


class Source(Protocol):
    """Something that has moments."""

    def at_or_after(self, moment_ms: int) -> int | None:
        """Find its first moment that is not before ``moment_ms``; None if there is none."""


@dataclass(frozen=True, slots=True)
class ZonedPattern:
    """A pattern of wall times in a zone."""

    pattern: Pattern
    zone: str
    gap: Gap
    fold: Fold

    def at_or_after(self, moment_ms: int) -> int | None:
        """Find its first moment that is not before ``moment_ms``; None if there is none until 2199."""
        instant = max(0, -(-moment_ms // 1000))
        while instant < LIMIT:
            found, beyond = None, LIMIT
            for begin, end, offset in stretches(self.zone, self.gap, self.fold, instant >> SPAN):
                if end <= instant:
                    continue
                if found is not None and found <= begin:
                    break
                wall = self.pattern.at_or_after(max(begin, instant) + offset)
                if wall is None:
                    continue
                if wall - offset < end:
                    found = wall - offset if found is None else min(found, wall - offset)
                else:
                    beyond = min(beyond, wall - offset)
            if found is not None:
                return found * 1000 if found < LIMIT else None
            # No offset differs from another by more than two days.
            instant = max((instant >> SPAN) + 1 << SPAN, beyond - 2 * DAY)
        return None

    def end_of_run(self, moment_ms: int) -> int:
        """Find a moment up to which it has every second; ``moment_ms`` itself if it has not that one."""
        instant = moment_ms // 1000
        for begin, end, offset in stretches(self.zone, self.gap, self.fold, instant >> SPAN):
            wall = instant + offset
            if begin <= instant < end and wall in self.pattern:
                return min(end, self.pattern.end_of_run(wall) - offset) * 1000
        return moment_ms


@dataclass(frozen=True, slots=True)
class Ticks:
    """The moments of any source that no exclusion has, each once."""

    sources: Sequence[Source]
    exclude: Sequence[ZonedPattern] = ()

    def at_or_after(self, moment_ms: int) -> int | None:
        """Find the first moment that is not before ``moment_ms``; None if there is none until 2199.

        None too where 100,000 times in a row are excluded: a search must end.
        """
        for _ in range(PATIENCE):
            found = [at for source in self.sources if (at := source.at_or_after(moment_ms)) is not None]
            if not found or min(found) >= LIMIT * 1000:
                return None
            first = min(found)
            moment_ms = max((pattern.end_of_run(first) for pattern in self.exclude), default=first)
            if moment_ms == first:
                return first
        return None
