"""The workers by their beats: which work-log partitions each owns, how much it can take, and what it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streamsched.domain.events import NodeBeat
from streamsched.domain.places import place_of
from streamsched.domain.routing import PLAIN, Place, Requirement

STALE_S: Final = 3.0
"""Seconds without a beat after which nothing is placed on a worker."""
KNOWN: Final = 10_000
"""Requirements whose workers are remembered; beyond that the memory is cleared."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """A worker to place children on: its slots, the partitions that reach it, what it announces to run, and where."""

    node_id: str
    slots: int
    partitions: tuple[int, ...]
    name: str = ""
    modules: tuple[str, ...] | None = None
    place: Place = PLAIN


class Workers:
    """The latest beat of each worker. Only a hint for placement: a wrong one costs time, never a child."""

    def __init__(self) -> None:
        self._beats: dict[str, tuple[float, Capacity]] = {}
        self._able: dict[Requirement, frozenset[str]] = {}

    def heard(self, node_id: str, beat: NodeBeat | None, now: float) -> bool:
        """Note a beat (None: the node has left) at monotonic time ``now``; return whether capacity changed."""
        heard, before = self._beats.get(node_id, (now, None))
        if beat is None or beat.role != "worker" or beat.state != "running" or not (beat.partitions and beat.slots):
            self._beats.pop(node_id, None)
            capacity = None
        else:
            place = place_of(beat)
            capacity = Capacity(node_id, beat.slots, beat.partitions, beat.name, beat.modules, place)
            self._beats[node_id] = (now, capacity)
        if announced_by(before) != announced_by(capacity):
            self._able.clear()
        return before != capacity or now - heard >= STALE_S

    def present(self, now: float) -> Iterator[Capacity]:
        """Yield the workers that sent a beat lately."""
        return (capacity for heard, capacity in self._beats.values() if now - heard < STALE_S)

    def get(self, node_id: str) -> Capacity | None:
        """Return a worker."""
        return self._beats.get(node_id, (0.0, None))[1]

    def able(self, requirement: Requirement) -> frozenset[str]:
        """Return the workers that announce what meets a requirement."""
        found = self._able.get(requirement)
        if found is None:
            if len(self._able) >= KNOWN:
                self._able.clear()
            found = self._able[requirement] = frozenset(
                capacity.node_id
                for _, capacity in self._beats.values()
                if requirement.met_by(capacity.modules, capacity.place)
            )
        return found


def announced_by(worker: Capacity | None) -> tuple[str, tuple[str, ...] | None, Place] | None:
    """Return what a worker announces; when it changes, what was learnt of the worker is outdated."""
    return None if worker is None else (worker.node_id, worker.modules, worker.place)
