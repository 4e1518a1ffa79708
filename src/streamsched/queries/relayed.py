"""What the handlers of a task have printed, from the topic that workers on Kafka write it to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamsched.domain.ids import partition_of
from streamsched.installation.site import Installation
from streamsched.log.port import PositionLost, TopicPartition
from streamsched.log.scan import StallDetector
from streamsched.queries.output import begin_of
from streamsched.worker.voices import printed_name

CLOCKS_MS: Final = 60_000
"""How much the clock of who requested the task may differ from the broker's."""
TOGETHER: Final = 100
"""Records that are read at once: each has 64 KiB at most."""


class Relayed:
    """The lines of a task, or of one child of it: those that are there, then those that come. Close it.

    Lines of one worker are in their order; those of several are in the order in which they were written to the topic.
    """

    def __init__(self, site: Installation, task_id: str, child: str | None, since: int) -> None:
        """Begin with what was printed ``since``, in milliseconds. Raise LogError, TopicMismatch without the topic."""
        name, topic = printed_name(task_id), site.topics.output
        self._log = site.log
        self._place = TopicPartition(topic, partition_of(name, site.log.partitions(topic)))
        self._key = name.encode()
        self._begin = begin_of(task_id, child)
        position = site.log.position_at([self._place], max(0, since - CLOCKS_MS))[self._place]
        self._reader = site.log.reader()
        self.close = self._reader.close
        self._reader.assign({self._place: position})

    def read(self) -> Iterator[str]:
        """Yield the lines that came since the last call."""
        ends = self._log.end([self._place])
        stall = StallDetector(self._log, ends, self._reader.position)
        while self._reader.position(self._place) < ends[self._place]:
            try:
                records = self._reader.poll(TOGETHER, 0.2)
            except PositionLost:  # what was not read yet has become too old
                self._reader.assign(self._log.start([self._place]))
                continue
            for record in records:
                if record.key == self._key:
                    yield from self._lines(record.value or b"")
            stall.check()

    def _lines(self, text: bytes) -> Iterator[str]:
        for line in text.split(b"\n"):
            if self._begin.match(line):
                yield line.decode(errors="replace")
