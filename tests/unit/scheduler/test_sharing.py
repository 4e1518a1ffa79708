"""Where keys compete: how they are spread, what a worker has room for, what is left to others, what a round costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.fairness import expected_slots
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import ChildState
from streamsched.domain.task import Load, Task
from streamsched.log.codec import Codec
from streamsched.log.topics import Topics
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler import sharing, turns
from streamsched.scheduler.decisions import Decision
from streamsched.scheduler.dispatcher import Dispatcher, Rivals
from streamsched.scheduler.planner import plan_task
from streamsched.scheduler.routing import Route
from streamsched.scheduler.standing import Standing, room_of
from streamsched.scheduler.tasks import TaskDecider
from streamsched.scheduler.turns import Turn, turn_of
from streamsched.scheduler.workers import Capacity
from streamsched.testing.clock import VirtualClock
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.guard.calls import Calls
from tests.unit.scheduler.routing_case import ID, beat_of, request_of
from tests.unit.scheduler.test_dispatcher import dispatcher, owing, placed

WORKERS = [Capacity(f"w{number}", 8, (number,)) for number in range(3)]


def dispatched(task: Task, *counts: int) -> Task:
    """Let so many children of a task be live in each partition."""
    for partition, count in enumerate(counts):
        if count:
            first = task.first_undispatched
            release = e.Release(first, first + count - 1, 1, partition)
            evolve(task, e.ChildrenDispatched(ID, 1, "s", task.task_id, (release,), 0), task.load)
    return task


def shared(
    tasks: Sequence[Task], *others: Task, workers: Sequence[Capacity] = WORKERS, sharer: Dispatcher | None = None,
    ghosts: Sequence[Task] = (),
) -> dict[str, Counter[int]]:  # fmt: skip
    """Return where a round places children of ``tasks``; the others have only what is live of them."""
    sharer = sharer or dispatcher()
    everyone = {task.task_id: task for task in (*tasks, *others, *ghosts)}
    sharer.touched.update(dict.fromkeys(everyone))
    load = Load()
    for task in everyone.values():
        for partition, count in task.placed.items():
            load[partition] += count
    chosen = sharer.choose(tasks, workers, load, 0, rivals=Rivals(everyone, ghosts))
    return {task_id: placed(releases) for task_id, releases in chosen.items()}


# --- placement ------------------------------------------------------------------------------------------------------


def test_a_child_goes_to_the_worker_that_holds_least_of_its_key_though_others_hold_less() -> None:
    ours, other = dispatched(owing("ours", 3_000, 1), 0, 2, 2), dispatched(owing("other", 3_000, 1), 7, 2, 1)
    ours.bound = ours.first_undispatched + 1
    assert shared([ours, other])["ours"] == {0: 1}, "the last slot of it, not one of those of the emptier workers"


def test_of_workers_that_hold_none_of_its_key_the_emptiest_is_next() -> None:
    small, huge = owing("small", 3_000, 1), dispatched(owing("huge", 3_000, 1), 5, 2, 6)
    small.bound = 1
    assert shared([small, huge])["small"] == {1: 1}


def test_a_small_task_is_spread_over_all_workers_beside_others() -> None:
    small, huge = owing("small", 10, 1), dispatched(owing("huge", 10, 1), 300, 300, 300)
    small.bound = 7
    assert sorted(shared([small, huge])["small"].values()) == [2, 2, 3]


def test_equal_keys_are_spread_each_over_the_workers() -> None:
    keys = [owing(f"key{number}", 1_000, 1) for number in range(8)]
    for counts in shared(keys).values():
        assert set(counts.values()) == {2}, "two in each worker, which has room for 16 of them"
        assert len(counts) == 3


# --- room -----------------------------------------------------------------------------------------------------------


def test_room_is_time_and_not_children() -> None:
    """Eight long children fill a worker for short ones, and a thousand short ones leave it most of its room."""
    short, beside = owing("short", 10, 1), owing("beside", 10, 1)
    for held, counts in ((3_000, (8,)), (10, (808,))):
        full = shared([short, beside], dispatched(owing("held", held, 1), *counts), workers=WORKERS[:1])
        assert sum(full["short"].values()) == 1, "one for a slot that has none; there is room for none of them"
    some = shared([short, beside], dispatched(owing("held", 3_000, 1), 4), workers=WORKERS[:1])
    assert sum(sum(each.values()) for each in some.values()) == pytest.approx(4 * 101, abs=1)
    many = shared([owing("long", 3_000, 1), beside], dispatched(owing("held", 1, 1), 1_000), workers=WORKERS[:1])
    assert sum(many["long"].values()) >= 4, "a thousand of a millisecond are one second of work"


@pytest.mark.parametrize("mean_ms", [None, 1, 10, 300, 1_000, 3_000, 20_000])
def test_of_equal_children_a_worker_takes_as_many_as_of_one_key_alone(mean_ms: int | None) -> None:
    worker = [Capacity("w", 8, (0,))]
    alone = shared([owing("alone", mean_ms, 1)], workers=worker)["alone"][0]
    both = shared([owing("a", mean_ms, 1), owing("b", mean_ms, 1)], workers=worker)
    assert both["a"][0] + both["b"][0] == min(alone, turns.ROUND)


def test_no_worker_holds_more_children_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "HELD", 100)
    both = shared([owing("a", 1, 1), owing("b", 1, 1)], workers=WORKERS[:1])
    assert both == {"a": {0: 100}, "b": {0: 8}}, "beyond it one for each slot"


def test_a_key_that_is_next_and_finds_no_room_lets_nobody_else_fill_the_rest() -> None:
    """Else short children would always take what is too little for a long one."""
    long, short = dispatched(owing("long", 600, 100), 8), dispatched(owing("short", 10, 1), 20)
    held = dispatched(owing("held", 600, 1), 7)
    assert shared([long, short], held, workers=[Capacity("w", 8, (0,))]) == {}, "there is room for 30 short ones"
    assert shared([short, owing("new", 10, 1)], long, held, workers=[Capacity("w", 8, (0,))])["new"] == {0: 30}


def test_beyond_the_room_a_key_adds_only_up_to_its_part() -> None:
    small, huge = owing("small", 3_000, 1), dispatched(owing("huge", 3_000, 1), 8, 8, 8)
    added = shared([small, huge])
    assert "huge" not in added
    assert expected_slots(sum(added["small"].values()), 3_000) == pytest.approx(12, abs=1)


def test_children_that_share_a_slot_are_counted_as_slots() -> None:
    many, one = owing("many", 3_000, 1), owing("one", 3_000, 1)
    many.template = replace(many.template, child=replace(many.template.child, concurrency=10))
    counts = {task_id: sum(each.values()) for task_id, each in shared([many, one]).items()}
    assert counts["one"] == pytest.approx(12, abs=1)
    assert counts["many"] == pytest.approx(120, abs=10)


# --- what keys have -------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_what_keys_have_is_kept_by_the_difference(data: st.DataObject) -> None:
    """It is what counting all children anew finds, whatever was dispatched, has ended, or was not read back."""
    tasks = {
        task.task_id: task
        for task in (owing("a", 10, 1, "k"), owing("b", 300, 1, "k"), owing("c", 3_000, 2), owing("d", None, 1))
    }
    kept, flying = Standing(mean_of), dict[str, dict[int, int]]()
    for _ in range(data.draw(st.integers(1, 12))):
        task = tasks[data.draw(st.sampled_from(sorted(tasks)))]
        match data.draw(st.sampled_from(("dispatch", "end", "fly", "forget"))):
            case "dispatch":
                dispatched(task, *data.draw(st.lists(st.integers(0, 9), min_size=3, max_size=3)))
            case "end":
                for child in list(task.live_children())[: data.draw(st.integers(0, 9))]:
                    task.settle(child, ChildState.SUCCEEDED)
                task.busy_ms += 100 * task.measured
            case "fly":
                flying[task.task_id] = data.draw(st.dictionaries(st.integers(0, 2), st.integers(1, 9)))
            case _:
                kept.forget(task.task_id)
        kept.touched[task.task_id] = None
        if data.draw(st.booleans()):
            kept.update(tasks, flying)
    kept.update(tasks, flying)
    taken, shares = dict.fromkeys(range(3), 0.0), dict.fromkeys((task.stake.key for task in tasks.values()), 0.0)
    for task in tasks.values():
        live = [task.partition_of(child) for child in task.live_children()]
        live += [at for at, count in flying.get(task.task_id, {}).items() for _ in range(count)]
        for partition in live:
            taken[partition] += room_of(task, mean_of(task))
        shares[task.stake.key] += expected_slots(len(live), mean_of(task))
    assert {**dict.fromkeys(taken, 0.0), **kept.taken} == pytest.approx(taken, abs=1e-6)
    assert {key: holding.share for key, holding in kept.keys.items()} == pytest.approx(
        {key: share for key, share in shares.items() if share}
    )


def mean_of(task: Task) -> float | None:
    return task.busy_ms / task.measured if task.measured else None


# --- ghosts ---------------------------------------------------------------------------------------------------------


def test_what_falls_to_anothers_task_is_left_to_it() -> None:
    mine, theirs = owing("mine", 1_000, 1), owing("theirs", 1_000, 3)
    left = shared([mine], ghosts=[theirs])
    assert list(left) == ["mine"]
    assert sum(left["mine"].values()) == pytest.approx(12, abs=1), "a quarter of what three workers take"


def test_a_worker_on_trial_that_has_its_child_is_not_closed_for_others() -> None:
    mine, second, tried = owing("mine", 3_000, 1), owing("second", 3_000, 1), owing("tried", 3_000, 1)
    tried.template = replace(tried.template, child=replace(tried.template.child, handler="other:f"))
    everyone = {task.task_id: task for task in (mine, second, tried)}
    sharer = dispatcher()
    sharer.touched.update(dict.fromkeys(everyone))
    nodes = frozenset(worker.node_id for worker in WORKERS)
    routes = {tried.requirement(0): Route(nodes, trial=nodes)}
    chosen = sharer.choose([mine, second], WORKERS, {}, 0, routes, Rivals(everyone, [tried]))
    assert sorted(sum(placed(each).values()) for each in chosen.values()) == [10, 11], "3 of 24 slots are left to it"


def test_what_is_dispatched_and_not_read_back_counts() -> None:
    sharer, mine, other = dispatcher(), owing("mine", 1_000, 1), owing("other", 1_000, 1)
    sharer.touched["other"] = None
    rivals = Rivals({"mine": mine, "other": other}, [other], {"other": {0: 8, 1: 8, 2: 8}})
    (releases,) = sharer.choose([mine], WORKERS, {0: 8, 1: 8, 2: 8}, 0, rivals=rivals).values()
    assert sum(placed(releases).values()) == 24


class Neighbours:
    """A scheduler that owns partition 0; the tasks of partition 1 are another one's."""

    def __init__(self, other: Neighbours | None = None) -> None:
        self.clock: VirtualClock = VirtualClock() if other is None else other.clock
        self.store = MemoryStore()
        self.view: View = View(self.store, Codec()) if other is None else other.view
        topics = Topics(event_partitions=2, child_partitions=2)
        self.decider = TaskDecider(
            self.view, Records(Codec(), topics), Identity("s", "s", self.clock), topics
        )  # fmt: skip
        self.number = 0

    def fold(self, task_id: str, partition: int, event: e.Event) -> None:
        self.number += 1
        self.view.apply(event, partition)
        self.view.moved(partition, self.number)
        self.decider.touch(task_id)

    def fly(self, task_id: str, count: int) -> None:
        """Let so many children be dispatched, half of them to each worker, and not be read back."""
        event, half = e.ChildrenDispatched(ID, 1, "s", task_id, (), 0), count // 2
        task = self.view.active[task_id]
        decision = Decision(key=task_id, home=0, state=task, events=(event,), reserves={0: half, 1: count - half})
        self.decider.in_flight.add(decision)
        self.decider.touch(task_id)

    def add(self, task_id: str, partition: int, children: int = 1_000) -> None:
        self.fold(task_id, partition, request_of(task_id, "m:f", children))
        self.fold(task_id, partition, plan_task(self.view.active[task_id], Identity("o", "o", self.clock), 0))

    def children(self, owned: Collection[int] = (0,)) -> Counter[str]:
        """Decide; return how many children would be dispatched."""
        return Counter({each.key: sum(each.reserves.values()) for each in self.decisions(owned)})

    def decisions(self, owned: Collection[int] = (0,), *, fly: bool = False) -> Sequence[Decision]:
        """Decide; what is to ``fly`` is committed, and not read back."""
        for task_id in ("mine", "second", "theirs"):
            self.decider.touch(task_id)
        self.decider.on_beat("w", beat_of("w", None, (0,), slots=12))
        self.decider.on_beat("v", beat_of("v", None, (1,), slots=12))
        made = self.decider.decide(self.clock.now(), owned)
        for decision in made if fly else ():
            self.decider.in_flight.add(decision)
        return made


