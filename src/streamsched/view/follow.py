"""Following the journal: fold what is new of some partitions into a view."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from streamsched.domain.events import Event
from streamsched.log.codec import Codec, Undecodable, UnknownSchema
from streamsched.log.intake import Intake
from streamsched.log.port import Log, Record, TopicPartition
from streamsched.log.topics import Topics
from streamsched.view.view import View

BATCH: Final = 5_000
FLUSH_EVERY: Final = 100_000
"""Events between writes of the view in a long fold."""


class Follower:
    """Keeps a view up to date with the partitions of the journal that it was asked for."""

    def __init__(self, *, log: Log, topics: Topics, codec: Codec, view: View) -> None:
        self._log = log
        self._intake = Intake(codec, topics)
        self._reader = log.reader()
        self._places: dict[TopicPartition, None] = {}
        self.view = view

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
        while left := sum(max(0, ends[place] - self._reader.position(place)) for place in places):
            unwritten += sum(1 for _ in self.poll(0.2))
            on_progress(total - left, total)
            if unwritten >= FLUSH_EVERY:
                self.view.flush()
                unwritten = 0
        for place in places:
            self.view.moved(place.partition, self._reader.position(place))

    def poll(self, timeout: float) -> Iterator[tuple[Record, Event]]:
        """Fold the next records and give them with their events; poison is passed over.

        Raises:
            UnknownSchema: a newer version wrote to this log.

        """
        for record in self._reader.poll(BATCH, timeout):
            try:
                event = self._intake.journal(record)
            except UnknownSchema:
                raise
            except Undecodable:
                continue
            self.view.apply(event, record.partition)
            self.view.moved(record.partition, record.offset + 1)
            yield record, event

    def close(self) -> None:
        """Stop reading; the view stays open."""
        self._reader.close()
