"""Records that are moved up to make room for an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from streamsched.domain.events import (
    ChildCheckpointed,
    ChildCreated,
    ChildFailed,
    ChildrenStopping,
    ChildStarted,
    Event,
)
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryLog
from streamsched.log.port import Append, Record
from streamsched.log.topics import Topics
from streamsched.runtime import tracker
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.clock_check import LogClock
from streamsched.runtime.identity import Identity
from streamsched.runtime.ownership import Ownership
from streamsched.runtime.records import Records
from streamsched.runtime.tracker import CommitPoint
from streamsched.worker import jobs, settlement
from streamsched.worker.outcomes import Outcomes
from streamsched.worker.outlet import CLOSED
from streamsched.worker.pending import Child, OwnedPartition, StopMarker, Unreadable, child_of
from streamsched.worker.progress import Unsaved
from streamsched.worker.settlement import Settlement

CODEC = Codec()
TOPICS = Topics()
OUTCOMES = Outcomes(Identity("worker", "worker", SystemClock()), LogClock(MemoryLog(), SystemClock()))


class Transactions:
    """What was committed, each transaction with its events by topic."""

    def __init__(self) -> None:
        self.events: list[list[tuple[str, Event]]] = []

    def commit(self, appends: Sequence[Append], points: Mapping[int, CommitPoint]) -> Mapping[int, int]:
        self.events.append([(append.topic, CODEC.decode(cast(Record, append))) for append in appends])
        return {index: 100 + index for index, append in enumerate(appends) if append.track}


def pending(owned: OwnedPartition, offset: int) -> Child:
    """Hold one child of the partition as unsettled."""
    work = ChildCreated(b"i" * 16, 1, "x", "t", offset, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, 0, None)
    child = child_of(work, partition=owned.number, offset=offset, epoch=1, inherited=False)
    owned.tracker.classify(offset)
    owned.tracker.add(offset, child)
    owned.hold(child)
    return child


def ended(child: Child) -> Event:
    """Make the outcome of a child that told a later state before it failed."""
    child.unsaved = Unsaved('"later"')
    news = jobs.JobFailed(
        key=1, started_at=1, finished_at=2, reason="error", error_type="E", message="", traceback="",
        retryable=True, delay_ms=None, state='"later"',
    )  # fmt: skip
    return OUTCOMES.failed(child, news)


class Desk:
    """A settlement of one partition, and what it wrote."""

    def __init__(self) -> None:
        self.owned = OwnedPartition(0, epoch=1, position=0, settled_ranges="-", end=0, released=True)
        self.log = Transactions()
        self.settlement = Settlement(
            ownership=cast(Ownership, self.log), records=Records(CODEC, TOPICS), outcomes=OUTCOMES,
            owned={0: self.owned}, on_durable=lambda child, written: None, on_recovered=lambda child: None,
            on_refused=lambda child, error: None, now=lambda: 0.0, outlet=CLOSED,
        )  # fmt: skip

    def behind(self, children: int) -> list[Child]:
        """Hold children whose records the reader has yet to meet, each followed by the marker of a transaction."""
        found = []
        for child in range(children):
            work = ChildCreated(b"i" * 16, 1, "x", "t", child, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, 0, None)
            found.append(child_of(work, partition=0, offset=10 + 2 * child, epoch=1, inherited=True))
            self.owned.tracker.appended(found[-1].offset, found[-1])
        return found

    def marker(self, offset: int, child: Child) -> None:
        """Hold a stop marker that names a child."""
        event = ChildrenStopping(b"s" * 16, 1, "x", "t", (), "", 0)
        marker = StopMarker(0, offset, event, waiting=1, open=False)
        self.owned.tracker.classify(offset)
        self.owned.tracker.add(offset, marker)
        child.markers.append(marker)


def test_records_move_up_with_the_outcomes_for_which_they_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "RANGES_LIMIT_BYTES", 3)
    desk = Desk()
    children = [pending(desk.owned, offset) for offset in range(12)]
    for child in children[1::2]:
        desk.settlement.ended(child, ended(child))
    assert desk.settlement.commit()
    (events,) = desk.log.events
    moved = [event for topic, event in events if topic == TOPICS.children]
    assert [event.child for event in moved if isinstance(event, ChildCheckpointed)] == list(range(0, 12, 2))
    assert len([event for topic, event in events if topic == TOPICS.events]) == 6
    assert len(desk.settlement) == 0


def test_a_record_that_moves_before_its_outcome_goes_on_from_what_the_journal_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its outcome carries a later state but is not written yet: if the owner dies now, nobody ever heard of that."""
    monkeypatch.setattr(tracker, "RANGES_LIMIT_BYTES", 3)
    monkeypatch.setattr(settlement, "BATCH", 1)
    desk = Desk()
    children = [pending(desk.owned, offset) for offset in range(12)]
    for child in children[1::2]:
        desk.settlement.ended(child, ended(child))
    assert desk.settlement.commit()
    told = [event.child for _, event in desk.log.events[0] if isinstance(event, ChildFailed)]
    moved = [event for topic, event in desk.log.events[0] if isinstance(event, ChildCheckpointed)]
    assert told == [1]
    assert {event.child for event in moved} >= {0, 3}
    assert all((event.sequence, event.state) == (0, None) for event in moved)


