"""Following the journal: fold what is new of some partitions into a view."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from streamsched.domain.events import Event
from streamsched.log.codec import Codec, Undecodable, UnknownSchema
from streamsched.log.port import Log, Record, TopicPartition
from streamsched.view.view import View

BATCH: Final = 5_000
FLUSH_EVERY: Final = 100_000
"""Events between writes of the view in a long fold."""


class Follower:
    """A view that reads some partitions of the journal."""

    def __init__(self, *, log: Log, codec: Codec, view: View, partitions: Collection[TopicPartition]) -> None:
        self._log = log
        self._codec = codec
        self._partitions = list(partitions)
        self.view = view
        starts = log.start(self._partitions)
        self._reader = log.reader()
        self._reader.assign(
            {place: max(starts[place], view.positions.get(place.partition, 0)) for place in self._partitions}
        )

    def catch_up(self, on_progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Fold to the end as it is now; ``on_progress`` hears of offsets done and to do."""
        ends = self._log.end(self._partitions)
        first = {place: self._reader.position(place) for place in self._partitions}
        total = sum(ends[place] - first[place] for place in self._partitions)
        folded = 0
        while True:
            left = sum(max(0, ends[place] - self._reader.position(place)) for place in self._partitions)
            if not left:
                break
            folded += sum(1 for _ in self.poll(0.2))
            on_progress(total - left, total)
            if folded >= FLUSH_EVERY:
                self.view.flush()
                folded = 0
        for place in self._partitions:
            self.view.moved(place.partition, self._reader.position(place))

    def poll(self, timeout: float) -> Iterator[tuple[Record, Event]]:
        """Fold the next records and give them with their events; poison is passed over.

        Raises:
            UnknownSchema: a newer version wrote to this log.

        """
        for record in self._reader.poll(BATCH, timeout):
            try:
                event = self._codec.decode(record)
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
