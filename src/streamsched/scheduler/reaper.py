"""Ends hanging transactions: the broker has decided and forgotten them, and readers wait for them for ever.

It runs in a thread of its own, because the loop itself may be a reader that waits.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from streamsched.log.coordination import Coordination
from streamsched.log.port import CannotEvict, Hanging, Log, LogError, NotAllowed, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.clock import Clock

LOOK_INTERVAL_S: Final = 3.0
"""Time between looks. A partition that holds readers back at the same offset in two of them is examined."""

logger = logging.getLogger(__name__)


class HangingTransactionReaper:
    """Looks once in a while; several schedulers may do so at the same time."""

    def __init__(self, *, log: Log, coordination: Coordination, topics: Topics, clock: Clock) -> None:
        self._log = log
        self._coordination = coordination
        self._places = [*topics.journal(), *topics.work_log()]
        self._groups = [topics.scheduler_group, topics.worker_group]
        self._clock = clock
        self._next = 0.0
        self._held: Mapping[TopicPartition, int] = {}
        self._unendable: set[Hanging] = set()
        self._warned: set[str] = set()

    def step(self) -> int:
        """Look when it is time to; return how many transactions were ended. Raise LogError.

        A missing right is logged once; what needs it is left out from then on.
        """
        if self._clock.monotonic() < self._next:
            return 0
        self._next = self._clock.monotonic() + LOOK_INTERVAL_S
        before, self._held = self._held, self._look()
        stuck = {place: at for place, at in self._held.items() if before.get(place) == at}
        try:
            return sum(
                self._end(hanging) for hanging in self._coordination.hanging(stuck) if hanging not in self._unendable
            )
        except (NotAllowed, CannotEvict) as error:
            self._warn(f"hanging transactions cannot be found: {error}")
            return 0

    def _look(self) -> Mapping[TopicPartition, int]:
        try:
            return self._log.held(self._places, self._groups)
        except NotAllowed as error:
            if not self._groups:
                self._warn(f"hanging transactions are not looked for: {error}")
                return {}
            self._warn(f"hanging transactions in the groups' positions are not looked for: {error}")
            self._groups = []
        return self._look()

    def _warn(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("%s", what)

    def _end(self, hanging: Hanging) -> bool:
        try:
            ended = self._coordination.end_hanging(hanging)
        except LogError as error:
            self._unendable.add(hanging)
            logger.error("readers stand still: %s; see: streamsched topics check", error)
            return False
        if ended:
            logger.warning("%s: ended it, the broker had forgotten it", hanging)
        return ended
