"""Time zones, cut into stretches in which the wall clock runs evenly.

The rules come from the ``tzdata`` package alone, never from the machine: all nodes have the same, by its version.
Instants and wall times are whole seconds: an instant counts from 1970 in UTC, a wall time is its instant + offset.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from streamsched.domain.refusal import ScheduleError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SPAN: Final = 25
"""Stretches are found for 2**25 seconds (a bit more than a year) at a time."""
PROBE: Final = 3 * 86_400
"""Seconds between two looks at an offset: no zone has changed it and changed it back within that (a test)."""


class Gap(StrEnum):
    """What becomes of a wall time that a day does not have: nothing, or as much later as the clock was put on."""

    SKIP = "skip"
    SHIFT = "shift"


class Fold(StrEnum):
    """Which instants a wall time stands for that a day has twice."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class Stretch(NamedTuple):
    """The instants ``begin <= instant < end`` at which it is ``instant + offset`` on the wall."""

    begin: int
    end: int
    offset: int


@cache
def names() -> frozenset[str]:
    """Return the names of all zones."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split()) - {"Factory"}


@cache
def load(name: str) -> ZoneInfo:
    """Load a zone. Raise ScheduleError, with the nearest names, for an unknown name."""
    if name not in names():
        raise ScheduleError(f"there is no zone {name!r}", _meant(name))
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _meant(name: str) -> str:
    by_word: dict[str, list[str]] = {}
    for known in names():
        for word in {known.casefold(), known.casefold().rpartition("/")[2]}:
            by_word.setdefault(word, []).append(known)
    wanted = name.casefold().replace(" ", "_")
    near = [known for word in get_close_matches(wanted, by_word, n=3, cutoff=0.75) for known in sorted(by_word[word])]
    if not near:
        return "write an IANA name such as Europe/Berlin"
    return f"did you mean {' or '.join(list(dict.fromkeys(near))[:3])}?"


@lru_cache(maxsize=4096)
def stretches(name: str, gap: Gap, fold: Fold, span: int) -> tuple[Stretch, ...]:
    """Cut the instants with ``instant >> SPAN == span`` into stretches, in order of their begin.

    Gap and fold are applied. Where the clock is put on and times shift, the old offset lasts for the length of the gap,
    so that its stretch overlaps the next. Where it is put back, the repeated wall times are cut from the end of the
    former stretch or from the begin of the latter, unless both count.
    """
    first, last = span << SPAN, (span + 1) << SPAN
    edges, offsets = _changes(name, first - PROBE, last + PROBE)
    found = []
    for place, offset in enumerate(offsets):
        begin, end = edges[place], edges[place + 1]
        if place > 0 and fold is Fold.FIRST:
            begin += max(0, offsets[place - 1] - offset)
        if place + 1 < len(offsets):
            rise = offsets[place + 1] - offset
            if (rise > 0 and gap is Gap.SHIFT) or (rise < 0 and fold is Fold.SECOND):
                end += rise
        begin, end = max(begin, first), min(end, last)
        if begin < end:
            found.append(Stretch(begin, end, offset))
    return tuple(found)


def _changes(name: str, begin: int, end: int) -> tuple[list[int], list[int]]:
    """Return the offsets from begin to end, and the instants around each: one more."""
    zone = load(name)
    edges, offsets = [begin], [_offset(zone, begin)]
    for late in range(begin + PROBE, end + PROBE, PROBE):
        after = _offset(zone, late)
        if after == offsets[-1]:
            continue
        early = late - PROBE
        while late - early > 1:
            middle = (early + late) // 2
            if _offset(zone, middle) == after:
                late = middle
            else:
                early = middle
        edges.append(late)
        offsets.append(after)
    edges.append(max(end, edges[-1]))
    return edges, offsets


def _offset(zone: ZoneInfo, instant: int) -> int:
    offset = (EPOCH + timedelta(seconds=instant)).astimezone(zone).utcoffset()
    return offset // timedelta(seconds=1) if offset else 0
