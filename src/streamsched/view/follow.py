"""Following the journal: fold what is new of some partitions into a view."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from streamsched.domain.events import Event
from streamsched.log.codec import Codec
from streamsched.log.journal import Halt, JournalReader, in_words
from streamsched.log.port import Log, PartitionHalted, Record, TopicPartition
from streamsched.log.scan import BATCH, StallDetector
from streamsched.log.topics import Topics
from streamsched.view.view import View

FLUSH_EVERY: Final = 100_000
"""Events between writes of the view in a long fold."""

logger = logging.getLogger(__name__)


class Follower:
    """Keeps a view up to date with some partitions of the journal; warns where one stands still."""

    def __init__(self, *, log: Log, topics: Topics, codec: Codec, view: View) -> None:
        self._log = log
        self._reader = JournalReader(log, topics, codec)
        self._warned: set[tuple[int, int]] = set()
        """Partition and offset of the halts that were logged."""
        self._places: dict[TopicPartition, None] = {}
        self.view = view

    @property
    def halts(self) -> Mapping[int, Halt]:
        """The partitions that stand still."""
        return self._reader.halts

    def include(self, places: Collection[TopicPartition]) -> None:
        """Read these partitions too from now on, from where the view has folded them to."""
        new = [place for place in places if place not in self._places]
        if not new:
            return
        unknown = [place for place in new if place.partition not in self.view.positions]
        starts = self._log.start(unknown) if unknown else {}
        positions = {place: self._reader.position(place) for place in self._places}
        self._reader.assign(
            {**positions, **{place: starts.get(place, self.view.positions.get(place.partition, 0)) for place in new}}
        )
        self._places |= dict.fromkeys(new)

    def catch_up(
        self, places: Collection[TopicPartition], on_progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Fold these partitions to their ends as they are now; ``on_progress`` hears of offsets done and to do."""
        self.include(places)
        ends = self._log.end(places)
        total = sum(ends[place] - self._reader.position(place) for place in places)
        unwritten = 0
        stall = StallDetector(self._log, ends, self._reader.reached)
        while left := self._reader.left(ends):
            unwritten += sum(1 for _ in self.poll(0.2))
            stall.check()
            on_progress(total - left, total)
            if unwritten >= FLUSH_EVERY:
                self.view.flush()
                unwritten = 0
        self.note_positions()

    def note_positions(self) -> None:
        """Note in the view how far each partition was read: records that are no events, and markers, move it too."""
        noted = self.view.positions
        for place in self._places:
            if noted.get(place.partition) != (position := self._reader.position(place)):
                self.view.moved(place.partition, position)

    def poll(self, timeout: float, limit: int = BATCH) -> Iterator[tuple[Record, Event]]:
        """Fold the next records and yield them with their events; records that are not events are skipped."""
        records = self._reader.poll(limit, timeout)
        new = {(partition, halt.offset) for partition, halt in self.halts.items()} - self._warned
        if new:
            self._warned |= new
            logger.warning("%s; later records there are left out", in_words(self.halts.values()))
        for record, event in records:
            if isinstance(event, Event):
                self.view.apply(event, record.partition)
                self.view.moved(record.partition, record.offset + 1)
                yield record, event

    def seek(self, place: TopicPartition, offset: int) -> Iterator[tuple[Record, Event]]:
        """Fold to the end of the batch with the record at this offset, and yield as ``poll`` does.

        Raise LogUnreachable where the record cannot be reached, PartitionHalted where its partition stands still.
        """
        self.include([place])
        stall = StallDetector(self._log, {place: offset + 1}, self._reader.reached)
        while self._reader.position(place) <= offset:
            yield from self.poll(0.2)
            if place.partition in self.halts and self._reader.reached(place) > offset:
                raise PartitionHalted(
                    f"it was written, and takes effect when its partition continues: {self.halts[place.partition]}"
                )
            stall.check()

    def behind(self, ends: Mapping[TopicPartition, int]) -> int:
        """Return how many offsets it has not folded, up to these ends; any thread may ask."""
        return sum(max(0, end - self._reader.position(place)) for place, end in ends.items())

    def close(self) -> None:
        """Stop reading; the view stays open."""
        self._reader.close()
