"""What a transaction of a worker says of one child: its records, its new resume point, its record in the work log."""

from __future__ import annotations

from streamsched.domain.events import ChildCheckpointed, ChildCompleted, Event
from streamsched.runtime.records import Records
from streamsched.worker.jobs import PLAN
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.outlet import append_of
from streamsched.worker.pending import Child
from streamsched.worker.progress import CHECKPOINT_FIRST
from streamsched.worker.transaction import Transaction


class Writing:
    """Adds to transactions what is to be written of a child."""

    def __init__(self, records: Records, outcomes: Outcomes) -> None:
        self._records = records
        self._outcomes = outcomes

    def journal(self, transaction: Transaction, child: Child, event: Event) -> None:
        """Write an event of the child to the journal."""
        work = child.work
        transaction.appends.append(self._records.journal(event, work.task_id, work.traceparent))

    def unsaved(self, transaction: Transaction, child: Child, outcome: Event | None = None) -> None:
        """Write what is unsaved of a child, as far as its outcome (None: a checkpoint) covers it. Nothing else does.

        The state stands in the journal, or in the outcome; of a split child with the entries that it covers, as a page.
        """
        unsaved = child.unsaved
        if unsaved.covered and (page := unsaved.page):
            self.journal(transaction, child, self._outcomes.page(child, page))
        elif unsaved.state is not None and (outcome is None or _checkpoint_first(child, outcome)):
            self.journal(transaction, child, self._outcomes.checkpointed(child))
        if unsaved.covered:
            emitted = [record for record in unsaved.records[: unsaved.covered] if record.topic != PLAN]
            transaction.emitted.append((len(transaction.appends), child))
            transaction.appends += [append_of(record, child.work.traceparent) for record in emitted]

    def advance(self, transaction: Transaction, child: Child) -> None:
        """Make the child's latest state durable: in the journal, and as its record."""
        self.unsaved(transaction, child)
        self._replace(transaction, child, self._outcomes.continuation(child, child.latest, recoveries=0))
        transaction.durable.append(child)

    def move(self, transaction: Transaction, child: Child, *, recoveries: int) -> None:
        """Append the child's record again, with the durable state: never one that the journal does not know."""
        durable = (child.sequence, child.state)
        self._replace(transaction, child, self._outcomes.continuation(child, durable, recoveries=recoveries))

    def recover(self, transaction: Transaction, child: Child, count: int) -> None:
        """Write how many recoveries of the child are counted."""
        self.move(transaction, child, recoveries=count)
        transaction.recovered[child] = count

    def _replace(self, transaction: Transaction, child: Child, event: ChildCheckpointed) -> None:
        """Append the record that takes the place of the child's record, and settle the old one."""
        work = child.work
        append = self._records.work(event, work.task_id, child.partition, work.traceparent, track=True)
        transaction.settle(child, [(append, child)])


def _checkpoint_first(child: Child, outcome: Event) -> bool:
    """Return whether the state is written beside the outcome: of a split child none moves the state."""
    return type(outcome) in CHECKPOINT_FIRST or (child.splits and type(outcome) is not ChildCompleted)
