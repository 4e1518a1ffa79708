"""Everything that was ever committed, read as it comes, so that nothing is missing when the log lets go of it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.schedule import Schedule, evolve_schedule
from streamsched.log.codec import Codec, Undecodable, UnknownSchema
from streamsched.log.core import Connection
from streamsched.log.intake import Intake
from streamsched.log.port import Record, TopicPartition
from streamsched.log.topics import Topics
from tests.simulation.evidence import Kept

TERMINAL: Final = e.TaskSucceeded | e.TaskFailed | e.TaskCancelled | e.TaskRefused


class MemoCodec(Codec):
    """Decodes each value once, whoever reads it: events are immutable."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, e.Event] = {}

    def decode(self, record: Record) -> e.Event:
        value = record.value or b""
        found = self._known.get(value)
        if found is None:
            found = self._known[value] = super().decode(record)
        return found

    def forget(self) -> None:
        """Begin another history."""
        self._known.clear()


class Archive:
    """The committed records of journal, work log and dead letters, in the order of each partition."""

    def __init__(self, log: Connection, topics: Topics, codec: Codec) -> None:
        self._topics = topics
        self._codec = codec
        self._intake = Intake(codec, topics)
        self._reader = log.reader()
        places = [*topics.journal(), *topics.work_log()]
        self._reader.assign(log.start(places))
        self._log = log
        self.journal: list[list[Kept]] = [[] for _ in topics.journal()]
        self.work: list[list[Kept]] = [[] for _ in topics.work_log()]
        self.ended: dict[str, e.Event] = {}
        """Tasks that do not go on, and the event that ended them."""
        self.ends = 0
        """How often a task came to its end."""
        self.redrives: Counter[str] = Counter()
        """How often each task was let go on."""
        self.requested: set[str] = set()
        self.ticking: list[str] = []
        """Tasks of schedules."""
        self.schedules: dict[str, Schedule] = {}
        """As whoever looks at them finds them; what is right is for the checker to say."""

    def read(self) -> None:
        """Take in what was committed since the last time."""
        journal = self._topics.events
        while records := self._reader.poll(10_000, 0.0):
            for record in records:
                kept = self._keep(record)
                if record.topic == journal:
                    self.journal[record.partition].append(kept)
                    if kept.event is not None:
                        self._take(kept.event)
                else:
                    self.work[record.partition].append(kept)

    def _take(self, event: e.Event) -> None:
        if isinstance(event, TERMINAL):
            self.ended[event.task_id] = event
            self.ends += 1
        elif isinstance(event, e.TaskRedriven):
            self._redriven(event)
        elif isinstance(event, e.TaskRequested):
            self.requested.add(event.task_id)
            if event.origin.startswith("schedule "):
                self.ticking.append(event.task_id)
        elif isinstance(event, e.OfSchedule):
            schedule = evolve_schedule(self.schedules.get(event.schedule_id), event)
            if schedule is not None:
                self.schedules[event.schedule_id] = schedule

    def _redriven(self, event: e.TaskRedriven) -> None:
        task_id, wanted = event.task_id, [e.TaskFailed, e.TaskCancelled]
        if event.scope == "all":
            wanted.append(e.TaskSucceeded)
        if event.redrive == self.redrives[task_id] + 1 and type(self.ended.get(task_id)) in wanted:
            self.redrives[task_id] += 1
            del self.ended[task_id]

    def letters(self) -> Counter[tuple[bool, int, int]]:
        """Count the dead letters of each record: whether of the work log, partition, offset."""
        found: Counter[tuple[bool, int, int]] = Counter()
        reader = self._log.reader()
        reader.assign(self._log.start([TopicPartition(self._topics.dead_letters, 0)]))
        while records := reader.poll(10_000, 0.0):
            for record in records:
                event = self._codec.decode(record)
                if isinstance(event, e.DeadLetter):
                    found[event.topic == self._topics.children, event.partition, event.offset] += 1
        return found

    def _keep(self, record: Record) -> Kept:
        read = self._intake.journal if record.topic == self._topics.events else self._intake.work
        try:
            return Kept(record.partition, record.offset, read(record))
        except UnknownSchema:
            return Kept(record.partition, record.offset, None, newer=True)
        except Undecodable:
            return Kept(record.partition, record.offset, None)
