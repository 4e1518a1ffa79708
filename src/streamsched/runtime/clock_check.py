"""Does this machine's clock agree with the log's? Known from the beats: the log says when it wrote them.

What is due is decided by wall clocks, and a decision stays. So a scheduler whose clock differs by more than a minute
decides nothing (``ClockCheck``), and a worker writes the log's time instead of its own (``LogClock``).
"""

from __future__ import annotations

import logging
from enum import Enum, auto
from typing import Final

from streamsched.log.port import Log, TopicMismatch
from streamsched.runtime.clock import Clock

TOLERANCE_MS: Final = 60_000
"""Milliseconds that clocks may differ."""
WRONG_CLOCK: Final = "wrong clock"
"""The state of a scheduler in its beats, while it decides nothing."""
SAY_AGAIN_S: Final = 60.0
"""Seconds after which it is said again."""

logger = logging.getLogger(__name__)


class Agreement(Enum):
    """What is known of a clock."""

    UNKNOWN = auto()
    AGREES = auto()
    DIFFERS = auto()


class ClockCheck:
    """Compares a clock with the log's. ``consequence`` says what the node does while they differ."""

    def __init__(self, log: Log, clock: Clock, consequence: str) -> None:
        self._log = log
        self._clock = clock
        self._consequence = consequence
        self._say_at = 0.0
        self._differed = False
        self.ahead_ms = 0
        """By how much the clock is ahead at least (behind: below 0), as of the last look at which it differed."""

    def look(self, now: int) -> Agreement:
        """Compare this time of the clock, in milliseconds since the epoch; an error is logged where it differs.

        A log that does not tell the time is believed to agree, with a warning.
        """
        try:
            time = self._log.time()
        except TopicMismatch as error:
            if self._may_say():
                logger.warning("the clock cannot be compared with the log's: %s", error)
            return Agreement.AGREES
        if time is None:
            return Agreement.UNKNOWN
        at_least, at_most = now - time.latest, now - time.earliest
        if at_least >= -TOLERANCE_MS and at_most <= TOLERANCE_MS:
            if self._differed:
                logger.warning("the clock agrees with the log's again")
            self._differed = False
            return Agreement.AGREES
        if at_least <= TOLERANCE_MS and at_most >= -TOLERANCE_MS:
            return Agreement.UNKNOWN  # a beat took long: the next one tells
        self._differed = True
        self.ahead_ms = at_least if at_least > 0 else at_most
        if self._may_say():
            logger.error(
                "the clock of this machine is %.0f s %s the log's: %s; set the clock, by NTP for example",
                abs(self.ahead_ms) / 1000,
                "ahead of" if self.ahead_ms > 0 else "behind",
                self._consequence,
            )
        return Agreement.DIFFERS

    def _may_say(self) -> bool:
        now = self._clock.monotonic()
        if now < self._say_at:
            return False
        self._say_at = now + SAY_AGAIN_S
        return True


class LogClock:
    """A machine's clock, put right by the log's while they differ: for the times that a worker writes.

    Between two comparisons time is taken from the monotonic clock: the machine's may be set meanwhile.
    """

    def __init__(self, log: Log, clock: Clock) -> None:
        self._clock = clock
        self.monotonic = clock.monotonic
        self._check = ClockCheck(log, clock, "what this node writes carries the log's time")
        self._base = clock.now(), clock.monotonic()
        self.shift_ms = 0
        """What is taken off the machine's times, as of the last comparison."""

    def now(self) -> int:
        """Wall time in milliseconds since the Unix epoch."""
        now, monotonic = self._base
        return now + int((self.monotonic() - monotonic) * 1000)

    def machine_now(self) -> int:
        """Read the machine's own clock, which the executors see too."""
        return self._clock.now()

    def put_right(self) -> None:
        """Compare with the log; call it once in each turn."""
        now = self._clock.now()
        found = self._check.look(now)
        if found is not Agreement.UNKNOWN:
            self.shift_ms = self._check.ahead_ms if found is Agreement.DIFFERS else 0
            self._base = now - self.shift_ms, self.monotonic()