def test_a_scheduler_leaves_to_its_neighbour_what_falls_to_it_while_it_hears_of_it() -> None:
    them = Neighbours()
    them.add("mine", 0)
    them.add("theirs", 1)
    assert owed(them.view.active["theirs"], them.clock.now()) is Action.DISPATCH
    assert them.children() == {"mine": 12}, "of 24 slots"
    them.clock.advance(0.09)
    assert them.children() == {"mine": 12}
    them.clock.advance(0.02)
    assert them.children() == {"mine": 24}, "nothing was heard of the other for 100 ms"
    them.fold("theirs", 1, e.TaskPaused(ID, 1, "me", "theirs", 0, True, False, ""))
    assert them.children() == {"mine": 24}, "it does not wait for a dispatch"


def test_a_task_that_its_owner_does_not_dispatch_keeps_no_grants() -> None:
    """Its owner is heard of, and cannot make its children, or decides nothing because of its clock."""
    them = Neighbours()
    them.add("mine", 0)
    them.add("theirs", 1)
    them.add("other", 1, 1)
    them.fold("other", 1, e.ChildrenDispatched(ID, 1, "s", "other", (e.Release(0, 0, 1, 0),), 0))
    found = []
    for _ in range(30):
        them.fold("other", 1, e.ChildStarted(ID, 1, "w", "other", 0, 1, 1, 1))
        found.append(them.children()["mine"])
        them.clock.advance(0.05)
    assert found[0] == found[10] == 12
    assert found[-1] == 24
    release = e.Release(0, 0, 1, 1)
    them.fold("theirs", 1, e.ChildrenDispatched(ID, 1, "s", "theirs", (release,), 0))
    assert them.children()["mine"] == found[0], "it is dispatched again"


