"""A split child in its executor: pages, their limits, and going on behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamsched.domain import bounds
from streamsched.worker import context as contexts
from streamsched.worker.errors import BadArguments, NonRetryable, PayloadTooLarge, StopChild
from streamsched.worker.sources import split
from streamsched.worker.sources.errors import PlanTooLarge, SplitChanged, TooManyChildren
from tests.support.splits import Died, Worker


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert split.PAGE_ENTRIES == 10_000
    monkeypatch.setattr(split, "PAGE_ENTRIES", 1_000)


def by(args: Any = None) -> dict[str, Any]:
    return {"function": "jobs:pieces", "args": args or {}}


def numbers(count: int, *, step: int = 0) -> Callable[..., Iterator[int]]:
    """Return a generator of numbers that takes a checkpoint after each ``step``."""

    def pieces(ctx: contexts.ChildContext) -> Iterator[int]:
        first = ctx.last_checkpoint or 0
        for number in range(first, count):
            yield number
            if step and (number + 1) % step == 0:
                ctx.checkpoint(number + 1)

    return pieces


def test_pages_are_full_or_the_last() -> None:
    worker = Worker()
    worker.attempt("by", by(), numbers(2_500))
    assert worker.found() == list(range(2_500))
    assert worker.pages[-1] < split.PAGE_ENTRIES
    assert max(worker.pages) <= split.PAGE_ENTRIES
    assert worker.state is not None
    state = json.loads(worker.state)
    assert (state["n"], state["at"], state["user"]) == (2_500, 0, None)
    assert state["bytes"] == sum(len(each) + 1 for each in worker.entries)


def test_a_page_has_at_most_512_kib() -> None:
    worker = Worker()
    worker.attempt("by", by(), lambda ctx: ("x" * 100_000 for _ in range(12)))
    assert worker.pages == [6, 6]


def test_an_entry_waits_a_second_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(split, "_monotonic", lambda: clock[0])
    worker = Worker()

    def slow(ctx: contexts.ChildContext) -> Iterator[int]:
        for number in range(40):
            yield number
            worker.settle()  # as the link thread does every 20 ms or so
            clock[0] += 0.125

    worker.attempt("by", by(), slow)
    assert worker.found() == list(range(40))
    assert worker.pages == [1, 8, 8, 8, 8, 7]


@pytest.mark.parametrize("step", [0, 7])
def test_another_attempt_goes_on_behind_what_is_durable(step: int) -> None:
    worker = Worker(dies_at=1)
    with pytest.raises(Died):
        worker.attempt("by", by(), numbers(2_500, step=step))
    assert len(worker.entries) == split.PAGE_ENTRIES
    worker.dies_at = -1
    worker.attempt("by", by(), numbers(2_500, step=step))
    assert worker.found() == list(range(2_500))
    assert worker.state is not None
    assert json.loads(worker.state)["at"] == (2_499 if step else 0)


def test_a_generator_that_yields_something_else_is_found_out() -> None:
    worker = Worker(dies_at=1)
    with pytest.raises(Died):
        worker.attempt("by", by(), numbers(2_500))
    entries = list(worker.entries)
    for other in (numbers(999), lambda ctx: ("x" if n == 5 else n for n in range(2_500))):
        worker.dies_at = -1
        with pytest.raises(SplitChanged, match=r"the items 0 to 999 .*stable order, or call ctx.checkpoint"):
            worker.attempt("by", by(), other)
        assert worker.entries == entries
    worker.attempt("by", by(), lambda ctx: iter(range(1_000)))
    assert worker.found() == list(range(1_000))


def test_a_checkpoint_that_waits_makes_its_entries_durable() -> None:
    worker = Worker()

    def pieces(ctx: contexts.ChildContext) -> Iterator[int]:
        ctx.checkpoint({"frozen": 3}, wait=True)
        assert ctx.last_checkpoint == {"frozen": 3}
        assert worker.entries == []
        yield 1
        ctx.checkpoint({"frozen": 4}, wait=True)
        assert worker.entries == ["1"]
        yield 2

    worker.attempt("by", by(), pieces)
    assert worker.found() == [1, 2]


def test_resume_in_a_generator_covers_what_it_has_yielded() -> None:
    seen: list[int] = []

    def pieces(ctx: contexts.ChildContext) -> Iterator[int]:
        for number in ctx.resume(range(3_000), every=100):
            seen.append(number)
            yield number

    worker = Worker(dies_at=2)
    with pytest.raises(Died):
        worker.attempt("by", by(), pieces)
    seen.clear()
    worker.dies_at = -1
    worker.attempt("by", by(), pieces)
    assert worker.found() == list(range(3_000))
    assert seen[0] >= 1_900


def test_a_stop_ends_it_at_the_next_entry() -> None:
    worker = Worker(stops_at=0)
    with pytest.raises(StopChild):
        worker.attempt("by", by(), numbers(3_000))
    assert len(worker.entries) == split.PAGE_ENTRIES
    assert worker.context is not None
    told = worker.context.unsaved()
    assert told is not None or worker.context.covered[1] == split.PAGE_ENTRIES
    worker.stops_at = -1
    worker.attempt("by", by(), numbers(3_000))
    assert worker.found() == list(range(3_000))


def test_an_error_leaves_what_was_found_before_it() -> None:
    def pieces(ctx: contexts.ChildContext) -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    worker = Worker()
    with pytest.raises(ValueError, match="no more"):
        worker.attempt("by", by(), pieces)
    worker.settle()
    assert worker.found() == [1]


def test_items_come_back_as_they_were() -> None:
    items = [None, True, 0, -1.5, "é\udc80", [1, {"b": 2, "a": "\u2028"}], {"weight": "x", "inputs": 3}]
    worker = Worker()
    worker.attempt("by", by({"x": 1}), lambda ctx, x: [*items, x])
    assert worker.found() == [*items, 1]
    assert all(each.isascii() and "\n" not in each for each in worker.entries)


@pytest.mark.parametrize(
    ("item", "error", "said"),
    [
        ({1, 2}, NonRetryable, r"item 1: a value of type .*set is not JSON; write sorted\(x\)"),
        (float("nan"), NonRetryable, "item 1: nan is not a JSON number"),
        ({"a": 2**70}, NonRetryable, "beyond 64 bits"),
        ("x" * 200_001, PayloadTooLarge, "item 1 has 200,003 bytes .*pass large data by reference"),
        ('"' * 70_000, PayloadTooLarge, "item 1 has 140,002 bytes"),
        ([['"' * 40_000]], PayloadTooLarge, "item 1 has 160,008 bytes"),
    ],
)
def test_an_item_that_no_child_can_have_is_refused(item: object, error: type[Exception], said: str) -> None:
    worker = Worker()
    limit = 200_000 if not isinstance(item, str | list) or '"' not in str(item) else 12_000
    with pytest.raises(error, match=said):
        worker.attempt("by", by(), lambda ctx: [0, item, 2], item_limit=limit)
    worker.settle()
    assert worker.found() == [0]


def test_a_plan_has_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    with pytest.raises(PlanTooLarge, match=r"200 children take 800 bytes .* its limit is 800"):
        worker.attempt("by", by(), lambda ctx: (100 + n for n in range(900)), plan_limit=800)
    monkeypatch.setattr(split, "CHILDREN_LIMIT", 5)
    with pytest.raises(TooManyChildren, match="more than 5 children: choose a larger size"):
        Worker().attempt("by", by(), numbers(6))
    assert bounds.CHILDREN_LIMIT == 10_000_000


def test_what_is_not_a_generator_is_refused() -> None:
    with pytest.raises(NonRetryable, match="jobs:pieces returned a value of type NoneType: yield the items"):
        Worker().attempt("by", by(), lambda ctx: None)
    with pytest.raises(NonRetryable, match="of type str"):
        Worker().attempt("by", by(), lambda ctx: "abc")
    with pytest.raises(BadArguments, match=r"jobs:pieces does not take these arguments: .*'m'"):
        Worker().attempt("by", by({"m": 1}), lambda ctx, n: [n])
    with pytest.raises(NonRetryable, match="does not know the splitter 'range'"):
        Worker().attempt("range", {})


def test_the_users_checkpoints_while_entries_are_repeated_change_nothing() -> None:
    """A checkpoint is of what was yielded before it, and the durable one may be further."""

    def late(ctx: contexts.ChildContext) -> Iterator[int]:
        for number in range(2_500):
            yield number
            if number == 2_000:
                ctx.checkpoint("late")

    worker = Worker(dies_at=1)
    with pytest.raises(Died):
        worker.attempt("by", by(), late)
    worker.dies_at = -1

    def early(ctx: contexts.ChildContext) -> Iterator[int]:
        for number in range(2_500):
            yield number
            if number == 500:
                ctx.checkpoint("early")

    worker.attempt("by", by(), early)
    assert worker.found() == list(range(2_500))
    assert worker.state is not None
    assert json.loads(worker.state)["at"] == 0


def test_what_repeated_items_emitted_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    emitted: list[str] = []
    emit = split.PlanContext.emit

    def take(self: split.PlanContext, topic: str, value: Any, *rest: Any) -> None:
        if topic:
            emitted.append(value)
        else:
            emit(self, topic, value, *rest)

    monkeypatch.setattr(split.PlanContext, "emit", take)
    worker = Worker(dies_at=1)

    def pieces(ctx: contexts.ChildContext) -> Iterator[int]:
        for number in range(1_500):
            ctx.emit("topic", f"before {number}")
            yield number

    with pytest.raises(NonRetryable, match="is not a topic: yield the items"):
        Worker().attempt("by", by(), lambda ctx: ctx.emit("", "x"))
    with pytest.raises(Died):
        worker.attempt("by", by(), pieces)
    emitted.clear()
    worker.dies_at = -1
    worker.attempt("by", by(), pieces)
    assert emitted == [f"before {number}" for number in range(1_000, 1_500)]
