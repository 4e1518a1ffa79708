"""Everything that was ever committed, read as it comes, so that nothing is missing when the log lets go of it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.schedule import Schedule, evolve_schedule
from streamsched.domain.task import Load, Task
from streamsched.log.codec import Codec, Undecodable, UnknownSchema
from streamsched.log.core import Connection
from streamsched.log.event_reader import EventReader
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
        self._event_reader = EventReader(codec, topics)
        self._reader = log.reader()
        places = [*topics.journal(), *topics.work_log()]
        self._reader.assign(log.start(places))
        self.log = log
        self.journal: list[list[Kept]] = [[] for _ in topics.journal()]
        self.work: list[list[Kept]] = [[] for _ in topics.work_log()]
        self.ended: dict[str, e.Event] = {}
        """Tasks that do not go on, and the event that ended them."""
        self.ends = 0
        """How often a task came to its end."""
        self.redrives: Counter[str] = Counter()
        """How often each task was let go on."""
        self.failing: set[str] = set()
        """Tasks of which an attempt has failed."""
        self.paused: set[tuple[str, int]] = set()
        """Tasks that somebody has paused, and in which redrive; they may go on since."""
        self.requested: set[str] = set()
        self.unplanned: set[str] = set()
        """Those of them that have neither a plan nor an end."""
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
        if isinstance(event, e.TaskPlanned | TERMINAL):
            self.unplanned.discard(event.task_id)
        if isinstance(event, TERMINAL):
            self.ended[event.task_id] = event
            self.ends += 1
        elif isinstance(event, e.TaskRedriven):
            self._redriven(event)
        elif isinstance(event, e.ChildFailed):
            self.failing.add(event.task_id)
        elif isinstance(event, e.TaskPaused) and event.paused:
            self.paused.add((event.task_id, event.redrive))
        elif isinstance(event, e.TaskRequested):
            if event.task_id not in self.requested:
                self.unplanned.add(event.task_id)
            self.requested.add(event.task_id)
            if event.origin.startswith("schedule "):
                self.ticking.append(event.task_id)
        elif isinstance(event, e.OfSchedule):
            schedule = evolve_schedule(self.schedules.get(event.schedule_id), event)
            if schedule is not None:
                self.schedules[event.schedule_id] = schedule

    def _redriven(self, event: e.TaskRedriven) -> None:
        """Find out whether the task goes on: that depends on its children, too."""
        task: Task | None = None
        load = Load()
        for kept in self.journal[self._topics.journal_of(event.task_id).partition]:
            told = kept.event
            if told is not None and getattr(told, "task_id", event.task_id) == event.task_id:
                task = evolve(task, told, load)
        if task is not None and task.redrive > self.redrives[event.task_id]:
            self.redrives[event.task_id] = task.redrive
            self.ended.pop(event.task_id, None)

    def letters(self) -> Counter[tuple[bool, int, int]]:
        """Count the dead letters of each record: whether of the work log, partition, offset."""
        found: Counter[tuple[bool, int, int]] = Counter()
        reader = self.log.reader()
        reader.assign(self.log.start([TopicPartition(self._topics.dead_letters, 0)]))
        while records := reader.poll(10_000, 0.0):
            for record in records:
                event = self._codec.decode(record)
                if isinstance(event, e.DeadLetter):
                    found[event.topic == self._topics.children, event.partition, event.offset] += 1
        return found

    def _keep(self, record: Record) -> Kept:
        read = self._event_reader.journal if record.topic == self._topics.events else self._event_reader.work
        try:
            return Kept(record.partition, record.offset, read(record), timestamp=record.timestamp)
        except UnknownSchema:
            return Kept(record.partition, record.offset, None, newer=True)
        except Undecodable:
            return Kept(record.partition, record.offset, None)
