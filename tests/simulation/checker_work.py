"""The checker's model of the groups' places: who holds a partition, and that nothing is settled before its time."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from streamsched.domain import events as e
from tests.simulation.evidence import Committed, Exhibits, Kept, Lost, decisions

Dispatch = tuple[str, int, int]
"""Task, child, ordinal."""


def settled_in(position: int, metadata: str) -> Callable[[int], bool]:
    """Read a commit: which offsets does it call settled?"""
    spans = list(_settled(position, metadata.split(" ")[5]))
    return lambda offset: offset < position or any(first <= offset < end for first, end in spans)


def _settled(position: int, runs: str) -> Iterator[tuple[int, int]]:
    at, turn, value, shift = position, 0, 0, 0
    for byte in b"" if runs == "-" else urlsafe_b64decode(runs):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if turn % 2:
                yield at, at + value
            at, turn, value, shift = at + value, turn + 1, 0, 0


class Journal(Protocol):
    """What the places are held against."""

    outcomes: set[Dispatch]
    """Dispatches of which a worker has told the outcome so far."""

    def resume_point(self, dispatch: Dispatch) -> tuple[int, str | None] | None:
        """Tell sequence and state of a dispatch that is live, None where it is not."""


@dataclass
class Place:
    """One group's place in one partition."""

    node: str = ""
    epoch: int = 0
    counter: int = 0
    released: bool = True
    position: int = 0
    runs: str = "-"


@dataclass
class Holdings:
    """The records of one partition of the work log, as far as they are settled."""

    records: list[Kept]
    met: int = 0
    unsettled: dict[int, Kept] = field(default_factory=dict)
    latest: dict[Dispatch, int] = field(default_factory=dict)
    """The offset of the last record of each dispatch."""
    highest: dict[tuple[str, int], int] = field(default_factory=dict)
    """The highest ordinal of each child."""
    end: int = 0
    """How far the partition had come at the last commit."""


class WorkModel:
    """Follows every commit of both groups."""

    def __init__(self, shown: Exhibits, journal: Journal, faults: list[str]) -> None:
        self._journal = journal
        self._faults = faults
        self._letters = shown.letters
        self._places: Final[dict[tuple[bool, int], Place]] = {}
        self._holdings = [Holdings(records) for records in shown.work]
        self._decided = decisions(shown.work)

    def owns(self, node: str, partition: int, epoch: int) -> bool:
        """Tell whether a node owns a partition of the work log in this epoch: they begin anew where places are lost."""
        place = self._place(True, partition)
        return (place.node, place.epoch) == (node, epoch)

    def commit(self, entry: Committed) -> Place:
        """Hold a commit against the one before it, and against the log."""
        before = self._place(entry.worker_group, entry.partition)
        _, writer, epoch, counter, state, runs = entry.metadata.split(" ")
        now = Place(entry.node, int(epoch), int(counter), state == "released", entry.position, runs)
        what = f"{'work log' if entry.worker_group else 'journal'} {entry.partition}: commit of {writer}"
        if f".{entry.node}." not in writer:
            self._faults.append(f"{what} was made by {entry.node}")
        if now.counter != before.counter + 1:
            self._faults.append(f"{what}: counter {now.counter} after {before.counter}")
        if now.epoch == before.epoch + 1:
            if (now.position, now.runs) != (before.position, before.runs):
                self._faults.append(f"{what}: the claim moved {before} to {now}")
            if not (entry.fenced or before.released or before.node == now.node):
                self._faults.append(f"{what}: claimed while {before.node} held it and could still write")
        elif now.epoch != before.epoch or now.node != before.node:
            self._faults.append(f"{what}: {now} after {before}")
        self._places[entry.worker_group, entry.partition] = now
        if entry.worker_group:
            if now.position < before.position:
                self._faults.append(f"{what}: position {now.position} after {before.position}")
            self._settle(entry, what)
        return now

    def lost(self, entry: Lost) -> None:
        """Begin anew: what was pending is dispatched again."""
        self._places[entry.worker_group, entry.partition] = Place(position=entry.position)
        if entry.worker_group:
            holdings = self._holdings[entry.partition]
            self._meet(holdings, entry.position, "")
            holdings.unsettled.clear()

    def close(self) -> None:
        """Nothing may be left, but what only a newer version can read."""
        for holdings in self._holdings:
            left = [*holdings.unsettled.values(), *holdings.records[holdings.met :]]
            self._faults.extend(f"left unsettled: {record}" for record in left if self._wanted(record))

    def _wanted(self, record: Kept) -> bool:
        """Tell whether this version has to settle it: what only a newer one can read, once it is set aside."""
        return not record.newer or (record.partition, record.offset) in self._decided

    def _place(self, worker_group: bool, partition: int) -> Place:
        return self._places.setdefault((worker_group, partition), Place())

    def _meet(self, holdings: Holdings, end: int, what: str) -> None:
        records = holdings.records
        while holdings.met < len(records) and records[holdings.met].offset < end:
            record = records[holdings.met]
            holdings.met += 1
            holdings.unsettled[record.offset] = record
            dispatch = _dispatch(record.event)
            if dispatch is not None:
                holdings.latest[dispatch] = record.offset
                child, ordinal = dispatch[:2], dispatch[2]
                holdings.highest[child] = max(ordinal, holdings.highest.get(child, 0))
                event = record.event
                if what and isinstance(event, e.ChildCheckpointed):
                    point = self._journal.resume_point(dispatch)
                    if point is not None and point != (event.sequence, event.state):
                        self._faults.append(f"{what}: continuation at {event.sequence} {event.state}, not {point}")

    def _settle(self, entry: Committed, what: str) -> None:
        holdings = self._holdings[entry.partition]
        self._meet(holdings, entry.end, what)
        holdings.end = entry.end
        settled = settled_in(entry.position, entry.metadata)
        done = [record for offset, record in holdings.unsettled.items() if settled(offset)]
        for record in done:
            del holdings.unsettled[record.offset]
        for record in done:
            why = self._too_early(record, holdings)
            if why:
                self._faults.append(f"{what} settles {record}, {why}")

    def _too_early(self, record: Kept, holdings: Holdings) -> str:
        """Tell why a record may not be settled now; empty where it may."""
        event = record.event
        dispatch = _dispatch(event)
        if dispatch is not None:
            if dispatch in self._journal.outcomes or holdings.latest[dispatch] > record.offset:
                return ""
            if holdings.highest[dispatch[:2]] > dispatch[2] and self._journal.resume_point(dispatch) is None:
                return ""  # its dispatch was ended by something else than its worker, and the child had another one
            return "of which nothing is told in the journal and nothing takes its place"
        if isinstance(event, e.ChildrenStopping):
            for release in event.releases:
                for child in range(release.first, release.last + 1):
                    offset = holdings.latest.get((event.task_id, child, release.ordinal))
                    if offset in holdings.unsettled:
                        return f"while child {child}, which it stops, is pending at {offset}"
            return ""
        if isinstance(event, e.RecordSetAside):
            return "while the record that it sets aside is pending" if event.offset in holdings.unsettled else ""
        if not self._wanted(record) or self._decided.get((record.partition, record.offset), 0) >= holdings.end:
            return "which only a newer version can read"
        return "" if self._letters[True, record.partition, record.offset] else "without a dead letter"


def _dispatch(event: e.Event | None) -> Dispatch | None:
    if isinstance(event, e.ChildCreated):
        return event.task_id, event.child, event.ordinal
    if isinstance(event, e.ChildCheckpointed) and event.work is not None:
        return event.task_id, event.child, event.ordinal
    return None
