"""The clocks of machines, which show true time more or less well."""

from __future__ import annotations

from streamsched.testing.clock import VirtualClock


class MachineClock:
    """The clock of one machine: its wall time is off and may jump, its monotonic time began anywhere."""

    def __init__(self, true: VirtualClock, *, skew_ms: int, began: float) -> None:
        self._true = true
        self._skew_ms = skew_ms
        self._began = true.monotonic() - began

    def now(self) -> int:
        return self._true.now() + self._skew_ms

    def monotonic(self) -> float:
        return self._true.monotonic() - self._began

    def jump(self, ms: int) -> None:
        self._skew_ms += ms

    def mend(self) -> None:
        """Show the true time from now on."""
        self._skew_ms = 0
