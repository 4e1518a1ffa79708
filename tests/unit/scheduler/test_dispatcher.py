"""Placement: full slots first, then a second of work; a small task on all workers, two schedulers on different ones."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from msgspec import structs

from streamsched.domain.events import ChildrenDispatched, Release, TaskPlanned, Terms
from streamsched.domain.evolve import evolve
from streamsched.domain.fairness import Fairness, expected_slots
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitting import plan
from streamsched.domain.task import Task
from streamsched.domain.template import ChildSpec, Template
from streamsched.log.codec import Codec
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.scheduler.dispatcher import Dispatcher, Rivals
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


def test_what_was_compiled_for_a_plan_serves_no_other_one() -> None:
    kept, ours, theirs = dispatcher(), planned(3, number=1), planned(3, number=2)
    kept.keep(ours.task, plan(ours.task.template, {}))
    theirs.task.digest = "another plan of this task"
    for story, number in ((ours, 1), (theirs, 2)):
        ((_, record),) = kept.records(story.task, (Release(0, 0, 1, 0),), 0)
        assert json.loads(record.args) == {"number": number}


def test_expected_running_slots_of_keys_are_as_their_weights() -> None:
    """Design-life section 4, the scheduler's rule: no grant leaves a key above another by more than one grant."""
    for lengths in ((100, 100), (1_000, 100)):
        tasks = [owing(f"task{number}", mean_ms, number * 2 + 1) for number, mean_ms in enumerate(lengths)]
        chosen = dispatcher().choose(tasks, [Capacity("w", 400, (0,))], {}, 0)
        light, heavy = (
            expected_slots(sum(placed(chosen[task.task_id]).values()), mean_ms) / task.weight
            for task, mean_ms in zip(tasks, lengths, strict=True)
        )
        assert light == pytest.approx(heavy, abs=1), lengths


def test_what_is_live_of_a_key_counts_in_all_its_tasks() -> None:
    busy = owing("busy", 1_000, 1, key="ours")
    evolve(busy, ChildrenDispatched(bytes(16), 1, "s", "busy", (Release(0, 199, 1, 9),), 0), busy.load)
    fresh, other = owing("fresh", 1_000, 1, key="ours"), owing("other", 1_000, 1)
    rivals = Rivals({"busy": busy})
    chosen = {}
    for known in (False, True):
        sharer = dispatcher()
        if known:
            sharer.touched["busy"] = None
        chosen[known] = sharer.choose([fresh, other], [Capacity("w", 100, (0,))], {}, 0, rivals=rivals)
    assert [sum(placed(chosen[False][each]).values()) for each in ("fresh", "other")] == [100, 100]
    assert "fresh" not in chosen[True], "its key has twice its part"
    assert sum(placed(chosen[True]["other"]).values()) == 200, "what there is room for"


def test_the_terms_of_a_child_are_absent_where_it_is_like_any_other() -> None:
    known = dispatcher()
    for fairness, terms in (
        (Fairness(), None),
        (Fairness(weight=2), Terms(weight=2)),
        (Fairness(key="k"), Terms(key="k")),
    ):
        story = planned(3)
        story.task.template = replace(story.task.template, fairness=fairness)
        ((_, created),) = known.records(story.task, (Release(0, 0, 1, 0),), 0)
        assert created.terms == terms


def owing(task_id: str, mean_ms: int | None, weight: int, key: str = "") -> Task:
    """Make a task of many children that take so long."""
    story = planned(5_000)
    task = story.task
    task.request = structs.replace(task.request, task_id=task_id)
    task.template = replace(task.template, fairness=Fairness(key=key, weight=weight))
    if mean_ms is not None:
        task.measured, task.busy_ms = 1, mean_ms
    return task


def planned(children: int, handler: str = "m:f", **args: int) -> Story:
    story = Story(-1)
    split = RangeSplit(first=1, last=children, size=1)
    template = Template(name="t", split=split, child=ChildSpec(handler=handler, args=args))
    story.task.template = template
    made = plan(template, {})
    return story.tell(TaskPlanned, 0, made.children, made.document, made.digest, 0)
