"""Records that are moved up to make room for an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from streamsched.domain.events import ChildCheckpointed, ChildCreated, Event
from streamsched.log.codec import Codec
from streamsched.log.port import Append, Record
from streamsched.log.topics import Topics
from streamsched.runtime import tracker
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.runtime.ownership import Ownership
from streamsched.runtime.records import Records
from streamsched.runtime.tracker import Place
from streamsched.worker import jobs
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.pending import Child, OwnedPartition, child_of
from streamsched.worker.settlement import Settlement

pytestmark = pytest.mark.unit

CODEC = Codec()
TOPICS = Topics()
OUTCOMES = Outcomes(Identity("worker", "worker", SystemClock()))


class Transactions:
    """What was committed, each transaction with its events by topic."""

    def __init__(self) -> None:
        self.events: list[list[tuple[str, Event]]] = []

    def commit(self, appends: Sequence[Append], places: Mapping[int, Place]) -> Mapping[int, int]:
        self.events.append([(append.topic, CODEC.decode(cast(Record, append))) for append in appends])
        return {index: 100 + index for index, append in enumerate(appends) if append.track}


def pending(owned: OwnedPartition, offset: int) -> Child:
    """Hold one child of the partition as unsettled."""
    work = ChildCreated(b"i" * 16, 1, "x", "t", offset, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, 0, None)
    child = child_of(work, partition=owned.number, offset=offset, epoch=1, inherited=False)
    owned.tracker.meet(offset)
    owned.tracker.add(offset, child)
    owned.children["t", offset] = child
    return child


def test_a_record_that_makes_room_for_an_outcome_goes_on_from_what_the_journal_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its outcome carries a later state but is not written yet: if the owner dies now, nobody ever heard of that."""
    monkeypatch.setattr(tracker, "RUNS_LIMIT", 3)
    owned = OwnedPartition(0, epoch=1, position=0, runs="-", end=0, released=True)
    children = [pending(owned, offset) for offset in range(12)]
    log = Transactions()
    settlement = Settlement(
        ownership=cast(Ownership, log), records=Records(CODEC, TOPICS), outcomes=OUTCOMES, owned={0: owned},
        on_durable=lambda child: None, on_recovered=lambda child: None,
    )  # fmt: skip
    for child in children[1::2]:
        child.told = '"later"'
        news = jobs.JobFailed(
            key=1, started_at=1, finished_at=2, reason="error", error_type="E", message="", traceback="",
            retryable=True, delay_ms=None, state='"later"',
        )  # fmt: skip
        settlement.ended(child, OUTCOMES.failed(child, news))
    assert settlement.commit()
    moved = [event for topic, event in log.events[0] if topic == TOPICS.children]
    assert len(moved) == len(children), "the outcomes did not fit, so all records were moved first"
    assert all(isinstance(event, ChildCheckpointed) and (event.sequence, event.state) == (0, None) for event in moved)
    assert all(topic == TOPICS.children for topic, _ in log.events[0])
