"""Settling: outcomes and checkpoints of a worker become one transaction with the positions of its partitions.

A child leaves the pending set only here: its record is settled in the transaction that writes its outcome, or that
appends the continuation which takes its place. What was settled for a transaction that aborted is restored. Children
that emit are written in a transaction of their own, behind that of the others (``emission.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Final

from streamsched.domain.events import Event
from streamsched.log.port import Append, AppendRefused, LogError, TransactionAborted, WriterFenced
from streamsched.runtime.ownership import Ownership
from streamsched.runtime.records import Records
from streamsched.runtime.tracker import CommitPoint
from streamsched.worker import measures
from streamsched.worker.emission import Emission
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.outlet import Outlet
from streamsched.worker.pending import Child, Item, OwnedPartition
from streamsched.worker.progress import NOTHING, Unsaved
from streamsched.worker.transaction import RecordId, Transaction
from streamsched.worker.writing import Writing

BATCH: Final = 1_000
"""Outcomes, or counts of recoveries, in one transaction."""
RENEWED: Final = 200
"""Records renewed at once when a partition's commit gets crowded."""
SPREAD: Final = 50_000
"""Records that one unsettled record may hold back before it is renewed."""


class Settlement:
    """Collects what has to be written, and writes it."""

    def __init__(
        self, *, ownership: Ownership, records: Records, outcomes: Outcomes, owned: Mapping[int, OwnedPartition],
        on_durable: Callable[[Child, Unsaved], None], on_recovered: Callable[[Child], None],
        on_refused: Callable[[Child, AppendRefused], None], now: Callable[[], float], outlet: Outlet,
    ) -> None:  # fmt: skip
        self._ownership = ownership
        self._writing = Writing(records, outcomes)
        self._owned = owned
        self._on_durable = on_durable
        self._on_recovered = on_recovered
        self._on_refused = on_refused
        self._now = now
        self._emission = Emission(outlet)
        self._endings: dict[Child, Event | None] = {}
        self._notes: list[tuple[Child, Event]] = []
        self._checkpoints: dict[Child, None] = {}
        self._recoveries: dict[Child, int] = {}
        self._lone: dict[RecordId, tuple[Item, list[Append]]] = {}
        self._crowded: set[int] = set()

    def __len__(self) -> int:
        waiting = len(self._endings) + len(self._notes) + len(self._recoveries) + len(self._lone)
        if self._emission.holds(self._now):
            return waiting + sum(not child.unsaved.emits for child in self._checkpoints)
        return waiting + len(self._checkpoints) + len(self._emission.endings)

    @property
    def full(self) -> bool:
        """Whether a transaction's worth is waiting."""
        return len(self._endings) >= BATCH

    @property
    def crowded(self) -> bool:
        """Whether a partition has many isolated settlements: what is not read yet isolates them even more."""
        return bool(self._crowded)

    # --- collect ----------------------------------------------------------------------------------------------------

    def ended(self, child: Child, outcome: Event | None = None) -> None:
        """Write the outcome of a dispatch that is over, and settle its record.

        Without an outcome its record is settled alone: another one stands for it.
        """
        child.gone = True
        self._checkpoints.pop(child, None)
        self._recoveries.pop(child, None)
        if child.unsaved.emits:
            self._emission.endings[child] = outcome
        else:
            self._endings[child] = outcome

    def take_back(self, child: Child) -> None:
        """Write no outcome of a child: another one stands for it."""
        self._emission.endings.pop(child, None)

    def note(self, child: Child, event: Event) -> None:
        """Write an event for information."""
        self._notes.append((child, event))

    def checkpoint(self, child: Child) -> None:
        """Make the child's latest state durable."""
        self._checkpoints[child] = None

    def recover(self, child: Child, count: int) -> None:
        """Have this count of recoveries in the log, before the child starts or is handed over."""
        if count == child.recoveries:
            self._recoveries.pop(child, None)
        else:
            self._recoveries[child] = count

    def settle_alone(self, item: Item, appends: list[Append]) -> None:
        """Settle a record that is not a child's own: a finished marker, a poison record with its dead letter."""
        self._lone[item.partition, item.offset] = item, appends

    def drop(self, partitions: Collection[int]) -> None:
        """Forget what belongs to partitions that are owned no more."""
        gone = set(partitions)
        self._endings = {c: outcome for c, outcome in self._endings.items() if c.partition not in gone}
        self._notes = [(c, event) for c, event in self._notes if c.partition not in gone]
        self._checkpoints = {c: None for c in self._checkpoints if c.partition not in gone}
        self._recoveries = {c: count for c, count in self._recoveries.items() if c.partition not in gone}
        self._lone = {record: entry for record, entry in self._lone.items() if record[0] not in gone}
        self._crowded -= gone
        self._emission.drop(gone)

    # --- write ------------------------------------------------------------------------------------------------------

    def commit(self) -> bool:
        """Write what was collected in one transaction, and another one of what emits; False: try again later."""
        if not self._commit_rest():
            return False
        if (self._emission.endings or self._checkpoints) and not self._emission.holds(self._now):
            self._commit_emitted()
        return True

    def _commit_rest(self) -> bool:
        transaction = Transaction(self._owned)
        self._renew(transaction)
        self._write_recoveries(transaction)
        self._write_checkpoints(transaction)
        self._write_notes(transaction)
        self._write_endings(transaction, islice(self._endings, BATCH))
        self._write_lone(transaction, self._lone)
        if not transaction.partitions:
            return True
        if self._tight(transaction):
            return self._write_with_room(transaction)
        return self._write(transaction)

    def _commit_emitted(self) -> None:
        """Write checkpoints and outcomes of children that emit, the others have landed: a marker may name both."""
        emission = self._emission
        told = [child for child in self._checkpoints if child.unsaved.state is not None and child.unsaved.emits]
        for child, refused in emission.refusals(told, self._now()):
            self._on_refused(child, refused)
        batch = list(emission.batch([child for child in [*told, *emission.endings] if child.unsaved.emits]))
        while batch:
            transaction = Transaction(self._owned, emits=True)
            for child in batch:
                if child not in emission.endings:
                    self._writing.advance(transaction, child)
            self._write_endings(transaction, [child for child in batch if child in emission.endings])
            if not (tight := self._tight(transaction)):
                break
            self._crowded.update(tight)  # the next transaction of the others makes room
            transaction.restore()
            del batch[len(batch) // 2 :]
        else:
            return
        try:
            if self._write(transaction):
                emission.written()
            else:
                emission.failed(batch, self._now(), "the transaction was aborted")
        except AppendRefused as refused:
            if blamed := emission.refused(batch, transaction.emitter(refused.index)):
                self._on_refused(blamed, refused)

    def _write_with_room(self, transaction: Transaction) -> bool:
        """Write what leaves too many isolated settlements behind, with room made for it: the oldest records move up.

        Where stop markers or rubbish stand between them, that isolates more. Then what can be settled alone, outcomes
        and those, the lowest first and as many as fit: it lets the position advance. At last both, however many.
        """
        tight = self._tight(transaction)
        self._crowded.update(tight)
        self._make_room(transaction, tight)
        if not self._tight(transaction):
            return self._write(transaction)
        transaction.restore()
        ended = {(child.partition, child.offset): child for child in self._endings}
        lowest = sorted(ended.keys() | self._lone.keys())[:BATCH]
        while lowest:
            transaction = Transaction(self._owned)
            self._write_endings(transaction, [ended[record] for record in lowest if record in ended])
            self._write_lone(transaction, [record for record in lowest if record in self._lone])
            if not self._tight(transaction):
                return self._write(transaction)
            transaction.restore()
            del lowest[len(lowest) // 2 :]
        transaction = Transaction(self._owned)  # all: a stop marker is settled with the last child that it names
        self._write_endings(transaction, [child for child in self._endings if child.partition in tight])
        self._write_lone(transaction, [record for record in self._lone if record[0] in tight])
        self._make_room(transaction, tight)
        if self._tight(transaction) or not transaction.partitions:
            transaction.restore()
            return False
        return self._write(transaction) and self._crowded.isdisjoint(tight)

    def _tight(self, transaction: Transaction) -> list[int]:
        """List the partitions whose commit metadata cannot hold what the transaction settles."""
        return [number for number, point in self._commit_points(transaction.partitions).items() if not point.fits]

    def release(self, partitions: Collection[int]) -> None:
        """Commit the release mark of those partitions that are still owned and are handed over in order.

        One that may still hold a child that took its last owner down, uncounted, is left as if this owner had died.
        """
        mine = [number for number in partitions if number in self._owned and self._owned[number].accounted]
        tight = [number for number, point in self._commit_points(mine).items() if not point.fits]
        if tight:
            transaction = Transaction(self._owned)
            self._make_room(transaction, tight)
            self._write(transaction)
        points = self._commit_points(number for number in mine if number in self._owned)
        if points:
            self._ownership.commit([], points, release=True)

    def _write(self, transaction: Transaction) -> bool:
        points = self._commit_points(transaction.partitions)
        try:
            offsets = self._ownership.commit(transaction.appends, points)
        except WriterFenced:
            return False
        except LogError as error:
            transaction.restore()
            if isinstance(error, TransactionAborted):
                return False
            raise
        self._landed(transaction, offsets, points)
        return True

    def _commit_points(self, partitions: Iterable[int]) -> dict[int, CommitPoint]:
        return {number: self._owned[number].tracker.commit_point() for number in partitions}

    def _renew(self, transaction: Transaction) -> None:
        """Move up the oldest records of partitions that are crowded, or that reach back too far."""
        for number, partition in self._owned.items():
            tracker = partition.tracker
            if number not in self._crowded and tracker.read - tracker.low <= SPREAD:
                continue
            for item in tracker.oldest(RENEWED):
                for child in item.renewed:
                    if child not in self._recoveries and child not in self._endings:
                        self._move_up(transaction, child)

    def _make_room(self, transaction: Transaction, partitions: Iterable[int]) -> None:
        """Move up as many of the oldest records as it takes for the commit metadata to have room again.

        To fit alone would not do: the next commit needs room too.
        """
        for number in partitions:
            tracker = self._owned[number].tracker
            oldest = [child for item in tracker.oldest(len(tracker)) for child in item.renewed]
            for first in range(0, len(oldest), RENEWED):
                for child in oldest[first : first + RENEWED]:
                    self._move_up(transaction, child)
                if not tracker.commit_point().crowded:
                    break

    def _move_up(self, transaction: Transaction, child: Child) -> None:
        """Renew a record: append it again, at the end of its partition, with what was told or counted since."""
        if (count := self._recoveries.get(child)) is not None:
            self._writing.recover(transaction, child, count)
        elif child.unsaved.state is not None and child not in self._endings and not child.unsaved.emits:
            self._writing.advance(transaction, child)
        else:
            self._writing.move(transaction, child, recoveries=child.recoveries)

    def _write_recoveries(self, transaction: Transaction) -> None:
        for child, count in islice(self._recoveries.items(), BATCH):
            self._writing.recover(transaction, child, count)

    def _write_checkpoints(self, transaction: Transaction) -> None:
        renewed = set(transaction.durable)
        for child in self._checkpoints:
            if child.unsaved.state is not None and child not in renewed and not child.unsaved.emits:
                self._writing.advance(transaction, child)

    def _write_notes(self, transaction: Transaction) -> None:
        for child, event in self._notes:
            self._writing.journal(transaction, child, event)
            transaction.partitions.add(child.partition)
        transaction.notes = len(self._notes)

    def _write_endings(self, transaction: Transaction, ended: Iterable[Child]) -> None:
        """Write outcomes, and settle their records, with them the stop markers that name nothing else any more."""
        endings = self._emission.endings if transaction.emits else self._endings
        for child in ended:
            outcome = endings[child]
            if outcome is not None:
                if child.unsaved is not NOTHING:
                    self._writing.unsaved(transaction, child, outcome)
                self._writing.journal(transaction, child, outcome)
            transaction.settle(child)
            transaction.ended.append(child)
            for marker in child.markers:
                left = transaction.closing[marker] = transaction.closing.get(marker, marker.waiting) - 1
                if not left and not marker.open:
                    transaction.settle(marker)

    def _write_lone(self, transaction: Transaction, records: Iterable[RecordId]) -> None:
        for record in records:
            item, appends = self._lone[record]
            transaction.appends += appends
            transaction.settle(item)
            transaction.lone.append(record)

    def _landed(self, transaction: Transaction, offsets: Mapping[int, int], points: Mapping[int, CommitPoint]) -> None:
        for number in transaction.partitions - self._owned.keys():
            transaction.forget(number)  # found lost when the outcome was unknown
        for index, child in transaction.continued:
            child.offset = offsets[index]
            self._owned[child.partition].tracker.appended(child.offset, child)
        for child, count in transaction.recovered.items():
            child.recoveries = count
            child.inherited = False
            self._recoveries.pop(child, None)
            self._on_recovered(child)
        for child in transaction.durable:
            child.sequence, child.state = child.latest
            written, child.unsaved = child.unsaved, child.unsaved.saved()
            child.recoveries = 0
            self._checkpoints.pop(child, None)
            self._on_durable(child, written)
        del self._notes[: transaction.notes]
        if self._notes:  # outcomes went alone: what was to be told of their children is old by now
            ended = set(transaction.ended)
            self._notes = [(child, event) for child, event in self._notes if child not in ended]
        for record in transaction.lone:
            self._lone.pop(record, None)
        endings = self._emission.endings if transaction.emits else self._endings
        measures.note(transaction.ended, endings)
        for child in transaction.ended:
            del endings[child]
            self._owned[child.partition].forget(child)
            for marker in child.markers:
                marker.waiting -= 1
        self._crowded = {number for number in self._crowded if number not in points} | {
            number for number, point in points.items() if point.crowded
        }