def test_tasks_that_have_ended_leave_nothing_behind() -> None:
    them = Neighbours()
    for number in range(5):
        them.add(f"task{number}", 0, 0)
        them.decider._agenda.at(f"task{number}", 1_000_000)
    for number in range(5):
        task_id = f"task{number}"
        them.fold(task_id, 0, e.TaskSucceeded(ID, 1, "s", task_id, 0, "", 0))
        them.decider.forget(task_id)
    them.clock.advance(10_000)
    them.decisions()
    assert them.decider._agenda._noted == {}
    assert not [each for each in them.decider._dispatcher.touched if each.startswith("task")]


def test_a_ghost_is_none_when_its_partition_is_claimed_or_it_has_ended() -> None:
    them = Neighbours()
    them.add("mine", 0)
    them.add("theirs", 1)
    assert them.children() == {"mine": 12}
    them.decider.touch_all(1)
    assert them.children(owned={0, 1}) == {"mine": 12, "theirs": 12}
    assert them.children() == {"mine": 12}, "another one's again"


def test_a_task_whose_last_dispatch_was_not_read_back_keeps_its_place() -> None:
    them = Neighbours()
    them.add("mine", 0)
    them.add("second", 0)
    them.fly("mine", 6)
    assert them.children() == {"second": 12}, "6 are on their way, and 6 more are left to it"
    them.fly("mine", 24)
    assert them.children() == {"second": 24}, "there is no room: as many as the other has"
    them.fly("mine", 1_000)
    assert them.children() == {"second": 24}, "it has nothing left, and one for each slot may always be added"


