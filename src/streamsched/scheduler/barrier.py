"""A barrier: a key passes once all that was committed when it asked is folded, in all partitions.

Only then may a decision read what lies in other partitions: a backfill, whether a time has a task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from streamsched.log.journal import JournalReader
from streamsched.log.port import Log, LogUnreachable, Reader, TopicPartition


class Barrier:
    """Lets keys pass in groups, each up to the ends of the partitions when it began; none while one is ``halted``."""

    def __init__(
        self, log: Log, reader: Reader | JournalReader, places: Collection[TopicPartition], halted: Collection[int] = ()
    ) -> None:
        self._log = log
        self._reader = reader
        self._places = places
        self._halted = halted
        self._ends: Mapping[TopicPartition, int] = {}
        self._group: set[str] = set()

    def passed(self, asking: Collection[str]) -> set[str]:
        """Return the keys that pass now; the others ask again."""
        if self._halted:
            return set()
        if self._group.isdisjoint(asking):
            try:
                self._ends = self._log.end(self._places)
            except LogUnreachable:
                return set()
            self._group = set(asking)
        if any(self._reader.position(place) < end for place, end in self._ends.items()):
            return set()
        through = self._group & set(asking)
        self._group.clear()
        return through

    def leave(self, key: str) -> None:
        """Make a key ask anew: something was decided about it since, here or by another owner."""
        self._group.discard(key)
