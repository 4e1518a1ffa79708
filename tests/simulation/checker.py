"""Judges a history by what was committed, with a model of its own: the invariants of design section 7 that a log shows.

It imports nothing of the product but the event types. Records and evidence are gone through in the order in which they
came to pass: each piece of evidence says how far the journal had come.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from streamsched.domain import events as e
from tests.simulation.checker_backfill import Asked
from tests.simulation.checker_schedule import ScheduleModel
from tests.simulation.checker_task import ENDS, TaskModel
from tests.simulation.checker_work import Dispatch, WorkModel
from tests.simulation.emits import Span
from tests.simulation.evidence import Committed, Exhibits, Kept, Lost, Started, Stopped, decisions

EARLY_MS = 60_000
"""How much earlier than by the log's clock a time may be decided: clocks may differ by a minute."""


@dataclass
class Verdict:
    """Faults found, and of each task how many children completed, and how attempts failed."""

    faults: list[str] = field(default_factory=list)
    completed: dict[str, int] = field(default_factory=dict)
    failures: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    spans: dict[tuple[str, int, int], Span] = field(default_factory=dict)


class JournalModel:
    """All tasks and schedules, up to a moment."""

    def __init__(self, shown: Exhibits, faults: list[str]) -> None:
        self.tasks: dict[str, TaskModel] = {}
        self.outcomes: set[Dispatch] = set()
        self.schedules: dict[str, ScheduleModel] = {}
        self.effective: set[str] = set()
        """Who let a task go on."""
        self._asked: Counter[Asked] = Counter()
        """What schedules, and their backfills, asked of tasks."""
        self._cancelled: set[tuple[str, int]] = set()
        self._homes: dict[str, int] = {}
        self._faults = faults
        self._records = shown.journal
        self._torn = shown.torn
        self._met = [0] * len(shown.journal)
        self._told: set[bytes] = set()
        self.created: dict[Dispatch, Kept] = {}
        for record in (record for records in shown.work for record in records):
            event = record.event
            if isinstance(event, e.ChildCreated):
                dispatch = (event.task_id, event.child, event.ordinal)
                if dispatch in self.created:
                    faults.append(f"{dispatch} was created twice")
                self.created[dispatch] = record

    def advance(self, ends: tuple[int, ...]) -> None:
        """Take what was in the journal at this moment."""
        for number, end in enumerate(ends):
            records, met = self._records[number], self._met[number]
            while met < len(records) and records[met].offset < end:
                self._take(records[met])
                met += 1
            self._met[number] = met

    def finish(self) -> None:
        """Take the rest, and judge what everything came to."""
        self.advance(tuple(records[-1].offset + 1 if records else 0 for records in self._records))
        for task in self.tasks.values():
            task.close()
        for schedule in self.schedules.values():
            schedule.close()
            mine = f"{schedule.schedule_id}@"
            asked = Counter({each: times for each, times in self._asked.items() if each.task_id.startswith(mine)})
            schedule.settle(asked, self.tasks, self._cancelled)
        for task_id, child, ordinal in self.created:
            task = self.tasks[task_id]
            if task.children[child].ordinal < ordinal:
                self._faults.append(f"{task_id}: child {child} was created with ordinal {ordinal}, never dispatched")

    def resume_point(self, dispatch: Dispatch) -> tuple[int, str | None] | None:
        """Tell sequence and state of a dispatch that is live; its worker need not know those behind a torn page."""
        task_id, index, ordinal = dispatch
        if self.tasks[task_id].is_torn(index):
            return None
        child = self.tasks[task_id].children[index]
        return (child.sequence, child.state) if child.live and child.ordinal == ordinal else None

    def _take(self, record: Kept) -> None:
        event = record.event
        if event is None:
            return
        if event.event_id in self._told:
            self._faults.append(f"event {event} stands twice in the journal")
        self._told.add(event.event_id)
        if isinstance(event, e.RecordSetAside):
            return
        if isinstance(event, e.TicksDecided) and event.upto > record.timestamp + EARLY_MS:
            ahead = event.upto - record.timestamp
            self._faults.append(f"{event} was decided {ahead} ms ahead of its time by the log's clock")
        if isinstance(event, e.PartitionReset):
            for task_id, home in self._homes.items():
                if home == record.partition:
                    self.tasks[task_id].see(record.offset, event)
            return
        if isinstance(event, e.OfSchedule):
            self._take_of_schedule(record.offset, event)
        else:
            self._take_of_task(record, event)

    def _take_of_schedule(self, offset: int, event: e.OfSchedule) -> None:
        schedule = self.schedules.get(event.schedule_id)
        if schedule is None:
            schedule = self.schedules[event.schedule_id] = ScheduleModel(event.schedule_id, self._faults)
        schedule.see(offset, event)

    def _take_of_task(self, record: Kept, event: e.Event) -> None:
        task_id = getattr(event, "task_id", "")
        if isinstance(event, e.TaskCancelRequested):
            self._cancelled.add((task_id, event.redrive))
        elif isinstance(event, e.TaskRequested) and event.origin.startswith("schedule "):
            self._asked[Asked(task_id, event.origin)] += 1
        elif isinstance(event, e.TaskRedriven) and event.origin:
            self._asked[Asked(task_id, event.origin, event.redrive, event.scope)] += 1
        task = self.tasks.get(task_id)
        if isinstance(event, e.TaskRequested):
            if task is None:
                self._homes[task_id] = record.partition
                self.tasks[task_id] = TaskModel(
                    event,
                    created=self.created,
                    outcomes=self.outcomes,
                    faults=self._faults,
                    torn=task_id in self._torn,
                )
        elif task is not None:
            if self._homes[task_id] != record.partition:
                self._faults.append(f"{event} stands in partition {record.partition}, not {self._homes[task_id]}")
            if isinstance(event, e.TaskRedriven):
                self._redriven(task, record.offset, event)
            else:
                task.see(record.offset, event)
        elif not (event.by == "outside" or _is_blind(event)):
            self._faults.append(f"{event} is of a task that nobody requested")

    def _redriven(self, task: TaskModel, offset: int, event: e.TaskRedriven) -> None:
        """Take a redrive; that of a backfill, which knows how the task stands, is void only where another was first."""
        if task.go_on(offset, event):
            self.effective.add(event.by)
        elif event.origin and event.redrive > task.redrive:
            self._faults.append(f"{event} of a task that has come to {task.redrive}: {task.end}")


