"""What deciders have in common: the decision, those that are in flight, and the agenda of what to look at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

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


class InFlight(dict[str, tuple[bytes, int, Mapping[int, int]]]):
    """The decisions of one decider that were committed and not read back: last event, home and reserves, by key."""

    def add(self, decision: Decision) -> None:
        """Note a decision that is committed now."""
        self[decision.key] = decision.events[-1].event_id, decision.home, decision.reserves

    def landed(self, key: str, event_id: bytes) -> None:
        """Clear the decision of a key if this event, which was read back, is its last one."""
        if self[key][0] == event_id:
            del self[key]

    def aborted(self, decision: Decision) -> None:
        """Clear a decision whose transaction was aborted."""
        self.pop(decision.key, None)

    def lost(self, partitions: Collection[int]) -> None:
        """Clear all decisions of these partitions: others decide from now on."""
        for key in [key for key, (_, home, _) in self.items() if home in partitions]:
            del self[key]

    def reserved(self) -> Iterator[tuple[int, int]]:
        """Yield what the decisions use of the capacity of workers: work-log partition, children."""
        for _, _, reserves in self.values():
            yield from reserves.items()


class Agenda:
    """The keys to look at: those that were touched, in that order, and those that have a time (milliseconds)."""

    def __init__(self) -> None:
        self.touched: OrderedDict[str, None] = OrderedDict()
        """The keys to look at soon. A key of which something was folded is put in here without a call."""
        self._due: list[tuple[int, str]] = []
        self._noted: dict[str, int] = {}

    def at(self, key: str, due: int | None) -> None:
        """Look at this key at a time, in place of the time that was noted before; None is never."""
        if due is None:
            self._noted.pop(key, None)
        elif self._noted.get(key) != due:
            self._noted[key] = due
            heappush(self._due, (due, key))

    def take(self, now: int) -> Iterator[str]:
        """Yield the keys to look at now. Each is taken off the agenda as it is yielded; the others stay."""
        while self._due and self._due[0][0] <= now:
            due, key = heappop(self._due)
            if self._noted.get(key) == due:
                del self._noted[key]
                self.touched[key] = None
        while self.touched:
            yield self.touched.popitem(last=False)[0]

    def wait(self, now: int, at_most: float) -> float:
        """Return how many seconds may pass before there is something to look at."""
        if self.touched:
            return 0.0
        return min(at_most, max(0, self._due[0][0] - now) / 1000) if self._due else at_most
