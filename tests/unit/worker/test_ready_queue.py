"""The ready queue: priorities first, then the key that runs least here for its weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from streamsched.domain.events import ChildCreated, Terms
from streamsched.domain.options import Options, write_options
from streamsched.worker.pending import Child, ReadyQueue, child_of

ID = bytes(16)


def child(
    task: str, number: int = 0, *, priority: int = 0, terms: Terms | None = None, options: str | None = None
) -> Child:
    work = ChildCreated(
        ID, 1, "s", task, number, 1, 1, "m:f", "{}", 0, 0, priority, 0, None, 0, None, options, terms
    )  # fmt: skip
    return child_of(work, partition=0, offset=number, epoch=1, inherited=False)


def queue_of(*children: Child) -> ReadyQueue:
    queue = ReadyQueue()
    for each in children:
        queue.put(each)
    return queue


def tasks(children: Iterable[Child]) -> list[str]:
    return [each.work.task_id for each in children]


def test_one_key_goes_in_order_and_what_runs_is_not_asked_for() -> None:
    queue = queue_of(*(child("a", number) for number in range(5)))

    def running() -> Iterable[Child]:
        raise AssertionError("asked")

    assert [each.work.child for each in queue.take(3, running)] == [0, 1, 2]
    assert [each.work.child for each in queue.take(3, running)] == [3, 4]
    assert queue.take(3, running) == []


def test_slots_are_shared_by_weight_with_what_runs() -> None:
    heavy = Terms(key="heavy", weight=3)
    queue = queue_of(*(child("a", n) for n in range(40)), *(child("b", n, terms=heavy) for n in range(40)))
    running = [child("a", 90 + n) for n in range(4)]
    taken = queue.take(12, lambda: running)
    assert Counter(tasks([*running, *taken])) == {"a": 4, "b": 12}


def test_a_key_of_which_nothing_runs_is_next() -> None:
    queue = queue_of(*(child("huge", n) for n in range(100)), child("one"))
    assert tasks(queue.take(1, lambda: [child("huge", 200)])) == ["one"]


def test_tasks_of_one_key_share_its_part_and_take_turns() -> None:
    ours = Terms(key="ours")
    queue = queue_of(
        *(child(task, n, terms=ours) for task in ("x", "y", "z") for n in range(10)),
        *(child("a", n) for n in range(20)),
    )
    assert Counter(tasks(queue.take(12, list))) == {"a": 6, "x": 2, "y": 2, "z": 2}


def test_the_higher_priority_is_first_whatever_runs() -> None:
    queue = queue_of(
        child("low"), child("low2"), *(child("high", n, priority=1) for n in range(2)), child("h2", priority=1)
    )
    taken = tasks(queue.take(4, lambda: [child("high", 9)] * 5))
    assert Counter(taken[:3]) == {"high": 2, "h2": 1}
    assert taken[3] in ("low", "low2")


def test_what_is_gone_takes_no_turn_and_a_drain_takes_all() -> None:
    dead = child("a")
    queue = queue_of(dead, child("b"), child("a", 1), child("c"))
    dead.gone = True
    assert tasks(queue.take(2, list)) == ["a", "b"]
    assert tasks(queue.drain()) == ["c"]
    assert queue.take(5, list) == []


def test_what_is_put_back_does_not_bring_back_an_old_weight() -> None:
    old, new = Terms(weight=1), Terms(weight=3)
    queue = queue_of(*(child("a", n, terms=new) for n in range(40)), *(child("b", n) for n in range(40)))
    queue.put_back(child("a", 90, terms=old))
    running = [child("a", 91, terms=new), child("b", 91)]
    assert Counter(tasks(queue.take(10, lambda: running))) == {"a": 8, "b": 2}


def test_what_a_higher_priority_has_taken_counts_below_it() -> None:
    ours = Terms(key="ours")
    queue = queue_of(*(child("urgent", n, priority=5, terms=ours) for n in range(4)))
    for number in range(20):
        queue.put(child("ours", number, terms=ours))
        queue.put(child("other", number))
    assert Counter(tasks(queue.take(8, list))) == {"urgent": 4, "other": 4}


def test_children_that_share_a_slot_count_as_their_part_of_it() -> None:
    four = write_options(Options(concurrency=4))
    queue = queue_of(*(child("many", n, options=four) for n in range(40)), *(child("one", n) for n in range(40)))
    running = [child("many", 90, options=four), child("one", 90)]
    assert Counter(tasks(queue.take(10, lambda: running))) == {"many": 8, "one": 2}