def _is_blind(event: e.Event) -> bool:
    """Tell whether it is of somebody who need not know that there is such a task."""
    if isinstance(event, e.ChildFailed):
        return event.reason == "poison"
    return isinstance(event, e.TaskRedriven) and not event.origin


def check(shown: Exhibits) -> Verdict:
    """Go through a history and judge it."""
    verdict = Verdict()
    faults = verdict.faults
    journal = JournalModel(shown, faults)
    work = WorkModel(shown, journal, faults)
    decided = decisions(shown.journal)
    unknown = [
        (record, decided.get((record.partition, record.offset)))
        for records in shown.journal
        for record in records
        if record.newer
    ]
    yields: defaultdict[tuple[int, int], list[Stopped]] = defaultdict(list)
    for entry in shown.evidence:
        journal.advance(entry.journal)
        match entry:
            case Committed():
                place = work.commit(entry)
                if not entry.worker_group:
                    _passed(entry, unknown, faults)
                if entry.worker_group and place.released and shown.roomy:
                    _released(journal, entry, yields.pop((entry.partition, place.epoch), []), faults)
            case Lost():
                work.lost(entry)
            case Started() | Stopped():
                task = journal.tasks[entry.task_id]
                partition = task.dispatched_to(entry.child, entry.token >> 32)
                epoch = entry.token & 0xFFFFFFFF
                if partition is None:
                    faults.append(f"{entry} was never created")
                elif isinstance(entry, Stopped):
                    yields[partition, epoch].append(entry)
                elif work.owns(entry.node, partition, epoch):
                    task.started(entry)
    journal.finish()
    work.close()
    _letters(shown, faults)
    _submits(shown, journal, faults)
    _claims(shown, journal, faults)
    _told(shown, journal, faults)
    verdict.failures = {task_id: task.failures() for task_id, task in journal.tasks.items()}
    verdict.completed = {
        task_id: sum(child.ending == "completed" for child in task.children) for task_id, task in journal.tasks.items()
    }
    verdict.spans = {
        (task_id, child, ordinal): span
        for task_id, task in journal.tasks.items()
        for (child, ordinal), span in task.spans.items()
    }
    return verdict


