"""Where children may run: patterns, what schedulers learn, who is parked, who is woken, and who gets how much."""

from __future__ import annotations

import pytest

from streamsched.domain import events as e
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.evolve import evolve
from streamsched.domain.ids import EventIds
from streamsched.domain.phases import ChildState
from streamsched.domain.routing import PATTERNS_LIMIT, Requirement, allows, problem_of_pattern, requirement_of
from streamsched.domain.splitting import plan
from streamsched.domain.validation import validate
from streamsched.log.codec import Codec
from streamsched.runtime.backoff import Backoff
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.scheduler.dispatcher import Dispatcher
from streamsched.scheduler.entries import Entries
from streamsched.scheduler.routing import Route, Routing
from streamsched.scheduler.workers import STALE_S, Capacity
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.unit.scheduler.routing_case import ID, beat_of, needs, returned, task_of

M, OTHER = Requirement("m"), Requirement("other")


@pytest.mark.parametrize(
    ("patterns", "module", "allowed"),
    [
        (["jobs"], "jobs", True),
        (["jobs"], "jobs.resize", False),
        (["jobs"], "jobs2", False),
        (["jobs.*"], "jobs.resize", True),
        (["jobs.*"], "jobs.deep.er", True),
        (["jobs.*"], "jobs", False),
        (["jobs.*"], "jobs2.x", False),
        (["jobs.*"], "jobs._private", False),
        (["jobs.*"], "jobs._private.x", False),
        (["jobs._private"], "jobs._private", True),
        (["jobs._private.*"], "jobs._private.x", True),
        (["a", "b", "jobs.*"], "jobs.x", True),
        ([], "jobs", False),
        (["*"], "jobs", False),
    ],
)
def test_a_pattern_names_a_module_or_what_lies_below_a_package(patterns: list[str], module: str, allowed: bool) -> None:
    assert allows(patterns, module) is allowed


@pytest.mark.parametrize(
    "pattern", ["*", "*.x", "a*", "a.*.b", "a.**", "", ".", "a.", ".a", "a b", "a,b", "a:f", "1a", "a" * 2_000]
)
def test_what_is_no_pattern(pattern: str) -> None:
    assert problem_of_pattern(pattern)


@pytest.mark.parametrize("pattern", ["a", "a.b", "a.*", "a.b.*", "_a", "a._b.*", "ä.b"])
def test_what_is_a_pattern(pattern: str) -> None:
    assert problem_of_pattern(pattern) is None


def test_who_announces_nothing_runs_all_and_who_announces_no_module_runs_none() -> None:
    assert requirement_of("m.n:f") == Requirement("m.n")
    assert M.met_by(None)
    assert not M.met_by(())


def test_beats_that_no_worker_sends_are_refused() -> None:
    assert validate(beat_of("w", ["jobs", "jobs.*"])) is None
    assert "more than 100" in (validate(beat_of("w", ["m"] * (PATTERNS_LIMIT + 1))) or "")
    assert "'*'" in (validate(beat_of("w", ["*"])) or "")


@pytest.mark.parametrize("wait", [-1, 1 << 60])
def test_a_return_with_a_wait_that_cannot_be_is_refused(wait: int) -> None:
    assert validate(returned(task_of("t", "m:f"), "w")) is None
    assert "retry_after" in (validate(returned(task_of("t", "m:f"), "w", retry_after=wait)) or "")


# --- the fold -------------------------------------------------------------------------------------------------------


def test_a_child_that_came_back_waits_and_has_used_no_attempt() -> None:
    task = task_of("t", "m:f", 1)
    task.release(e.Release(0, 0, 1, 0))
    evolve(task, returned(task, "w"), task.load)
    assert task.state_of(0) is ChildState.DUE
    assert task.next_due() == 3_000
    assert task.details[0].attempt == 1
    assert task.refusal == "w: no module named m"
    task.release(e.Release(0, 0, 2, 0))
    evolve(task, e.ChildCompleted(ID, 9_000, "v", "t", 0, 2, 1, 2 << 32, 8_000, 0, None), task.load)
    assert (task.refusal, task.details[0].message, task.succeeded) == ("", None, 1)


def test_a_child_that_came_back_from_its_last_dispatch_fails() -> None:
    task = task_of("t", "m:f", 1)
    task.release(e.Release(0, 0, 1, 0))
    task.table[0] |= LAST_ORDINAL << 4
    evolve(
        task,
        e.ChildReturned(ID, 1, "w", "t", 0, LAST_ORDINAL, 1, 1, 0, None, 0, "", returned(task, "w").why),
        task.load,
    )
    assert task.failed == 1
    assert task.details[0].error_type == "TooManyDispatches"


