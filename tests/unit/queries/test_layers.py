"""The layers of a grid: what their bytes stand for."""

from __future__ import annotations

from streamsched.domain.child_detail import ChildDetail
from streamsched.domain.phases import ChildState
from streamsched.queries.layers import OTHERS, TaskLayers
from tests.unit.queries.test_durations import made


def test_workers_are_named_in_the_order_that_was_asked_for_and_further_ones_are_others() -> None:
    _, task = made(300, 300)
    layers = TaskLayers(0)
    for child in range(300):
        layers.set(task, child, ChildDetail(worker=f"w{child % 290}"))
    found = layers.workers(task)
    assert (len(found.items), found.others) == (OTHERS - 1, 300 - (OTHERS - 1) - 10)
    assert (found.items[0].worker, found.items[0].children) == ("w0", 2)
    assert layers.of(task, "worker", 0, 4, ("w2", "w0")) == bytes([2, OTHERS, 1, OTHERS])
    assert layers.of(task, "worker", 298, None, ("w299",)) == bytes([OTHERS] * 2)
    assert layers.of(task, "worker", 299, 900, ("w9",)) == b"\1"


def test_a_cause_is_told_of_children_that_failed_alone() -> None:
    _, task = made(3, 1, 2)
    task.failures.add("f00d", 1, 1_000, error_type="E", message="")
    layers = TaskLayers(3)
    for child in range(3):
        layers.set(task, child, ChildDetail(group="f00d"))
    assert layers.of(task, "failure", 0, None) == bytes(3)
    task.settle(1, ChildState.FAILED)
    assert layers.of(task, "failure", 0, None) == b"\0\1\0"
