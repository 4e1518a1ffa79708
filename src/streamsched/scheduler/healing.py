"""Ends transactions that the log has decided and forgotten, so that nobody stands still there for ever.

It runs beside the loop, in a thread of its own: the loop itself may be among those that stand still.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from streamsched.log.coordination import Coordination
from streamsched.log.port import CannotEvict, Hanging, Log, LogError, NotAllowed, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.clock import Clock

INTERVAL: Final = 3.0
"""Seconds between looks; where readers are held back at the same place in two of them, it is asked why."""

log = logging.getLogger(__name__)


class Healing:
    """``step`` looks once in a while; several schedulers may do it at the same time."""

    def __init__(self, *, log: Log, coordination: Coordination, topics: Topics, clock: Clock) -> None:
        self._log = log
        self._coordination = coordination
        self._places = [*topics.journal(), *topics.work_log()]
        self._groups = [topics.scheduler_group, topics.worker_group]
        self._clock = clock
        self._next = 0.0
        self._held: Mapping[TopicPartition, int] = {}
        self._lost: set[Hanging] = set()
        self._said: set[str] = set()

    def step(self) -> int:
        """Look, when it is time to; returns how many transactions were ended.

        What a right is missing for is said once, and left out from then on.

        Raises:
            LogError: the log cannot be asked.

        """
        if self._clock.monotonic() < self._next:
            return 0
        self._next = self._clock.monotonic() + INTERVAL
        before, self._held = self._held, self._look()
        stuck = {place: at for place, at in self._held.items() if before.get(place) == at}
        try:
            return sum(self._end(hanging) for hanging in self._coordination.hanging(stuck) if hanging not in self._lost)
        except (NotAllowed, CannotEvict) as error:
            self._say(f"transactions that hang are not found here: {error}")
            return 0

    def _look(self) -> Mapping[TopicPartition, int]:
        try:
            return self._log.held(self._places, self._groups)
        except NotAllowed as error:
            if not self._groups:
                self._say(f"transactions that hang are not looked for: {error}")
                return {}
            self._say(f"transactions that hang in the groups' positions are not looked for: {error}")
            self._groups = []
        return self._look()

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning("%s", what)

    def _end(self, hanging: Hanging) -> bool:
        try:
            ended = self._coordination.end_hanging(hanging)
        except LogError as error:
            self._lost.add(hanging)
            log.error("readers stand still: %s; see: streamsched topics check", error)
            return False
        if ended:
            log.warning("%s: ended it, the broker had forgotten it", hanging)
        return ended
