"""The work log as of now (invariant 8): its unsettled records and the live dispatches of the journal are the same.

The cluster may be running meanwhile, and no two reads are of one instant. So their order is what counts::

    fold to J ─ scan the work log to W ─ read the commits M ─ scan on ─ fold to K

* A dispatch that had ended at J was settled by M: a record of it that M leaves unsettled is a fault.
* A dispatch that is live at J and still at K was live at M: M owes it an unsettled record.
* Of the records below W, M leaves at most one unsettled for each dispatch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from streamsched.audit.fold import Journal
from streamsched.audit.journal import DispatchState, Live
from streamsched.audit.positions import Commit, judge_commits, place_of, read_commits
from streamsched.audit.report import Fault, Report
from streamsched.domain import events as e
from streamsched.domain.phases import Told
from streamsched.log.codec import Codec, Undecodable
from streamsched.log.coordination import Coordination
from streamsched.log.event_reader import EventReader, blame
from streamsched.log.port import Log, LogUnreachable, PositionLost, Record, TopicPartition
from streamsched.log.scan import records
from streamsched.log.topics import Topics

TRIES: Final = 5
"""Scans that may be overtaken by an owner that deletes what it has settled."""

Ends = Mapping[TopicPartition, int]


class Entry(NamedTuple):
    """One record of the work log that stands for a dispatch, and where that is as the journal tells at J."""

    place: TopicPartition
    offset: int
    task_id: str
    child: int
    ordinal: int
    sequence: int | None
    """The checkpoint that its next attempt begins from; None where the record cannot be read."""
    dispatch_state: DispatchState


class StopMarker(NamedTuple):
    """One stop marker."""

    place: TopicPartition
    offset: int
    event: e.ChildrenStopping

    def names(self, live: Live) -> bool:
        """Return whether it tells this dispatch so much as it was told, or more."""
        event = self.event
        return (
            event.task_id == live.task_id
            and Told[event.mode.upper()] >= live.told
            and any(
                release.first <= live.child <= release.last and release.ordinal == live.ordinal
                for release in event.releases
            )
        )


class WorkAudit:
    """Compares the work log and the positions of both groups with a journal that can be folded on."""

    def __init__(
        self,
        *,
        log: Log,
        coordination: Coordination,
        topics: Topics,
        codec: Codec,
        journal: Journal,
        findings: Report,
        task_id: str | None,
    ) -> None:
        self._log = log
        self._coordination = coordination
        self._topics = topics
        self._event_reader = EventReader(codec, topics)
        self._journal = journal
        self._findings = findings
        self._task_id = task_id
        self._entries: list[Entry] = []
        self._markers: list[StopMarker] = []

    def judge(self) -> None:
        """Make the comparison."""
        self._judge_journal_group()
        self._journal.catch_up()
        live = list(self._journal.live())
        ends, commits = self._look()
        self._journal.catch_up()
        unsettled = [entry for entry in self._entries if commits[entry.place].leaves(entry.offset)]
        markers = [marker for marker in self._markers if commits[marker.place].leaves(marker.offset)]
        self._judge_epochs(commits)
        self._judge_entries(unsettled, ends)
        self._judge_live(live, unsettled, markers, commits)

    # --- look -------------------------------------------------------------------------------------------------------

    def _judge_journal_group(self) -> None:
        places = self._topics.journal()
        commits = read_commits(self._coordination, self._topics.scheduler_group, places, self._findings)
        # Positions may lie below the first record that is kept: the starts are taken as 0.
        judge_commits(commits, dict.fromkeys(places, 0), self._log.end(places), self._findings)

    def _look(self) -> tuple[Ends, Mapping[TopicPartition, Commit]]:
        """Scan the work log around reading the commits; return the ends before, and what is committed."""
        group, places = self._topics.worker_group, self._topics.work_log()
        for _ in range(TRIES):
            self._entries, self._markers = [], []
            before = read_commits(self._coordination, group, places, None, stable=False)
            known = list(before)
            starts, ends = self._log.start(known), self._log.end(known)
            begin = {place: min(max(before[place].position, starts[place]), ends[place]) for place in known}
            try:
                self._scan(begin, ends)
                commits = read_commits(self._coordination, group, places, None)
                after = self._log.end(known)
                self._scan(ends, after)
            except PositionLost:
                continue
            read_commits(self._coordination, group, [place for place in places if place not in commits], self._findings)
            commits = {place: commits[place] for place in known if place in commits}
            self._entries = [entry for entry in self._entries if entry.place in commits]
            self._markers = [marker for marker in self._markers if marker.place in commits]
            judge_commits(commits, starts, after, self._findings)
            return ends, commits
        raise LogUnreachable(f"{self._topics.children} is trimmed faster than it can be read; try again")

    def _scan(self, begin: Ends, ends: Ends) -> None:
        """Read the work log from and up to these positions."""
        places = [place for place in begin if begin[place] < ends[place]]
        starts, limits = ({place: edge[place] for place in places} for edge in (begin, ends))
        for record in records(self._log, starts, limits):
            self._note(TopicPartition(record.topic, record.partition), record)

    def _note(self, place: TopicPartition, record: Record) -> None:
        if self._task_id is not None and record.key != self._task_id.encode():
            return
        try:
            event = self._event_reader.work(record)
        except Undecodable:
            blamed = blame(record.headers)
            if blamed is not None:
                self._add(place, record.offset, *blamed, None)
            return
        if isinstance(event, e.ChildrenStopping):
            self._markers.append(StopMarker(place, record.offset, event))
        elif not isinstance(event, e.RecordSetAside):
            self._add(place, record.offset, event.task_id, event.child, event.ordinal, event.sequence)

    def _add(
        self, place: TopicPartition, offset: int, task_id: str, child: int, ordinal: int, sequence: int | None
    ) -> None:
        if self._task_id not in (None, task_id):
            return
        dispatch_state = self._journal.dispatch_state(task_id, child, ordinal)
        self._entries.append(Entry(place, offset, task_id, child, ordinal, sequence, dispatch_state))

    # --- judge ------------------------------------------------------------------------------------------------------

    def _judge_epochs(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Find events of an owner that never claimed its partition."""
        for heard_at, partition, epoch, (task_id, child, offset) in self._journal.epochs():
            commit = commits.get(TopicPartition(self._topics.children, partition))
            if commit is not None and epoch > commit.metadata.epoch:
                expected = f"an epoch of partition {partition} that was claimed: at most {commit.metadata.epoch}"
                self._findings.add(Fault(4, child, expected, f"epoch {epoch}"), task_id, place_of(heard_at, offset))

    def _judge_entries(self, unsettled: Iterable[Entry], ends: Ends) -> None:
        first: dict[tuple[str, int], Entry] = {}
        for entry in unsettled:
            if entry.sequence is None:
                continue  # its headers may name anything, until its owner sets it aside
            if self._journal.is_excused(entry.task_id):
                continue
            fault = self._judge_entry(entry)
            other = first.setdefault((entry.task_id, entry.child), entry)
            if fault is None and other is not entry and max(other.offset, entry.offset) < ends[entry.place]:
                expected = f"one unsettled record of child {entry.child}"
                fault = Fault(8, entry.child, expected, f"another at offset {other.offset}")
            if fault:
                self._findings.add(fault, entry.task_id, place_of(entry.place, entry.offset))

    def _judge_entry(self, entry: Entry) -> Fault | None:
        child, ordinal = entry.child, entry.ordinal
        if entry.dispatch_state is DispatchState.ENDED:
            return Fault(8, child, f"the record of ordinal {ordinal} settled with its outcome", "it is unsettled")
        now = self._journal.dispatch_state(entry.task_id, child, ordinal)
        if now is DispatchState.UNKNOWN:
            return Fault(8, child, f"a dispatch with ordinal {ordinal} in the journal", "a record of the work log only")
        task = self._journal.task(entry.task_id)
        if now is not DispatchState.LIVE or task is None:
            return None
        if task.partition_of(child) != entry.place.partition:
            return Fault(8, child, f"its record in partition {task.partition_of(child)}", f"{entry.place.partition}")
        return None

    def _judge_live(
        self,
        live: Iterable[Live],
        unsettled: Iterable[Entry],
        markers: Iterable[StopMarker],
        commits: Mapping[TopicPartition, Commit],
    ) -> None:
        readable_last = sorted(unsettled, key=lambda entry: entry.sequence is not None)
        found = {(entry.task_id, entry.child, entry.ordinal): entry for entry in readable_last}
        stops: dict[str, list[StopMarker]] = {}
        for marker in markers:
            stops.setdefault(marker.event.task_id, []).append(marker)
        for dispatch in live:
            child, ordinal = dispatch.child, dispatch.ordinal
            place = TopicPartition(self._topics.children, dispatch.partition)
            commit = commits.get(place)
            if (
                commit is None
                or self._journal.dispatch_state(dispatch.task_id, child, ordinal) is not DispatchState.LIVE
            ):
                continue
            entry = found.get((dispatch.task_id, child, ordinal))
            fault = None
            if entry is None:
                fault = Fault(8, child, f"an unsettled record of the live ordinal {ordinal} from here on", "none")
            elif entry.sequence is not None:
                fault = self._judge_sequence(dispatch, entry.sequence)
            if not fault and dispatch.told and not any(m.names(dispatch) for m in stops.get(dispatch.task_id, ())):
                fault = Fault(8, child, "an unsettled stop marker that names it from here on", "none")
            if fault:
                offset = entry.offset if entry else commit.position
                self._findings.add(fault, dispatch.task_id, place_of(place, offset))

    def _judge_sequence(self, dispatch: Live, sequence: int) -> Fault | None:
        """Compare the checkpoint of a record with the journal's, which may have moved on since."""
        task = self._journal.task(dispatch.task_id)
        latest = task.detail_of(dispatch.child).sequence if task else 0
        if dispatch.sequence <= sequence <= latest:
            return None
        return Fault(4, dispatch.child, f"a record that continues from checkpoint {latest}", f"from {sequence}")