def test_a_scheduler_that_has_begun_later_or_lost_a_partition_shares_out_alike() -> None:
    them = Neighbours()
    for task_id, partition, children in (("mine", 0, 1_000), ("held", 1, 9), ("theirs", 1, 1_000)):
        them.add(task_id, partition, children)
    assert them.children() == {"mine": 8}, "a third of 24"
    for task_id, home, last, partition in (("mine", 0, 3, 0), ("held", 1, 8, 1)):
        release = e.Release(0, last, 1, partition)
        them.fold(task_id, home, e.ChildrenDispatched(ID, 1, "s", task_id, (release,), 0))
    assert them.children() == {"mine": 4}, "9 are held, 4 are its own, and 7 are left to the other"
    assert Neighbours(them).children() == {"mine": 4}
    them.decider.lost({1})
    assert them.children() == {"mine": 4}


def test_what_was_dispatched_just_now_counts_before_it_is_read_back() -> None:
    them = Neighbours()
    them.add("mine", 0, 12)
    them.add("theirs", 1)
    them.fold("mine", 0, e.ChildrenDispatched(ID, 1, "s", "mine", (e.Release(0, 3, 1, 0),), 0))
    (decision,) = them.decisions(fly=True)
    assert sum(decision.reserves.values()) == 8, "all that it has left"
    them.fold("theirs", 1, e.TaskPaused(ID, 1, "me", "theirs", 0, True, False, ""))
    for task_id in ("second", "third"):
        them.add(task_id, 0)
    found = {each.key: sum(each.reserves.values()) for each in them.decider.decide(them.clock.now(), {0})}
    assert found == {"second": 6, "third": 6}, "12 of 24 are taken"