# --- what a scheduler knows -----------------------------------------------------------------------------------------


def routes(routing: Routing, now: float, *handlers: str) -> dict[Requirement, Route]:
    tasks = [task_of(f"t{number}", handler) for number, handler in enumerate(handlers)]
    return dict(routing.routes(needs(*tasks), routing.present(now), now))


def test_children_go_where_they_may_run() -> None:
    routing = Routing()
    routing.heard("a", beat_of("a", ["other"]), 0.0)
    routing.heard("b", beat_of("b", ["m"]), 0.0)
    routing.heard("old", beat_of("old", None), 0.0)
    assert routes(routing, 1.0, "m:f", "other:g", "third:h") == {
        M: Route(frozenset({"b", "old"})), OTHER: Route(frozenset({"a", "old"})),
        Requirement("third"): Route(frozenset({"old"})),
    }  # fmt: skip


def test_programs_go_where_they_are_allowed() -> None:
    routing = Routing()
    routing.heard("a", beat_of("a", ["x", "$ ./y"]), 0.0)
    routing.heard("b", beat_of("b", ["$ ./*"]), 0.0)
    routing.heard("old", beat_of("old", None), 0.0)
    assert routes(routing, 1.0, "$ ./x", "$ ./y", "x:f", "$ /bin/sh") == {
        Requirement("$ ./x"): Route(frozenset({"b", "old"})), Requirement("$ ./y"): Route(frozenset({"a", "b", "old"})),
        Requirement("x"): Route(frozenset({"a", "old"})), Requirement("$ /bin/sh"): Route(frozenset({"old"})),
    }  # fmt: skip
    assert validate(beat_of("b", ["$ ./*"])) is None
    assert "names no program" in (validate(beat_of("b", ["$ *"])) or "")


def test_the_work_of_a_program_names_it_and_holds_how_it_is_called() -> None:
    task = task_of("t", "$ ./x", 2)
    task.plan = plan(task.template, {"n": 2}).document
    me = Identity("me", "me", SystemClock(), EventIds())
    dispatcher = Dispatcher(me, Entries(View(MemoryStore(), Codec())))
    made = [record for _, record in dispatcher.records(task, [e.Release(0, 1, 1, 0)], 0)]
    assert {(record.handler, record.options) for record in made} == {("$ ./x", '{"command":{}}')}
    assert made[0].args == '{"args":{},"cwd":"","env":{},"words":[]}'


def test_a_task_that_nobody_can_run_is_parked_and_woken_by_an_announcement() -> None:
    routing, task = Routing(), task_of("t", "m:f")
    routing.heard("a", beat_of("a", ["other"]), 0.0)
    routing.want("t")
    assert list(routing.runnable(0.0)) == ["t"]
    routing.routes(needs(task), routing.present(0.0), 0.0)
    for moment in (1.0, 2.0):
        routing.heard("a", beat_of("a", ["other"]), moment)
        assert not routing.runnable(moment), "it costs nothing"
    routing.want("t")
    assert not routing.runnable(2.0), "an event of the task does not wake it"
    assert list(routing._under) == ["t"]
    routing.heard("b", beat_of("b", ["m"]), 2.5)
    assert list(routing.runnable(2.5)) == ["t"]


def test_a_worker_that_is_heard_again_after_a_silence_wakes_too() -> None:
    routing, task = Routing(), task_of("t", "m:f")
    routing.heard("a", beat_of("a", ["m"]), 0.0)
    routing.want("t")
    routing.routes(needs(task), routing.present(STALE_S + 1), STALE_S + 1)
    assert not routing.runnable(STALE_S + 1)
    routing.heard("a", beat_of("a", ["m"]), STALE_S + 2)
    assert list(routing.runnable(STALE_S + 2)) == ["t"]


def test_a_parked_task_that_ends_is_forgotten() -> None:
    routing, task = Routing(), task_of("t", "m:f")
    routing.want("t")
    routing.routes(needs(task), [], 0.0)
    routing.drop("t")
    assert not list(routing._under)
    routing.heard("a", beat_of("a", ["m"]), 0.0)
    assert not routing.runnable(0.0)


def test_who_gave_a_child_back_is_shunned_for_longer_each_time_and_then_gets_one_child_to_try() -> None:
    routing, task = Routing(), task_of("t", "m:f")

    def hears(now: float) -> None:
        routing.heard("a", beat_of("a", ["m", "other"]), now)

    moment = 0.0
    for length in (5, 10, 20, 40, 80, 160, 300, 300):
        hears(moment)
        for _ in range(3):  # many children come back at once
            routing.learn(task, returned(task, "a"), moment)
        hears(moment + length - 0.1)
        assert routes(routing, moment + length - 0.1, "m:f", "other:g") == {
            M: Route(frozenset()), OTHER: Route(frozenset({"a"})),
        }  # fmt: skip
        moment += length
        hears(moment)
        tried = routes(routing, moment, "m:f")[M]
        assert tried == Route(frozenset({"a"}), frozenset({"a"}))
        routing.placed(M, [e.Release(0, 0, 1, 0)], tried, moment)
        assert routes(routing, moment, "m:f")[M].nodes == frozenset(), "one child is enough"
        moment += 0.5


