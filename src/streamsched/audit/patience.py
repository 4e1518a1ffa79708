"""Patience with an end that cannot be reached: an open transaction holds back all that was written after it."""

from __future__ import annotations

import time
from typing import Final

from streamsched.log.port import LogUnreachable

STALL: Final = 60.0
"""Seconds without a record after which an open transaction is blamed: longer than any of a living node lasts."""


class Patience:
    """Waits for the rest of a topic."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._until = time.monotonic() + STALL

    def heard(self, records: int) -> None:
        """Take note of what a poll gave.

        Raises:
            LogUnreachable: it was nothing, for too long.

        """
        if records:
            self._until = time.monotonic() + STALL
        elif time.monotonic() > self._until:
            raise LogUnreachable(
                f"the last records of {self._topic} cannot be read for {STALL:.0f} s: an open transaction is before "
                "them; it ends with its writer's time-out, then try again"
            )