def test_a_view_that_is_opened_again_knows_where_children_are() -> None:
    them = Neighbours()
    them.add("mine", 0)
    them.fold("mine", 0, e.ChildrenDispatched(ID, 1, "s", "mine", (e.Release(0, 3, 1, 0), e.Release(4, 5, 1, 1)), 0))
    them.view.flush()
    assert View(them.store, Codec()).active["mine"].placed == {0: 4, 1: 2}


# --- costs ----------------------------------------------------------------------------------------------------------


def test_a_round_looks_only_at_keys_that_it_gives_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand keys of which each has what it may: one comparison says that nobody gets anything."""
    looks = Counter[str]()

    def looking(task: Task, now: int) -> Turn:
        looks[task.task_id] += 1
        return turn_of(task, now)

    monkeypatch.setattr(sharing, "turn_of", looking)
    sharer = dispatcher()
    keys = [
        dispatched(owing(f"key{number:04}", 1_000, 1), *(int(number % 3 == at) for at in range(3)))
        for number in range(1_000)
    ]
    shared(keys, sharer=sharer)
    assert len(looks) <= 1
    looks.clear()
    assert shared([*keys, owing("new", 1_000, 1)], sharer=sharer)["new"].total() == 1
    assert len(looks) <= 2


def test_what_a_round_calls_grows_with_the_keys_and_what_it_grants_alone() -> None:
    calls = {}
    for count in (100, 1_000):
        sharer = dispatcher()
        keys = {task.task_id: task for task in (owing(f"key{n:04}", 1_000, 1) for n in range(count))}
        for name in ("first", "idle"):
            made = Calls()
            with made:
                chosen = sharer.choose(list(keys.values()), WORKERS, {}, 0, rivals=Rivals(keys))
            calls[name, count] = sum(made.made().values()) / count
            for task_id, releases in chosen.items():
                evolve(keys[task_id], e.ChildrenDispatched(ID, 1, "s", task_id, releases, 0), keys[task_id].load)
                sharer.touched[task_id] = None
        sharer.choose(list(keys.values()), WORKERS, {}, 0, rivals=Rivals(keys))
    for name, most in (("first", 150), ("idle", 70)):
        assert calls[name, 1_000] <= calls[name, 100] * 1.1
        assert calls[name, 1_000] <= most
