"""What is told of a child's arguments is what its handler is given, in each stage and however its task is cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched import ChildContext
from streamsched.queries.arguments import Input, arguments_of
from streamsched.testing.memory_cluster import Cluster

HERE = __name__
GIVEN: list[dict[str, Any]] = []


def work(ctx: ChildContext, **given: Any) -> None:
    GIVEN.append(given)


def pieces(ctx: ChildContext, first: str) -> Iterator[Any]:
    yield from (first, {"b": [1.0, 2**53 + 1]})


def total(ctx: ChildContext, results: Any, **given: Any) -> None:
    GIVEN.append(given)


ARGS = {"at": "${child.index}", "day": "${day}"}
CHILD = {"handler": f"{HERE}:work", "args": ARGS}
ITEM = {"handler": f"{HERE}:work", "args": {**ARGS, "item": "${child.item}"}}
REDUCE = {"handler": f"{HERE}:total", "args": {"day": "${day}"}}
SPLITS: dict[str, dict[str, Any]] = {
    "range": {"split": {"range": {"first": 1, "last": 3, "size": 1}}, "child": CHILD},
    "list": {"split": {"list": {"items": ["x", "y"]}}, "child": ITEM},
    "by": {"split": {"by": f"{HERE}:pieces", "args": {"first": "${day}"}}, "child": ITEM},
}


@pytest.mark.parametrize("split", SPLITS)
def test_they_are_what_the_handler_gets(split: str) -> None:
    GIVEN.clear()
    body = {"name": "t", "params": {"day": {"type": "string"}}, "reduce": REDUCE, **SPLITS[split]}
    with Cluster(workers=1, slots=1) as cluster:
        task_id = cluster.submit(body, {"day": "\u20ac\n"})
        assert cluster.run_until(task_id).state == "succeeded"
        task, view = cluster.client.find(task_id), cluster.client.session.follower.view
        told = [arguments_of(view, task, child) for child in range(task.split, task.children)]
        assert [each.args for each in told] == GIVEN
        assert {each.runs for each in told[:-1]} == {f"{HERE}:work"}
        assert told[-1].runs == f"{HERE}:total"
        if task.split:
            assert arguments_of(view, task, 0).runs == f"{HERE}:pieces"
            assert arguments_of(view, task, 0).args == {"function": f"{HERE}:pieces", "args": {"first": "\u20ac\n"}}


def test_lines_that_are_read_where_a_child_runs_are_named(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("one\ntwo\nthree\n")
    item = {"handler": f"{HERE}:work", "args": {"all": "${child.items}", "text": "of ${child.items}"}}
    with Cluster(workers=1) as cluster:
        task_id = cluster.submit({"name": "t", "split": {"lines": {"file": str(file), "size": 2}}, "child": item})
        assert cluster.run_until(task_id).state == "succeeded"
        task, view = cluster.client.find(task_id), cluster.client.session.follower.view
        assert arguments_of(view, task, 0).runs == "lines"
        found = arguments_of(view, task, 2)
        assert found.args == {"all": "${child.items}", "text": "of ${child.items}"}
        assert found.inputs == (Input(str(file), 14, 8, 14, "lines"),)