def _released(journal: JournalModel, entry: Committed, yields: list[Stopped], faults: list[str]) -> None:
    """An owner that was struck by nothing and released in order leaves nothing to be done again."""
    for told in yields:
        if journal.tasks[told.task_id].is_torn(told.child):
            continue
        child = journal.tasks[told.task_id].children[told.child]
        unhurt = (told.node, told.hurt) == (entry.node, entry.hurt)
        live = child.live and child.ordinal == told.token >> 32
        if unhurt and live and child.progress < told.units:
            faults.append(f"{told} was released in order, and continues from {child.progress}")


def _passed(entry: Committed, unknown: list[tuple[Kept, int | None]], faults: list[str]) -> None:
    """Nobody commits a position beyond a record of an unknown schema before it is set aside."""
    for record, decided in unknown:
        passed = record.partition == entry.partition and record.offset < entry.position
        if passed and (decided is None or decided >= entry.journal[entry.partition]):
            faults.append(f"{entry} passes over {record}, which nobody had set aside")


def _letters(shown: Exhibits, faults: list[str]) -> None:
    """Everything that nobody can read has one dead letter, unless a lost position had it passed over, or read again."""
    lost = {(entry.worker_group, entry.partition) for entry in shown.evidence if isinstance(entry, Lost)}
    decided = decisions(shown.journal), decisions(shown.work)
    for work_log, records in ((False, shown.journal), (True, shown.work)):
        for record in (record for partition in records for record in partition):
            letters = shown.letters[work_log, record.partition, record.offset]
            wanted = not record.newer or (record.partition, record.offset) in decided[work_log]
            if record.event is None and (work_log, record.partition) not in lost and letters != wanted:
                faults.append(f"{record} of the {'work log' if work_log else 'journal'} has {letters} dead letters")


def _submits(shown: Exhibits, journal: JournalModel, faults: list[str]) -> None:
    """What submit acknowledged is there, and whoever was told to be first was."""
    for told, times in Counter(shown.submits).items():
        task = journal.tasks.get(told.task_id)
        if task is None:
            faults.append(f"{told} was acknowledged and is lost")
        elif times > 1 or (task.request.by == told.by) != (told.first is True):
            faults.append(f"{told}, but {task.request.by} made the task")


def _claims(shown: Exhibits, journal: JournalModel, faults: list[str]) -> None:
    """Whoever was told that a redrive, or a backfill, has begun did begin it, and nobody else."""
    effective = journal.effective.union(*(schedule.effective for schedule in journal.schedules.values()))
    for by, took_effect in shown.claims.items():
        if (by in effective) != took_effect:
            faults.append(f"{by} was told {took_effect}, whether what was asked for took effect")


def _told(shown: Exhibits, journal: JournalModel, faults: list[str]) -> None:
    """Compare what readers were told of an ending with its terminal event, which may have come later."""
    for told in shown.told:
        task = journal.tasks[told.task_id]
        if told.redrive >= len(task.ends):
            faults.append(f"{told}, but it never ended")
            continue
        end, tally = task.ends[told.redrive], task.tallies[told.redrive]
        if (told.state, told.children) != (ENDS.get(type(end), "refused"), tally):
            faults.append(f"{told}, but it ended by {end} with {tally}")
