"""The journal as the audit reads it: partition by partition, up to some position, and on from there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from streamsched.audit.followups import FollowupAudit
from streamsched.audit.journal import DispatchState, Live, PartitionAudit
from streamsched.audit.report import Report
from streamsched.domain.events import Event, RecordSetAside
from streamsched.domain.task import Task
from streamsched.log.codec import Codec
from streamsched.log.journal import JournalReader, in_words
from streamsched.log.port import Log, TopicPartition
from streamsched.log.scan import BATCH, StallDetector
from streamsched.log.topics import Topics

Progress = Callable[[int, int], None]


class Journal:
    """The journal as it is read: all of its partitions, or the one of a task."""

    def __init__(
        self,
        *,
        log: Log,
        topics: Topics,
        codec: Codec,
        task_id: str | None,
        findings: Report,
        redriven: Collection[str],
    ) -> None:
        self._log = log
        self._topics = topics
        self._findings = findings
        self._key = None if task_id is None else task_id.encode()
        self._followups = FollowupAudit(findings)
        self.places = topics.journal() if task_id is None else [topics.journal_of(task_id)]
        self._reader = JournalReader(log, topics, codec)
        starts = log.start(self.places)
        self._reader.assign(starts)
        self.partitions = {
            place.partition: PartitionAudit(
                place,
                topics=topics,
                findings=findings,
                complete=not starts[place],
                followups=self._followups,
                redriven=redriven,
            )
            for place in self.places
        }
        findings.notes += [
            f"{place.topic}-{place.partition} begins at offset {start}: tasks from before are passed over"
            for place, start in starts.items()
            if start
        ]

    def catch_up(self, on_progress: Progress = lambda done, total: None) -> None:
        """Read on to the end as it is now, and fold everything."""
        self.read(self._log.end(self.places), on_progress)
        for audit in self.partitions.values():
            audit.settle()

    def read(self, ends: Mapping[TopicPartition, int], on_progress: Progress, *, exact: bool = False) -> None:
        """Read on up to these positions; unless ``exact``, what was written meanwhile is taken along."""
        total = sum(max(0, ends[place] - self._reader.position(place)) for place in self.places)
        limits = {place.partition: ends[place] for place in self.places} if exact else None
        stall = StallDetector(self._log, ends, self._reader.reached)
        while left := self._reader.left(ends):
            on_progress(max(0, total - left), total)
            self._take(limits)
            stall.check()
        on_progress(total, total)

    def judge_followups(self) -> None:
        """Report follow-ups that have one side only, after another look: the other may have been written meanwhile."""
        alone = self._followups.alone()
        if alone and not self._reader.halts and all(audit.complete for audit in self.partitions.values()):
            self.catch_up()
            self._followups.close(alone, self.forgotten())

    def forgotten(self) -> set[str]:
        """Return the tasks that went on after their end, and were not kept for that."""
        return {task_id for audit in self.partitions.values() for task_id in audit.forgotten}

    def finish(self) -> None:
        """Count the tasks that are still followed, and note what could not be judged."""
        if told := in_words(self._reader.halts.values()):
            self._findings.notes.append(f"{told}; later records there are not checked")
        for audit in self.partitions.values():
            audit.close()

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    # --- what is known by now ---------------------------------------------------------------------------------------

    def dispatch_state(self, task_id: str, child: int, ordinal: int) -> DispatchState:
        """Return the state of a dispatch."""
        return self._home(task_id).dispatch_state(task_id, child, ordinal)

    def task(self, task_id: str) -> Task | None:
        """Return a task that is followed."""
        return self._home(task_id).task(task_id)

    def is_excused(self, task_id: str) -> bool:
        """Return whether late events and records of a task are to be expected."""
        home = self._home(task_id)
        return home.is_excused(task_id) or not home.complete or home.place.partition in self._reader.halts

    def live(self) -> Iterator[Live]:
        """Yield the live dispatches, except of partitions that stand still: there they are not known."""
        for partition, audit in self.partitions.items():
            if partition not in self._reader.halts:
                yield from audit.live()

    def epochs(self) -> Iterator[tuple[TopicPartition, int, int, tuple[str, int, int]]]:
        """Yield the highest epoch of each work-log partition: where it was read, the partition, and of which event."""
        resets = {partition for audit in self.partitions.values() for partition in audit.resets}
        for audit in self.partitions.values():
            for partition, (epoch, task_id, child, offset) in audit.epochs.items():
                if partition not in resets:
                    yield audit.place, partition, epoch, (task_id, child, offset)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _home(self, task_id: str) -> PartitionAudit:
        return self.partitions[self._topics.journal_of(task_id).partition]

    def _take(self, limits: Mapping[int, int] | None) -> None:
        key, findings = self._key, self._findings
        for record, event in self._reader.poll(BATCH, 0.2):
            if limits is not None and record.offset >= limits[record.partition]:
                continue
            if key is not None and record.key != key and record.key is not None:
                continue
            if not isinstance(event, Event):
                findings.unreadable += 1
                continue
            if isinstance(event, RecordSetAside):
                place = f"{record.topic}-{record.partition} offset {event.offset}"
                findings.notes.append(f"{place} was set aside by {event.by}: {event.reason}")
            self.partitions[record.partition].take(record.offset, event, len(record.value or b""))
