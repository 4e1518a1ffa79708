"""Queues and labels: who may take a child, who waits, who is woken, what is said, and what its record says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.ids import EventIds
from streamsched.domain.routing import EVERYWHERE, PLAIN, Pair, Place, Requirement
from streamsched.domain.splitting import plan
from streamsched.domain.task import Load, Task
from streamsched.domain.template import ChildSpec, Template
from streamsched.domain.validation import validate
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.scheduler.dispatcher import Dispatcher
from streamsched.scheduler.entries import Entries
from streamsched.scheduler.routing import Route, Routing
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.unit.scheduler.routing_case import ID, beat_of, needs, returned, template_of

ZONE_A, ZONE_B, DISK = ("zone", "a"), ("zone", "b"), ("disk", "large")


def beat(node_id: str, *queues: str, labels: tuple[Pair, ...] = ()) -> e.NodeBeat:
    made = beat_of(node_id, ["m"])
    values = {name: getattr(made, name) for name in made.__struct_fields__}
    return e.NodeBeat(**{**values, "queues": queues, "labels": tuple(e.Label(*label) for label in labels)})


def task_at(task_id: str, queue: str = "", *labels: Pair, reduce: tuple[Pair, ...] | None = None) -> Task:
    """Make a task that is planned, of one child."""
    plain = template_of("m:f")
    last = None if reduce is None else ChildSpec(handler="m:total", needs=reduce)
    template: Template = replace(plain, queue=queue, child=replace(plain.child, needs=labels), reduce=last)
    request = e.TaskRequested(ID, 1_000, "me", task_id, "t", "1", template.to_json(), '{"n":1}', 0, "test", None, 4)
    task, document = evolve(None, request, Load()), plan(template, {"n": 1}).document
    assert task is not None
    evolve(task, e.TaskPlanned(ID, 1_000, "me", task_id, 0, 1, document, "", 0, int(reduce is not None)), task.load)
    return task


def routing_of(*beats: e.NodeBeat) -> Routing:
    routing = Routing()
    for each in beats:
        routing.heard(each.node_id, each, 0.0)
    return routing


def nodes_for(routing: Routing, task: Task, now: float = 0.0) -> set[str]:
    (route,) = routing.routes(needs(task), routing.present(now), now).values()
    return set(route.nodes)


CLUSTER = (
    beat("plain"), beat("both", "", "gpu"), beat("gpu", "gpu"), beat("a", labels=(ZONE_A, DISK)),
    beat("b", labels=(ZONE_B,)), beat("gpu-a", "gpu", labels=(ZONE_A,)), beat("all", "*", labels=(("*", "*"),)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("queue", "labels", "able"),
    [
        ("", (), {"plain", "both", "a", "b", "all"}),
        ("gpu", (), {"both", "gpu", "gpu-a", "all"}),
        ("cpu", (), {"all"}),
        ("", (ZONE_A,), {"a", "all"}),
        ("", (DISK, ZONE_A), {"a", "all"}),
        ("", (DISK, ZONE_B), {"all"}),
        ("gpu", (ZONE_A,), {"gpu-a", "all"}),
    ],
)
def test_children_go_to_workers_of_their_queue_that_have_their_labels(
    queue: str, labels: tuple[Pair, ...], able: set[str]
) -> None:
    assert nodes_for(routing_of(*CLUSTER), task_at("t", queue, *labels)) == able


def test_a_requirement_is_that_of_a_stage_and_the_queue_that_of_the_task() -> None:
    task = task_at("t", "gpu", ZONE_A, reduce=(DISK,))
    assert task.requirement_of(0) == Requirement("m", queue="gpu", needs=(ZONE_A,))
    assert task.requirement_of(1) == Requirement("m", queue="gpu", needs=(DISK,))


def test_what_no_worker_serves_is_parked_until_an_announcement_wakes_it() -> None:
    routing, task = routing_of(beat("plain"), beat("gpu", "gpu")), task_at("t", "gpu", ZONE_A)
    routing.want("t")
    assert set(routing.runnable(0.0)) == {"t"}
    assert nodes_for(routing, task) == set()
    assert not routing.runnable(0.0)
    routing.heard("plain", beat("plain", labels=(ZONE_A,)), 0.1)
    routing.heard("b", beat("b", "gpu", labels=(ZONE_B,)), 0.1)
    assert not routing.runnable(0.1), "each has one of the two"
    routing.heard("gpu", beat("gpu", "gpu", labels=(ZONE_A,)), 0.2)
    assert set(routing.runnable(0.2)) == {"t"}
    assert nodes_for(routing, task, 0.2) == {"gpu"}


@pytest.mark.parametrize("code", ["queue", "label"])
def test_a_worker_that_gave_a_child_back_is_shunned_for_that_requirement_until_it_announces_anew(code: str) -> None:
    routing = routing_of(beat("w", "", "gpu"), beat("v", "gpu"))
    placed, plain = task_at("t", "gpu"), task_at("u")
    routing.learn(placed, returned(placed, "w", code=code, retry_after=0), 1.0)
    assert nodes_for(routing, placed, 1.0) == {"v"}
    assert nodes_for(routing, plain, 1.0) == {"w"}
    routing.heard("w", beat("w", "", "gpu", labels=(ZONE_A,)), 1.1)
    assert nodes_for(routing, placed, 1.1) == {"w", "v"}


def terms_of(task: Task, child: int = 0) -> e.Terms | None:
    me = Identity("me", "me", SystemClock(), EventIds())
    dispatcher = Dispatcher(me, Entries(View(MemoryStore(), None)))  # type: ignore[arg-type]
    ((_, work),) = dispatcher.records(task, [e.Release(child, child, 1, 0)], 0)
    return work.terms


def test_the_record_of_a_child_says_its_queue_and_labels_and_nothing_where_it_has_none() -> None:
    assert terms_of(task_at("t")) is None
    assert terms_of(task_at("t", "gpu")) == e.Terms(queue="gpu")
    task = task_at("t", "", ZONE_A, reduce=())
    assert terms_of(task) == e.Terms(needs=(e.Label("zone", "a"),))
    evolve(task, e.ChildrenDispatched(ID, 1, "me", "t", (e.Release(0, 0, 1, 0),), 0), task.load)
    evolve(task, e.ChildCompleted(ID, 9, "v", "t", 0, 1, 1, 1 << 32, 8, 0, None), task.load)
    assert terms_of(task, 1) is None


@pytest.mark.parametrize(
    ("requirement", "workers", "says"),
    [
        (Requirement("m", queue="gpu"), [], "allows module m"),
        (Requirement("m", queue="gpu"), [(("x",), EVERYWHERE)], "allows module m"),
        (Requirement("m", queue="gpu"), [(("m",), PLAIN)], "that allows module m serves the queue gpu"),
        (Requirement("m"), [(None, Place(("gpu",)))], "that allows module m serves the queue default"),
        (Requirement("", queue="gpu"), [(None, PLAIN)], "serves the queue gpu"),
        (Requirement("m", needs=(ZONE_A,)), [(("m",), PLAIN)], "that allows module m has the label zone=a"),
        (
            Requirement("m", queue="gpu", needs=(ZONE_A,)), [(("m",), Place(("gpu",))), (("m",), Place((), (ZONE_A,)))],
            "that allows module m and serves the queue gpu has the label zone=a",
        ),
        (
            Requirement("", needs=(DISK, ZONE_A)), [(None, Place((), (DISK,))), (None, Place((), (ZONE_A,)))],
            "has the labels disk=large, zone=a",
        ),
        (Requirement("m", queue="gpu"), [(("m",), PLAIN), (None, Place(("gpu",)))], ""),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(
    requirement: Requirement, workers: list[tuple[tuple[str, ...] | None, Place]], says: str
) -> None:
    assert requirement.missing(workers) == says


def test_the_options_of_a_worker_that_meets_it() -> None:
    assert Requirement("m", queue="gpu", needs=(DISK, ZONE_A)).options == (
        "--allow m --queue gpu --label disk=large --label zone=a"
    )
    assert (Requirement("").options, Requirement("", queue="gpu").options) == ("", "--queue gpu")


def test_beats_with_too_many_queues_are_refused() -> None:
    assert validate(beat("w", "", "gpu", labels=(ZONE_A,))) is None
    assert validate(beat("w", *[f"q{number}" for number in range(101)])) is not None


def test_a_route_is_shared_by_tasks_of_one_requirement() -> None:
    routing, tasks = routing_of(*CLUSTER), [task_at("t", "gpu"), task_at("u", "gpu")]
    found = routing.routes(needs(*tasks), routing.present(0.0), 0.0)
    assert found == {Requirement("m", queue="gpu"): Route(frozenset({"both", "gpu", "gpu-a", "all"}))}
