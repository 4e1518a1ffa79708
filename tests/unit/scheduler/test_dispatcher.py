"""Placement: full slots first, then a second of work; a small task on all workers, two schedulers on different ones."""

from __future__ import annotations

from collections import Counter

import pytest

from streamsched.domain.events import Release, TaskPlanned
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitting import plan
from streamsched.domain.template import ChildSpec, Template
from streamsched.log.codec import Codec
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.scheduler.dispatcher import Dispatcher
from streamsched.scheduler.entries import Entries
from streamsched.scheduler.workers import Capacity
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.unit.domain.test_evolve import Story

WORKERS = [Capacity(f"w{number}", 4, (number,)) for number in range(3)]


def dispatcher(name: str = "s") -> Dispatcher:
    return Dispatcher(Identity(name, name, SystemClock()), Entries(View(MemoryStore(), Codec())))


def placed(releases: tuple[Release, ...]) -> Counter[int]:
    count = Counter[int]()
    for each in releases:
        count[each.partition] += each.last - each.first + 1
    return count


def test_a_small_task_is_spread_over_all_workers() -> None:
    task = Story(7).task
    (releases,) = dispatcher().choose([task], WORKERS, {}, 0).values()
    assert sorted(placed(releases).values()) == [2, 2, 3]


def test_who_holds_least_gets_most() -> None:
    load = Counter({0: 4, 1: 1})
    (releases,) = dispatcher().choose([Story(100).task], WORKERS, load, 0).values()
    assert sum(placed(releases).values()) == 12, "one for each slot, for nothing is known of their length"
    assert sorted((placed(releases) + load).values()) == [5, 6, 6]


def test_schedulers_that_see_the_same_do_not_all_choose_the_same_worker() -> None:
    task = Story(1).task
    chosen = Counter[int]()
    for number in range(60):
        (releases,) = dispatcher(f"s{number}").choose([task], WORKERS, {}, 0).values()
        chosen += placed(releases)
    assert min(chosen[partition] for partition in range(3)) >= 5


def test_nothing_is_placed_where_there_is_nobody() -> None:
    assert dispatcher().choose([Story(3).task], [], {}, 0) == {}


def test_a_task_like_one_that_has_ended_gets_a_second_of_work_at_once() -> None:
    known = dispatcher()
    ended = planned(100)
    for child in range(4):
        ended.dispatch(child, child).complete(child)  # in 100 ms
    known.learn(ended.task)
    for story, each, why in (
        (planned(500), 11, "a second of work"),
        (planned(500, handler="m:other"), 1, "another handler may take longer"),
        (planned(500, seconds=60), 1, "and so may one with other arguments"),
    ):
        known.forget("task")
        (releases,) = known.choose([story.task], WORKERS, {}, 0).values()
        assert sum(placed(releases).values()) == 3 * 4 * each, why


def test_of_kinds_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.scheduler.dispatcher.KINDS", 2)
    known = dispatcher()
    for number in (1, 2, 3):
        ended = planned(100, number=number).dispatch(0, 0).complete(0)
        known.learn(ended.task)
        known.forget("task")
    sizes = []
    for number in (1, 2, 3):
        (releases,) = known.choose([planned(500, number=number).task], WORKERS, {}, 0).values()
        sizes.append(sum(placed(releases).values()))
        known.forget("task")
    assert sizes == [3 * 4, 3 * 4 * 11, 3 * 4 * 11], "of the first kind nothing is known any more"


def planned(children: int, handler: str = "m:f", **args: int) -> Story:
    story = Story(-1)
    split = RangeSplit(first=1, last=children, size=1)
    template = Template(name="t", split=split, child=ChildSpec(handler=handler, args=args))
    story.task.template = template
    made = plan(template, {})
    return story.tell(TaskPlanned, 0, made.children, made.document, made.digest, 0)
