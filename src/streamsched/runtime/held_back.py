"""Where open transactions hold readers back, and for how long: seen by looking again and again."""

from __future__ import annotations

from collections.abc import Sequence

from streamsched.log.port import Log, TopicPartition
from streamsched.runtime.clock import Clock


class HeldBack:
    """Remembers between two looks where readers of these partitions, and of groups' positions, stand still."""

    def __init__(self, log: Log, clock: Clock, places: Sequence[TopicPartition]) -> None:
        self._log = log
        self._clock = clock
        self._places = places
        self._looked = clock.monotonic()
        self._since: dict[TopicPartition, tuple[int, float]] = {}

    def look(self, groups: Sequence[str] = ()) -> None:
        """Look once. Raise LogError."""
        found = self._log.held(self._places, groups)
        before, self._looked = self._since, self._clock.monotonic()
        self._since = {
            place: before[place] if before.get(place, (-1, 0.0))[0] == at else (at, self._looked)
            for place, at in found.items()
        }

    @property
    def places(self) -> dict[TopicPartition, int]:
        """Where readers were held back at the last look: most of that ends within moments."""
        return {place: at for place, (at, _) in self._since.items()}

    @property
    def stuck(self) -> dict[TopicPartition, float]:
        """For how many seconds they stand still where they did at the look before, too."""
        return {place: self._looked - since for place, (_, since) in self._since.items() if since < self._looked}
