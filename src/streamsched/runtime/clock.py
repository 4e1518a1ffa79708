"""Time comes in from outside: wall time for what events say and what is due, monotonic time for waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> int:
        """Wall time in milliseconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds that only ever grow, from an arbitrary start."""


class SystemClock:
    """The time of this machine."""

    def now(self) -> int:
        """Wall time in milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        return time.monotonic()
