"""Moments: RFC 3339 for people, milliseconds since 1970 (UTC) inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from streamsched.domain.calendar.zone import EPOCH, load

RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)  # an offset is a must


def read(text: object) -> int | None:
    """Read a moment in milliseconds, cut, not rounded; None for what is not an RFC 3339 time with an offset."""
    if not isinstance(text, str) or not RFC_3339.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return (moment - EPOCH) // timedelta(milliseconds=1)


def write(moment_ms: int, zone: str = "UTC") -> str:
    """Write a moment in a zone's time with its offset, ``Z`` for UTC; milliseconds only if there are any.

    RFC 3339 has no seconds in an offset: where a zone had some, the text is in UTC.
    """
    moment = EPOCH + timedelta(milliseconds=moment_ms)
    local = moment.astimezone(load(zone))
    offset = local.utcoffset() or timedelta(0)
    if zone == "UTC" or offset % timedelta(minutes=1):
        local = moment.astimezone(UTC)
    text = local.isoformat(timespec="milliseconds" if moment_ms % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z" if local.tzinfo is UTC else text
