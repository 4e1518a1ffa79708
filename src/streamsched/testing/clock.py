"""Time that passes only when it is told to."""

from __future__ import annotations


class VirtualClock:
    """A clock that stands still until it is moved. It begins on 12 January 1970, so that nothing depends on today."""

    def __init__(self, ms: float = 1_000_000_000.0) -> None:
        self._ms = ms

    def now(self) -> int:
        """Return the time in milliseconds since the Unix epoch."""
        return int(self._ms)

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self._ms / 1000

    def advance(self, seconds: float) -> None:
        """Let this time pass."""
        self._ms += seconds * 1000
