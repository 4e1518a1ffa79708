"""What all deciders share. A new one is a module of its own, and a line in the table of ``node``."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from streamsched.domain.events import Event
from streamsched.runtime import metrics
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.decisions import Agenda, Decision, InFlight
from streamsched.view.view import View

REFUSALS: Final = 5
"""After so many decisions in a row without effect a key waits. One or two are normal: the state changed meanwhile."""
FIRST_WAIT_MS: Final = 1_000
LONGEST_WAIT_MS: Final = 60_000

logger = logging.getLogger(__name__)


class Decider(ABC):
    """Decides about the keys of ``homes``, which have their journal partitions; one decision of a key is in flight."""

    learns: Collection[type[Event]] = ()

    def __init__(self, view: View, records: Records, me: Identity, homes: Mapping[str, int]) -> None:
        self._view = view
        self._records = records
        self._me = me
        self._homes = homes
        self._agenda = Agenda()
        self.in_flight = InFlight()

    @abstractmethod
    def decide(self, now: int, owned: Collection[int]) -> Sequence[Decision]:
        """Make the decisions that are owed in these journal partitions, as many as fit into one transaction."""

    @abstractmethod
    def forget(self, key: str) -> None:
        """Forget what is kept for deciding about a key: it has ended, or others decide about it."""

    def learn(self, state: Any, event: Event) -> None:  # noqa: B027 - for those that name events in ``learns``
        """Take in an event of a type in ``learns``, from any partition, that was folded into this state."""

    def landed(self, key: str, state: Any, event: Event) -> None:
        """Take in an event of a key that is in flight.

        A decision that the fold refuses is owed again at once, and would be made for ever. After several the key waits.
        """
        waits = self.in_flight.landed(key, event.event_id, state.void) - REFUSALS
        if waits < 0:
            return
        wait = min(FIRST_WAIT_MS << min(waits, 16), LONGEST_WAIT_MS)
        self._agenda.delay(key, self._me.clock.now() + wait)
        metrics.DECISIONS_REFUSED.add(1)
        if not waits:
            kind, name = type(state).__name__.lower(), type(event).__name__
            why = "%s %s stands still: its %s had no effect %d times in a row, a bug; it is tried again ever less often"
            logger.error(why, kind, key, name, REFUSALS, extra={kind: key})

    def touch(self, key: str) -> None:
        """Look at this key in the next decisions."""
        if key in self._homes:
            self._agenda.touched[key] = None
        else:
            self.forget(key)

    def touch_all(self, partition: int) -> None:
        """Look at all keys of a journal partition in the next decisions."""
        for key in [key for key, home in self._homes.items() if home == partition]:
            self._agenda.touched[key] = None

    def lost(self, partitions: Collection[int]) -> None:
        """Forget all keys of these journal partitions."""
        self.in_flight.lost(partitions)
        for key in [key for key, home in self._homes.items() if home in partitions]:
            self.forget(key)

    def wait(self, now: int, at_most: float) -> float:
        """Return how many seconds may pass before there is something to look at."""
        return self._agenda.wait(now, at_most)

    def _is_free(self, key: str, owned: Collection[int]) -> bool:
        """Return whether a key may be decided about; if not, it is touched when it may."""
        is_ours = self._homes.get(key, -1) in owned
        return is_ours and key not in self.in_flight and key not in self._agenda.delayed

    def _basis(self, key: str) -> int:
        return self._view.positions.get(self._homes[key], 0)

    def _decision(self, key: str, state: Any, *events: Event, **more: Any) -> Decision:
        return Decision(key=key, home=self._homes[key], state=state, events=events, **more)