def test_outcomes_among_stop_markers_are_written_the_lowest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """To move the others up would isolate each marker; a marker goes with the last outcome that it waits for."""
    monkeypatch.setattr(tracker, "RANGES_LIMIT_BYTES", 8)
    desk = Desk()
    children = []
    for offset in range(0, 40, 2):
        children.append(pending(desk.owned, offset))
        desk.marker(offset + 1, children[-1])
    for child in reversed(children[1::2]):
        desk.settlement.note(child, OUTCOMES.started(child))
        desk.settlement.ended(child, ended(child))
    while desk.settlement.commit():
        assert desk.owned.tracker.commit_point().fits
    written = [event.child for events in desk.log.events for _, event in events if isinstance(event, ChildFailed)]
    assert 0 < len(written) < 10
    assert written == [child.work.child for child in children[1::2]][: len(written)]
    for child in children[0::2]:
        desk.settlement.ended(child, ended(child))
    while desk.settlement:
        assert desk.settlement.commit()
        assert desk.owned.tracker.commit_point().fits
    assert len(desk.owned.tracker) == 0
    told = [event.child for events in desk.log.events for _, event in events if isinstance(event, ChildStarted)]
    assert not set(told) & set(written), "nothing is told of a child after its outcome"


def test_rubbish_is_settled_where_no_room_can_be_made_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "RANGES_LIMIT_BYTES", 8)
    desk = Desk()
    desk.owned.tracker.classify(0)
    desk.owned.tracker.add(0, Unreadable(0, 0))
    desk.settlement.settle_alone(Unreadable(0, 0), [])
    for child in desk.behind(20):
        desk.settlement.recover(child, child.recoveries + 1)
    desk.settlement.commit()
    assert desk.owned.tracker.low == 1


def test_a_record_that_moves_up_is_counted_as_recovered_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them at once would not fit; each that the reader meets is one less, or it would move up for ever."""
    monkeypatch.setattr(tracker, "RANGES_LIMIT_BYTES", 8)
    desk = Desk()
    children = desk.behind(20)
    for child in children:
        desk.settlement.recover(child, child.recoveries + 1)
    assert not desk.settlement.commit()
    assert not desk.log.events
    for offset in range(10, 14):
        desk.owned.tracker.classify(offset)
    desk.settlement.commit()
    (events,) = desk.log.events
    moved = [event for _, event in events if isinstance(event, ChildCheckpointed)]
    assert [(event.child, event.recoveries) for event in moved] == [(0, 1), (1, 1)]
    assert [child.recoveries for child in children] == [1, 1] + [0] * 18


def test_what_has_no_room_one_by_one_is_written_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One outcome is one range too many, and without outcomes each marker is: together they leave nothing behind."""
    monkeypatch.setattr(tracker, "RANGES_LIMIT_BYTES", 8)
    monkeypatch.setattr(settlement, "BATCH", 1)
    desk = Desk()
    running = [pending(desk.owned, offset) for offset in (0, 2, 4, 6)]
    for offset in range(7, 21, 2):
        child = pending(desk.owned, offset)
        desk.marker(offset + 1, child)
        desk.settlement.ended(child, ended(child))
    desk.settlement.commit()
    (events,) = desk.log.events
    assert [event.child for _, event in events if isinstance(event, ChildFailed)] == [*range(7, 21, 2)]
    assert [event.child for _, event in events if isinstance(event, ChildCheckpointed)] == [0, 2, 4, 6]
    assert len(desk.owned.tracker) == len(running)
    assert desk.owned.tracker.commit_point().fits
