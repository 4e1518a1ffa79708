"""What deciders have in common: the decision, those that are in flight, and the agenda of what to look at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any, Final

from streamsched.domain.events import Event
from streamsched.log.port import Append


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A decision about one key: its events in order, and what goes into the transaction with them."""

    key: str
    home: int
    """The journal partition of the key."""
    state: Any
    """The task or schedule as it was decided about."""
    events: tuple[Event, ...]
    work: tuple[Append, ...] = ()
    """Records beside the events and their follow-ups."""
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What follow-ups contain beside their agreed fields, by their keys."""
    reserves: Mapping[int, int] = field(default_factory=dict)
    """What it uses of the capacity of workers until it is folded: children by work-log partition."""


@dataclass(slots=True)
class Flight:
    """What is kept of a decision until it is read back."""

    last: bytes
    """The id of its last event."""
    home: int
    reserves: Mapping[int, int]
    void: int
    """How many events of its key have had no effect so far."""


class InFlight(dict[str, Flight]):
    """The decisions of one decider that were committed and not read back, by key."""

    def __init__(self) -> None:
        self._refused: dict[str, int] = {}

    def add(self, decision: Decision) -> None:
        """Note a decision that is committed now."""
        last, void = decision.events[-1].event_id, decision.state.void
        self[decision.key] = Flight(last, decision.home, decision.reserves, void)

    def landed(self, key: str, event_id: bytes, void: int) -> int:
        """Clear the decision of a key if this event, which was read back, is its last one.

        ``void``: how many events of the key have had no effect, this one included. Return how many of its decisions the
        fold has refused in a row; 0 if it has taken this one, or none was read back.
        """
        flight = self[key]
        if flight.last != event_id:
            flight.void = void
            return 0
        del self[key]
        before = self._refused.pop(key, 0)
        if void == flight.void:
            return 0
        self._refused[key] = before + 1
        return before + 1

    def aborted(self, decision: Decision) -> None:
        """Clear a decision whose transaction was aborted."""
        self.pop(decision.key, None)

    def lost(self, partitions: Collection[int]) -> None:
        """Clear all decisions of these partitions: others decide from now on."""
        for key in [key for key, flight in self.items() if flight.home in partitions]:
            del self[key]
        self._refused.clear()

    def reserved(self) -> dict[str, Mapping[int, int]]:
        """Return what decisions use of the capacity of workers: by key, children by work-log partition."""
        return {key: flight.reserves for key, flight in self.items() if flight.reserves}


_SPARE: Final = 1_000
"""Times that were replaced, and are still in the heap."""


class Agenda:
    """The keys to look at: those that were touched, in that order, and those that have a time (milliseconds)."""

    def __init__(self) -> None:
        self.touched: OrderedDict[str, None] = OrderedDict()
        """The keys to look at soon. A key of which something was folded is put in here without a call."""
        self._due: list[tuple[int, str]] = []
        self._noted: dict[str, int] = {}
        self.delayed: set[str] = set()
        """The keys about which nothing is decided before the time that was noted for them."""

    def at(self, key: str, due: int | None) -> None:
        """Look at this key at a time, in place of the time that was noted before; None is never."""
        if due is None:
            self._noted.pop(key, None)
            self.delayed.discard(key)
        elif self._noted.get(key) != due:
            self._noted[key] = due
            heappush(self._due, (due, key))
            if len(self._due) > 2 * len(self._noted) + _SPARE:
                self._due = [(due, key) for key, due in self._noted.items()]
                heapify(self._due)

    def delay(self, key: str, until: int) -> None:
        """Decide about this key at a time, and not before, whatever touches it."""
        self.delayed.add(key)
        self.at(key, until)

    def take(self, now: int) -> Iterator[str]:
        """Yield the keys to look at now. Each is taken off the agenda as it is yielded; the others stay."""
        while self._due and self._due[0][0] <= now:
            due, key = heappop(self._due)
            if self._noted.get(key) == due:
                del self._noted[key]
                self.delayed.discard(key)
                self.touched[key] = None
        while self.touched:
            yield self.touched.popitem(last=False)[0]

    def wait(self, now: int, at_most: float) -> float:
        """Return how many seconds may pass before there is something to look at."""
        if self.touched:
            return 0.0
        return min(at_most, max(0, self._due[0][0] - now) / 1000) if self._due else at_most
