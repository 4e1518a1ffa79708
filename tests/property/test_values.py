"""Whatever the value: it comes back equal, from caller to handler to state to result to export, or is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsched.audit.export import export
from streamsched.audit.replay import ends_of
from streamsched.commands.request import make_request, want
from streamsched.domain import values
from streamsched.domain.placeholders import kept
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.template import ChildSpec, Param, RetryPolicy, Template, TemplateError
from streamsched.queries.status import children_of
from streamsched.worker import jobs, wire
from streamsched.worker.context import PAYLOAD_LIMIT, ChildContext, LocalTransport
from streamsched.worker.payload import write_result
from tests.support.mini_cluster import InstantPool, MiniCluster

LIMIT = 1 << 20
NUMBERS = count()
TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # halves of characters, too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ODD = (
    st.binary(max_size=3) | st.sets(st.integers(), max_size=2) | st.decimals() | st.datetimes() | st.dates()
    | st.timedeltas() | st.uuids() | st.fractions() | st.complex_numbers() | st.just(object()) | st.just(range(3))
)  # fmt: skip


def trees(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
    )


PLAIN = trees(SCALARS, TEXT)
ANY = trees(SCALARS | ODD | st.tuples(SCALARS, SCALARS | ODD), TEXT | st.integers() | st.none() | st.binary(max_size=2))


def same(value: Any, found: Any) -> bool:
    """Tell whether this is the value, with its types and the signs of its zeros; tuples are lists."""
    if isinstance(value, tuple | list):
        return isinstance(found, list) and len(value) == len(found) and all(map(same, value, found))
    if isinstance(value, dict):
        return isinstance(found, dict) and value.keys() == found.keys() and all(same(value[k], found[k]) for k in value)
    return type(value) is type(found) and repr(value) == repr(found)


def blamed(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


def is_at_fault(value: Any) -> bool:
    """Tell whether a value cannot be kept because of itself, not of what is in it."""
    if isinstance(value, dict):
        return any(type(key) is not str or is_at_fault(key) for key in value)
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") != value
    if isinstance(value, float):
        return value - value != 0
    return not isinstance(value, list | tuple | int | None)


@settings(max_examples=400)
@given(ANY)
def test_a_result_is_the_same_or_what_is_to_blame_is_named(value: Any) -> None:
    refused: values.Refused | None = None
    try:
        text = values.write(value, "result", LIMIT).decode()
    except values.Refused as error:
        refused = error
    if refused is not None:
        assert is_at_fault(blamed(value, refused.path))
        assert str(refused).startswith("result")
    else:
        assert same(value, values.read(text))
        assert same(value, json.loads(text))  # as any other reader has it
        ended = jobs.JobCompleted(key=1, started_at=1, finished_at=1, result=text, state=text)
        assert wire.news_items(wire.encode_item(ended), 1) == [ended]


@settings(max_examples=200)
@given(PLAIN)
def test_both_ways_to_write_agree(value: Any) -> None:
    """The quick one in C, and the one that looks at everything."""
    try:
        checked = values.plain(value)
    except values.Refused:
        with pytest.raises(values.Refused):
            values.write(value, "x", LIMIT)
    else:
        assert same(checked, values.read(values.write(value, "x", LIMIT).decode()))
        assert same(checked, values.read(values.canonical(checked)))


class EchoPool(InstantPool):
    """Runs a handler in this process, as an executor does: it keeps its argument as a state and returns that."""

    def submit(self, jobs_: Sequence[jobs.Job]) -> None:
        for job in jobs_:
            ctx = ChildContext(LocalTransport(), state=job.state)
            ctx.checkpoint(values.read(job.args)["value"])
            state, *_ = ctx.unsaved() or (None, 0, 0)
            result = write_result(ctx.last_checkpoint, PAYLOAD_LIMIT)
            self._news.append(jobs.JobCompleted(key=job.key, started_at=1, finished_at=1, result=result, state=state))


@pytest.fixture(scope="module")
def mini() -> Iterator[MiniCluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.mini_cluster.InstantPool", EchoPool)
        yield MiniCluster(room=64)


TEMPLATE = Template(
    name="echo",
    params={"values": Param(type="array")},
    split=ListSplit(items="${values}"),
    child=ChildSpec(handler="m:f", args={"value": "${child.item}"}, retry=RetryPolicy(max_attempts=1)),
)


def submitted(entries: list[Any]) -> list[Any]:
    found = []
    for entry in entries:
        try:
            found.append(kept([entry])[0])
        except TemplateError:
            continue
    return found


@settings(max_examples=25, deadline=None)
@given(entries=st.lists(PLAIN, min_size=1, max_size=12))
def test_from_the_caller_to_the_export(
    mini: MiniCluster, tmp_path_factory: pytest.TempPathFactory, entries: list[Any]
) -> None:
    entries = submitted(entries)
    task_id = f"echo-{next(NUMBERS)}"
    wanted = want(TEMPLATE, {"values": entries}, task_id=task_id)
    mini.log.append([mini.records.journal(make_request(mini.me, wanted, "test"), task_id)])
    for _ in range(200):
        mini.turn(1)
        if mini.phase(task_id) == "succeeded":
            break
    view = mini.scheduler.view
    view.flush()
    task = view.task(task_id)
    assert task is not None
    assert same(entries, [child.result for child in children_of(view, task)])
    told = exported(mini, tmp_path_factory.getbasetemp() / "all.jsonl", task_id)
    assert same(entries, [told[child] for child in range(len(entries))])


def exported(mini: MiniCluster, path: Path, task_id: str) -> dict[int, Any]:
    ends = ends_of(mini.log, mini.topics.journal())
    export(path, "jsonl", log=mini.log, topics=mini.topics, codec=mini.codec, ends=ends, task_id=task_id)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["child"]: row["result"] for row in rows if row["event"] == "ChildCompleted"}