@pytest.mark.parametrize("news", ["a new announcement", "another process", "it ran one", "it left"])
def test_what_ends_a_shunning(news: str) -> None:
    routing, task = Routing(), task_of("t", "m:f")
    routing.heard("a", beat_of("a", ["m"]), 0.0)
    routing.learn(task, returned(task, "a"), 0.0)
    routing.want("t")
    routing.routes(needs(task), routing.present(1.0), 1.0)
    assert not routing.runnable(1.0)
    if news == "a new announcement":
        routing.heard("a", beat_of("a", ["m", "n"]), 1.0)
    elif news == "another process":
        routing.heard("a2", beat_of("a2", ["m"], name="a"), 1.0)
    elif news == "it ran one":
        routing.learn(task, e.ChildStarted(ID, 1, "a", "t", 0, 1, 1, 1 << 32), 1.0)
    else:
        routing.heard("a", None, 1.0)
        assert routing.learns == {e.ChildReturned}
        return
    assert list(routing.runnable(1.0)) == ["t"]


def test_a_parked_task_is_tried_again_when_the_time_is_over() -> None:
    routing, task = Routing(), task_of("t", "m:f")
    routing.heard("a", beat_of("a", ["m"]), 0.0)
    routing.learn(task, returned(task, "a"), 0.0)
    routing.want("t")
    routing.routes(needs(task), routing.present(1.0), 1.0)
    routing.heard("a", beat_of("a", ["m"]), 4.9)
    assert not routing.runnable(4.9)
    assert list(routing.runnable(5.0)) == ["t"]


def test_nothing_is_learnt_of_workers_that_are_not_there() -> None:
    routing, task = Routing(), task_of("t", "m:f")
    routing.learn(task, returned(task, "dead"), 0.0)
    assert routing.learns == {e.ChildReturned}


def test_waits_double_and_begin_anew() -> None:
    backoff = Backoff(1.0, 8.0)
    assert [backoff.wait("x", now).length for now in (0, 0.5, 1, 2.9, 3, 7, 15, 23.5)] == [1, 1, 2, 2, 4, 8, 8, 8]
    assert backoff.wait("y", 3.0).length == 1
    assert backoff.wait("x", 100.0).length == 1
    backoff.forget("x")
    assert backoff.wait("x", 100.5).length == 1


# --- placement ------------------------------------------------------------------------------------------------------

WORKERS = [Capacity(name, 4, (number,)) for number, name in enumerate("abc")]


def placed(
    routes: dict[Requirement, Route], *handlers: str, load: dict[int, int] | None = None
) -> list[dict[int, int]]:
    dispatcher = Dispatcher(Identity("s", "s", SystemClock()), Entries(View(MemoryStore(), Codec())))
    tasks = [task_of(f"t{number}", handler, 100) for number, handler in enumerate(handlers)]
    chosen = dispatcher.choose(tasks, WORKERS, {}, 0, routes)
    found = []
    for task in tasks:
        counts: dict[int, int] = {}
        for each in chosen.get(task.task_id, ()):
            counts[each.partition] = counts.get(each.partition, 0) + each.last - each.first + 1
        found.append(counts)
    return found


def test_a_task_is_placed_on_its_workers_alone_and_fills_them() -> None:
    assert placed({M: Route(frozenset("b"))}, "m:f") == [{1: 4}]
    assert placed({M: Route(frozenset("bc"))}, "m:f") == [{1: 4, 2: 4}]
    assert placed({M: Route(frozenset())}, "m:f") == [{}]


def test_tasks_of_different_routes_see_what_each_other_places() -> None:
    only_b, everywhere = placed({M: Route(frozenset("b")), OTHER: Route(frozenset("abc"))}, "m:f", "other:f")
    assert only_b == {1: 3}
    assert everywhere == {0: 4, 1: 1, 2: 4}, "spread like any other key, until b is full"


def test_a_worker_in_doubt_gets_one_child() -> None:
    (counts,) = placed({M: Route(frozenset("abc"), frozenset("a"))}, "m:f")
    assert counts == {0: 1, 1: 4, 2: 4}
    assert placed({M: Route(frozenset("a"), frozenset("a"))}, "m:f") == [{0: 1}]
