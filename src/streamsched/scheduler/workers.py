"""The workers as their beats tell: who owns which work-log partitions and how much it could take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streamsched.domain.events import NodeBeat

STALE: Final = 3.0
"""Seconds without a beat after which nothing is placed on a worker."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """A worker to place children on: its slots, and the partitions that reach it."""

    node_id: str
    slots: int
    partitions: tuple[int, ...]


class Workers:
    """The latest beat of each worker. Only a hint for placement: a wrong one costs time, never a child."""

    def __init__(self) -> None:
        self._beats: dict[str, tuple[float, Capacity]] = {}

    def heard(self, node_id: str, beat: NodeBeat | None, now: float) -> bool:
        """Note a beat (None: the node has left) at monotonic time ``now``; tells whether capacity changed."""
        before = self._beats.get(node_id)
        if beat is None or beat.role != "worker" or beat.state != "running" or not (beat.partitions and beat.slots):
            self._beats.pop(node_id, None)
            return before is not None
        capacity = Capacity(node_id, beat.slots, beat.partitions)
        self._beats[node_id] = (now, capacity)
        return before is None or before[1] != capacity

    def present(self, now: float) -> Iterator[Capacity]:
        """Walk the workers that were heard of lately."""
        return (capacity for heard, capacity in self._beats.values() if now - heard < STALE)
