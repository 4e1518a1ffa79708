"""A barrier: whoever asks goes on when everything is folded, in all partitions, that had been committed when it asked.

What a decision needs to know of other partitions (a backfill: whether a time has a task) is read behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from streamsched.log.journal import JournalReader
from streamsched.log.port import Log, LogUnreachable, Reader, TopicPartition


class Barrier:
    """Takes those who ask to the ends of some partitions as they are then, one group after the other.

    Nobody passes while a partition is ``halted``: what is read there is not folded.
    """

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
        """Tell who of these may go on now; the others ask again."""
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

    def leave(self, who: str) -> None:
        """Let somebody ask anew: something was done since, by itself or by another who took its place."""
        self._group.discard(who)
