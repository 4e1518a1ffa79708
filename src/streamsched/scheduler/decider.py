"""What all deciders share. A new one is a module of its own, and a line in the table of ``node``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from streamsched.domain.events import Event
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.decisions import Agenda, Decision, InFlight
from streamsched.view.view import View


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
        return self._homes.get(key, -1) in owned and key not in self.in_flight

    def _basis(self, key: str) -> int:
        return self._view.positions.get(self._homes[key], 0)

    def _decision(self, key: str, state: Any, *events: Event, **more: Any) -> Decision:
        return Decision(key=key, home=self._homes[key], state=state, events=events, **more)
