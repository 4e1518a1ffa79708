"""Reading up to an end: one loop for all, that says what holds it up.

An open transaction holds back every reader of its partition. It ends by itself within its time-out (10 s), but for one
that its broker forgot, or whose writer was given far longer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Final

from streamsched.log.port import Log, LogError, LogUnreachable, Record, TopicPartition

BATCH: Final = 5_000
"""Records read at once."""
SAY_AFTER_S: Final = 5.0
"""Seconds without progress after which it is said what holds the reading up."""
GIVE_UP_S: Final = 60.0
"""Seconds without progress after which reading is given up: longer than a transaction of a living node lasts."""

Positions = Mapping[TopicPartition, int]
logger = logging.getLogger(__name__)


class StallDetector:
    """Watches a reading that goes up to ``ends``: tells what holds it up, and gives up when nothing moves for long.

    ``position`` tells how far a partition was read.
    """

    def __init__(
        self, log: Log, ends: Positions, position: Callable[[TopicPartition], int], give_up_s: float = GIVE_UP_S
    ) -> None:
        self._log = log
        self._ends = ends
        self._position = position
        self._give_up_s = give_up_s
        self._before: list[int] = []
        self._since = time.monotonic()
        self._said = False

    def check(self) -> None:
        """Take note of how far the reading has come; call it after each poll.

        Raises:
            LogUnreachable: nothing has moved for so long; the message names the partitions and what is open there.
        """
        now = [self._position(place) for place in self._ends]
        if now != self._before:
            self._before, self._since, self._said = now, time.monotonic(), False
            return
        waited = time.monotonic() - self._since
        if waited >= self._give_up_s:
            raise LogUnreachable(
                f"nothing could be read for {waited:.0f} s: {self._obstacle()}; see 'streamsched topics check', and "
                "try again when it has ended"
            )
        if waited >= SAY_AFTER_S and not self._said:
            self._said = True
            logger.warning("waiting for %.0f s by now: %s", waited, self._obstacle())

    def _obstacle(self) -> str:
        """Name the partitions that are not read to their ends, and the open transactions in them."""
        behind = {place: at for place, at in zip(self._ends, self._before, strict=True) if at < self._ends[place]}
        try:
            held = self._log.held(list(behind), ())
        except LogError:
            held = {}
        return ", ".join(
            f"{place.topic}-{place.partition} cannot be read beyond offset {held[place]}, where a transaction is open"
            if place in held
            else f"{place.topic}-{place.partition} has no answer beyond offset {at}"
            for place, at in behind.items()
        )


def records(
    log: Log, starts: Positions, ends: Positions, *, give_up_s: float = GIVE_UP_S
) -> Generator[Record, None, None]:
    """Read partitions between these positions, each in its order.

    Raises:
        LogUnreachable: nothing has moved for ``give_up_s`` seconds.
    """
    limits = {(place.topic, place.partition): end for place, end in ends.items()}  # plain pairs are found faster
    with closing(log.reader()) as reader:
        reader.assign(starts)
        stall = StallDetector(log, ends, reader.position, give_up_s)
        while any(reader.position(place) < end for place, end in ends.items()):
            for record in reader.poll(BATCH, 0.2):
                if record.offset < limits[record.topic, record.partition]:
                    yield record
            stall.check()
