"""Reading the work log: what was read and is not settled becomes the pending set of a partition.

Children go to ``Children``, a stop marker to the children that it names, rubbish to the dead letters. All of it
can be lost at any time and is read again by the next owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from streamsched.domain import events as e
from streamsched.log.codec import Codec, Undecodable, UnknownSchema
from streamsched.log.event_reader import EventReader, set_aside
from streamsched.log.port import Log, PositionLost, Record, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.dead_letter import dead_letter
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.runtime.tracker import NEW
from streamsched.worker.children import Children
from streamsched.worker.intents import MODES
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.pending import Child, OwnedPartition, StopMarker, Unreadable, child_of
from streamsched.worker.settlement import Settlement

logger = logging.getLogger(__name__)

READ: Final = 2_000
"""Records read in one step."""
FED: Final = 100
"""Records after which the pool is fed: executors begin before all was read."""
HELD: Final = 20_000
"""Pending children from which on the worker reads no further, unless a place grows too long for want of reading."""


class Reading:
    """Reads the owned partitions.

    ``ask_group`` asks the group which partitions are still ours; ``children`` receives the children that are read.
    """

    def __init__(
        self, *, log: Log, topics: Topics, codec: Codec, me: Identity, owned: Mapping[int, OwnedPartition],
        outcomes: Outcomes, settlement: Settlement, ask_group: Callable[[], None], children: Children,
    ) -> None:  # fmt: skip
        self._topics = topics
        self._event_reader = EventReader(codec, topics)
        self._records = Records(codec, topics)
        self._me = me
        self._owned = owned
        self._outcomes = outcomes
        self._settlement = settlement
        self._ask_group = ask_group
        self._children = children
        self._reader = log.reader()
        self._on_event: dict[type[e.Event], Callable[[OwnedPartition, Record, Any], None]] = {
            e.ChildCreated: self._on_child,
            e.ChildCheckpointed: self._on_child,
            e.ChildrenStopping: self._on_marker,
            e.RecordSetAside: self._on_decision,
        }

    def read(self, timeout: float) -> int:
        """Read on, where there is room for more; returns the number of records."""
        held = sum(len(owned.children) for owned in self._owned.values())
        if held >= HELD and not self._settlement.crowded:
            return 0
        try:
            return self._take(timeout, feed=True)
        except PositionLost:
            # While this process was frozen, a new owner may have trimmed the partition. Poll the group: if we
            # still own it, the position really is lost.
            self._ask_group()
            return self._take(timeout, feed=True)

    def read_on(self) -> int:
        """Read what is there while partitions are handed over, when the group cannot be asked."""
        return self._take(0.0)

    def _take(self, timeout: float, *, feed: bool = False) -> int:
        records = self._reader.poll(READ, timeout)
        for number, record in enumerate(records, 1):
            owned = self._owned.get(record.partition)
            if owned is not None:
                self._on_record(owned, record)
            if feed and number % FED == 0:
                self._children.feed()
        for owned in self._owned.values():
            if owned.markers or not owned.caught_up:
                self._advance(owned)
                self._close_markers(owned)
        return len(records)

    def pass_markers(self) -> None:
        """Note up to where each partition was read: what stands behind its last record are markers of transactions."""
        for owned in self._owned.values():
            self._advance(owned)

    def _advance(self, owned: OwnedPartition) -> None:
        owned.tracker.advance(self._reader.position(TopicPartition(self._topics.children, owned.number)))

    def assign(self, new: Mapping[int, int]) -> None:
        """Read what is owned now: new partitions from these positions, the others from where they are."""
        positions = {}
        for number in self._owned:
            place = TopicPartition(self._topics.children, number)
            positions[place] = new[number] if number in new else self._reader.position(place)
        self._reader.assign(positions)

    def close(self) -> None:
        """Release the reader."""
        self._reader.close()

    # --- one record -------------------------------------------------------------------------------------------------

    def _on_record(self, owned: OwnedPartition, record: Record) -> None:
        if owned.tracker.classify(record.offset) is not NEW:
            return
        try:
            event = self._event_reader.work(record)
        except UnknownSchema as error:
            logger.error("work log: %s; it stays unsettled", error)
            owned.tracker.add(record.offset, Unreadable(owned.number, record.offset))
            owned.unknown[record.offset] = record
        except Undecodable as error:
            owned.tracker.add(record.offset, Unreadable(owned.number, record.offset))
            self._poison(record, str(error))
        else:
            self._on_event[type(event)](owned, record, event)

    def _on_child(self, owned: OwnedPartition, record: Record, work: e.Work) -> None:
        inherited = not owned.released and record.offset < owned.end
        child = child_of(work, partition=owned.number, offset=record.offset, epoch=owned.epoch, inherited=inherited)
        owned.tracker.add(record.offset, child)
        superseded = owned.hold(child)
        if superseded is child:
            self._settlement.ended(child)  # an old record that was written again
            return
        if superseded is not None:
            self._replace(superseded)
        if owned.markers:
            for marker in owned.markers_for(child):
                self._obey(child, marker)
        if not child.gone:
            self._children.begin(child)

    def _replace(self, known: Child) -> None:
        """Replace a pending child by a later record of it.

        Either a new owner moved it on while this process was frozen, or it was written twice: a child that runs or has
        ended settles its own record.
        """
        if known.key is None and not known.gone:
            self._settlement.ended(known)
        known.gone = True

    def _on_marker(self, owned: OwnedPartition, record: Record, stopping: e.ChildrenStopping) -> None:
        marker = StopMarker(owned.number, record.offset, stopping)
        owned.tracker.add(marker.offset, marker)
        owned.markers.append(marker)
        for child in list(owned.named(stopping)):
            self._obey(child, marker)

    def _obey(self, child: Child, marker: StopMarker) -> None:
        """Stop a child that a marker names; the marker is settled with it or later."""
        marker.waiting += 1
        child.markers.append(marker)
        if not child.gone:
            self._children.stop(child, MODES[marker.event.mode], marker.event.reason)

    def _close_markers(self, owned: OwnedPartition) -> None:
        """Once all was read that was there at the claim, a marker names nothing that we have not met."""
        if not owned.caught_up:
            return
        for marker in owned.markers:
            marker.open = False
            if not marker.waiting:
                self._settlement.settle_alone(marker, [])
        owned.markers.clear()

    def _on_decision(self, owned: OwnedPartition, record: Record, decision: e.RecordSetAside) -> None:
        """Set a record of an unknown schema aside, as an operator decided.

        Of what is settled alone the lowest offsets go first: the decision is never settled without its record.
        """
        unreadable = Unreadable(owned.number, record.offset)
        owned.tracker.add(record.offset, unreadable)
        unknown = owned.unknown.pop(decision.offset, None)
        if unknown is not None:
            self._poison(unknown, str(set_aside(unknown, decision)))
        self._settlement.settle_alone(unreadable, [])

    def _poison(self, record: Record, reason: str) -> None:
        """Set a record aside that is pending: dead letter, and failure of the child that its headers name."""
        logger.error("dead letter: %s", reason)
        appends = [dead_letter(self._records, self._me, record, reason)]
        failure = self._outcomes.poisoned(record, reason)
        if failure is not None:
            appends.append(self._records.journal(failure, failure.task_id))
        self._settlement.settle_alone(Unreadable(record.partition, record.offset), appends)
