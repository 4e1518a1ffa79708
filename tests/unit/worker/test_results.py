"""What a reduce reads: the results that stand at its basis, whatever else the journal holds."""

from __future__ import annotations

from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.domain.options import ReduceInput
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryCluster
from streamsched.log.topics import Topics
from streamsched.runtime.records import Records
from streamsched.testing.clock import VirtualClock
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from streamsched.worker import results
from streamsched.worker.context import ChildContext, LocalTransport
from streamsched.worker.results import Results, ResultsUnreadable, read_results
from tests.support.journals import request, template

REQUEST = 7


class Journal:
    """One partition of a journal with a task of five children, number 2 of which fails."""

    def __init__(self) -> None:
        self.codec, self.clock = Codec(), VirtualClock()
        self.topics = Topics(event_partitions=1, child_partitions=1)
        self.log = MemoryCluster(clock=self.clock.now).connect("client")
        self.log.create_topics(self.topics.specs())
        self.number = REQUEST
        self.begun = self.clock.now()

    def tell(self, *events: e.Event) -> None:
        records = Records(self.codec, self.topics)
        self.log.append([records.journal(event, getattr(event, "task_id", "task")) for event in events])

    def made(self, cls: type[Any], *fields: Any) -> Any:
        self.number += 1
        return cls(self.number.to_bytes(16), self.clock.now(), "w", "task", *fields)

    def live(self, *, reset: bool = False) -> int:
        """Write the life of the task, and return the position at which its work children have ended."""
        self.tell(self.made(e.TaskRedriven, 1, "all", False, "", ""))
        self.tell(request(template(), "other", 1), request(template(), "task", REQUEST))
        self.tell(
            self.made(e.TaskPlanned, 0, 5, "{}", "", 0, 1),
            self.made(e.ChildrenDispatched, (e.Release(0, 4, 1, 0),), 0),
        )
        if reset:
            self.tell(e.PartitionReset(bytes(16), 1, "w", 0))
            for child in range(5):
                self.tell(self.made(e.ChildCompleted, child, 1, 1, 1, 1, 0, '"void"'))
            self.tell(self.made(e.ChildrenDispatched, (e.Release(0, 4, 2, 0),), 0))
        ordinal = 2 if reset else 1
        for child in (4, 3, 1, 0):
            self.tell(self.made(e.ChildCompleted, child, ordinal, 1, 1, 1, 0, str(child * 10) if child else None))
        self.tell(self.made(e.ChildFailed, 2, ordinal, 1, 1, 1, 0, None, "error", "E", "", "", False, 0))
        basis = self.log.end(self.topics.journal())[self.topics.journal()[0]]
        self.tell(
            self.made(e.TaskCancelRequested, 0, ""),
            self.made(e.TaskCancelled, 0, "", 0),
            self.made(e.TaskRedriven, 1, "all", False, "", ""),
        )
        return basis

    def read(self, basis: int, *, number: int = REQUEST, end: int = 5) -> Results:
        wanted = ReduceInput(number.to_bytes(16).hex(), self.begun, basis, 0, end)
        return read_results(
            View(MemoryStore(), self.codec), log=self.log, topics=self.topics, codec=self.codec, task_id="task",
            wanted=wanted, alive=lambda: None,
        )  # fmt: skip


def pairs(found: Any) -> list[tuple[int, Any]]:
    return [(result.index, result.value) for result in found]


STAND = [(0, None), (1, 10), (3, 30), (4, 40)]


@pytest.mark.parametrize("reset", [False, True])
def test_it_reads_in_order_what_stands_at_the_basis(reset: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "BATCH", 2)
    monkeypatch.setattr(results, "FLUSH_EVERY", 1)
    journal = Journal()
    found = journal.read(journal.live(reset=reset))
    assert (len(found), found.missing) == (4, 1)
    assert pairs(found) == STAND
    for done in range(6):
        found.seek(done)
        assert pairs(found) == STAND[done:]


def test_resume_skips_what_was_done() -> None:
    journal = Journal()
    context = ChildContext(LocalTransport(), state='{"resume":3}')
    assert pairs(context.resume(journal.read(journal.live()))) == STAND[3:]


def test_it_begins_at_the_start_where_a_clock_was_wrong() -> None:
    """By its time the request would stand behind its own task's events, and behind a repetition of it."""
    journal = Journal()
    basis = journal.live()
    journal.clock.advance(3_600)
    journal.begun = journal.clock.now() + 3_600_000
    journal.tell(request(template(), "task", 99))
    assert pairs(journal.read(basis)) == STAND


def test_no_children_need_no_journal() -> None:
    found = Journal().read(0, end=0)
    assert (len(found), found.missing, pairs(found)) == (0, 0, [])


def test_what_is_not_there_is_said() -> None:
    journal = Journal()
    basis = journal.live()
    with pytest.raises(ResultsUnreadable, match="does not hold the request"):
        journal.read(basis, number=3)
    with pytest.raises(ResultsUnreadable, match="had not ended at the journal position"):
        journal.read(basis - 1)
