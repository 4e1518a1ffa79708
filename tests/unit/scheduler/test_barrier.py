"""The barrier: nobody decides about a backfill before all that was there when it asked is folded."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import cast

from streamsched.domain import events as e
from streamsched.domain.ids import EventIds
from streamsched.domain.overlap import SchedulePolicy
from streamsched.log.codec import Codec
from streamsched.log.port import Log, Reader, TopicPartition
from streamsched.log.topics import Topics
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler.barrier import Barrier
from streamsched.scheduler.schedules import ScheduleDecider
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support import worker_case
from tests.unit.scheduler.test_rounds import TEMPLATE

SPEC = '{"interval":[{"every":"1s"}]}'


class Journal:
    """A partition of which ``written`` records are there, and ``read`` were folded."""

    def __init__(self) -> None:
        self.written = 0
        self.read = 0

    def end(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.written)

    def position(self, place: TopicPartition) -> int:
        return self.read

    def barrier(self, halted: Collection[int] = ()) -> Barrier:
        return Barrier(cast(Log, self), cast(Reader, self), [TopicPartition("journal", 0)], halted)


def test_whoever_asks_passes_when_what_was_there_then_is_folded() -> None:
    journal = Journal()
    barrier = journal.barrier()
    journal.written = 5
    assert barrier.passed({"a"}) == set()
    journal.written, journal.read = 9, 5
    assert barrier.passed({"a", "b"}) == {"a"}
    assert barrier.passed({"b"}) == set()
    journal.read = 9
    assert barrier.passed({"a", "b"}) == {"b"}


def test_nobody_passes_while_a_partition_stands_still() -> None:
    halted: set[int] = set()
    barrier = Journal().barrier(halted)
    halted.add(3)
    assert barrier.passed({"a"}) == set()
    halted.clear()
    assert barrier.passed({"a"}) == {"a"}


def test_a_partition_that_was_lost_and_comes_back_asks_anew() -> None:
    journal, clock = Journal(), worker_case.TestClock()
    me = Identity("me", "me", clock, EventIds())
    view = View(MemoryStore(), Codec())
    decider = ScheduleDecider(view, Records(Codec(), Topics()), me, journal.barrier())
    template, policy, now = TEMPLATE.to_json(), SchedulePolicy().to_json(), clock.now()
    made = me.sign(
        e.ScheduleSet, schedule_id="s", expected=0, spec=SPEC, policy=policy, template_name="t", template_version="1",
        template=template, params=json.dumps({"n": 1}), priority=0,
    )  # fmt: skip
    part = e.BackfillPart(now - 2_000, now - 1_000, SPEC, "t", "1", template, "{}", 0)
    wanted = me.sign(
        e.BackfillRequested, schedule_id="s", backfill=1, reprocess="missing", max_active=1, newest_first=False,
        parts=(part,), note="",
    )  # fmt: skip
    view.apply(made, 0)
    view.apply(wanted, 0)
    journal.written = 5
    decider.touch("s")
    assert decider.decide(now, {0}) == []
    decider.lost({0})
    decider.touch_all(0)
    journal.written, journal.read = 9, 5  # another has decided meanwhile: what it fired is not folded yet
    assert decider.decide(now + 10, {0}) == []
    journal.read = 9
    (decision,) = decider.decide(now + 30, {0})
    assert decision.key == "s"
