"""Events as text: children have the numbers that people know, whatever stages their task has."""

from __future__ import annotations

from typing import Any

from streamsched.cli.event_text import ChildNames, event_text
from streamsched.domain import events as e


def fact(cls: type[Any], *fields: Any, **named: Any) -> Any:
    return cls(b"i" * 16, 1_000, "me", "task", *fields, **named)


def texts(*events: e.Event) -> list[str]:
    names = ChildNames()
    return [event_text(event, names).removesuffix(", by me") for event in events]


def dispatched(first: int, last: int) -> Any:
    return fact(e.ChildrenDispatched, (e.Release(first, last, 1, 7),), 0)


def started(child: int) -> Any:
    return fact(e.ChildStarted, child, 1, 1, 1 << 32)


def page(first: int, count: int) -> Any:
    entries = "\n".join(["1"] * count)
    return fact(e.TaskPlanProgressed, 0, "{}", 0, sequence=first, first=first, count=count, entries=entries)


def test_children_behind_a_split_child_count_from_0() -> None:
    planned = fact(e.TaskPlanned, 0, 0, "{}", "", 0, fan_in=1, split=True)
    found = texts(
        planned, dispatched(0, 0), page(1, 2), dispatched(1, 2), started(2), page(3, 1), started(3),
        fact(e.ChildrenCancelled, (e.Span(1, 3),), "", 0), dispatched(4, 4),
    )  # fmt: skip
    assert [text.split(" of partition")[0] for text in found[1:]] == [
        "split", "split, dispatch 1, attempt 1, checkpoint 1, finds children 0 to 1", "children 0 to 1",
        "child 1, dispatch 1, attempt 1", "split, dispatch 1, attempt 1, checkpoint 3, finds child 2",
        "child 2, dispatch 1, attempt 1", "children 0 to 2", "reduce",
    ]  # fmt: skip


def test_without_a_split_child_numbers_are_those_of_the_events() -> None:
    found = texts(fact(e.TaskPlanned, 0, 3, "{}", "", 0, fan_in=1), dispatched(0, 2), started(2), started(3))
    assert [text.split(" of partition")[0] for text in found[1:]] == [
        "children 0 to 2", "child 2, dispatch 1, attempt 1", "reduce, dispatch 1, attempt 1",
    ]  # fmt: skip


def test_a_range_that_crosses_stages_names_each() -> None:
    def cancelled(split: bool, first: int, last: int) -> str:
        planned = fact(e.TaskPlanned, 0, 0 if split else 3, "{}", "", 0, fan_in=1, split=split)
        pages = [page(1, 3)] if split else []
        return texts(planned, *pages, fact(e.ChildrenCancelled, (e.Span(first, last),), "", 0))[-1]

    assert cancelled(False, 1, 3) == "children 1 to 2, reduce"
    assert cancelled(False, 2, 3) == "child 2, reduce"
    assert cancelled(True, 0, 4) == "split, children 0 to 2, reduce"
    assert cancelled(True, 0, 1) == "split, child 0"


def test_a_history_that_begins_later_keeps_the_numbers_of_the_events() -> None:
    assert texts(started(5))[0].startswith("child 5,")
