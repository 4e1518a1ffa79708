"""Durations as people write them: ``500ms``, ``30s``, ``1h30m``, ``3d``; inside they are milliseconds."""

from __future__ import annotations

import re
from typing import Final

LONGEST_MS: Final = 3650 * 86_400_000
"""The longest duration that can be written."""
TEXT: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def read(value: object) -> int | None:
    """Read a duration, or a number of seconds, as milliseconds; None for anything else, and for more than 3650d."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        milliseconds = value * 1000
    elif isinstance(value, str) and value and (match := TEXT.fullmatch(value)):
        parts = zip(match.groups(), _UNITS.values(), strict=True)
        milliseconds = sum(float(number) * unit for number, unit in parts if number)
    else:
        return None
    if not 0 <= milliseconds <= LONGEST_MS or 0 < milliseconds < 1:
        return None
    return round(milliseconds)


def write(milliseconds: int) -> str:
    """Write milliseconds so that ``read`` finds the same: ``1h30m``; nothing is ``0s``."""
    text = ""
    for sign, unit in _UNITS.items():
        count, milliseconds = divmod(milliseconds, unit)
        text += f"{count}{sign}" if count else ""
    return text or "0s"
