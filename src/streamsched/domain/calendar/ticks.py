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
PATIENCE: Final = 20_000
"""Excluded stretches in a row after which a search gives up."""
STEP_LOOKS: Final = 20
"""What a search costs at each moment besides its looks at all sources: one of them has to find its next moment."""
PATIENCE_LOOKS: Final = 500_000
"""Looks after which a search gives up."""


class Source(Protocol):
    """Something that has moments."""

    def at_or_after(self, moment_ms: int) -> int | None:
        """Return its first moment that is not before ``moment_ms``, if it has one."""


@dataclass(frozen=True, slots=True)
class ZonedPattern:
    """A pattern of wall times in a zone."""

    pattern: Pattern
    zone: str
    gap: Gap
    fold: Fold

    def at_or_after(self, moment_ms: int) -> int | None:
        """Return its first moment that is not before ``moment_ms``; None if that is after 2199."""
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
        """Return a moment up to which it has every second; ``moment_ms`` itself if it has not that one."""
        instant = moment_ms // 1000
        for begin, end, offset in stretches(self.zone, self.gap, self.fold, instant >> SPAN):
            wall = instant + offset
            if begin <= instant < end and wall in self.pattern:
                return min(end, self.pattern.end_of_run(wall) - offset) * 1000
        return moment_ms


class Ticks:
    """The moments of any source that no exclusion has, each once.

    ``looks`` counts what searches have cost: at each moment one for each source and exclusion, and ``STEP_LOOKS``.
    """

    def __init__(self, sources: Sequence[Source], exclude: Sequence[ZonedPattern] = ()) -> None:
        self._sources = [_Ahead(source) for source in sources]
        self._exclude = [(_Ahead(pattern), pattern) for pattern in exclude]
        self._step = len(sources) + len(exclude) + STEP_LOOKS
        self._patience = min(PATIENCE, PATIENCE_LOOKS // self._step)
        self.looks = 0

    def at_or_after(self, moment_ms: int) -> int | None:
        """Return the first moment that is not before ``moment_ms``; None if that is after 2199.

        None too where 20,000 stretches in a row are excluded, fewer where there are many entries: a search must end.
        """
        for _ in range(self._patience):
            self.looks += self._step
            first = min((at for source in self._sources if (at := source(moment_ms)) is not None), default=None)
            if first is None or first >= LIMIT * 1000:
                return None
            moment_ms = max(
                (pattern.end_of_run(first) for ahead, pattern in self._exclude if ahead(first) == first), default=first
            )
            if moment_ms == first:
                return first
        return None


class _Ahead:
    """A source that remembers its last answer: of many, few have to search anew for the next moment."""

    __slots__ = ("_known", "_source")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: tuple[int, float] = (1, 0)

    def __call__(self, moment_ms: int) -> int | None:
        asked, found = self._known
        if not asked <= moment_ms <= found:
            at = self._source.at_or_after(moment_ms)
            self._known = moment_ms, float("inf") if at is None else at
            return at
        return None if found == float("inf") else int(found)
