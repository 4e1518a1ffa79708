"""Split children in the test kit: splitters that look outside, killed in the middle too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched import ChildContext
from streamsched.testing import Cluster, assert_covers, crash_after


def pieces(ctx: ChildContext, count: int) -> Iterator[dict[str, int]]:
    """Yield numbers, as a splitter of one's own."""
    for number in range(count):
        yield {"n": number}


def double(ctx: ChildContext, item: dict[str, int]) -> dict[str, int]:
    """Work on one of them."""
    return {"child": ctx.child_index, "doubled": 2 * item["n"]}


def total(ctx: ChildContext, factor: int = 1) -> int:
    """Add up the records of a range."""
    found = (ctx.last_checkpoint or {"sum": 0})["sum"]
    records = ctx.records()
    for record in records:
        found += record["n"]
        ctx.checkpoint({"offset": records.offset, "sum": found})
    return int(found)


def template(split: dict[str, Any], handler: str = "double", args: dict[str, Any] | None = None) -> dict[str, Any]:
    child = {"handler": f"{__name__}:{handler}", "args": {"item": "${child.item}"} if args is None else args}
    return {"name": "t", "params": {"n": {"type": "integer", "default": 7}}, "split": split, "child": child}


OWN = template({"by": f"{__name__}:pieces", "args": {"count": "${n}"}})


@pytest.mark.parametrize("death", ["none", "start", "checkpoint", "end", "worker", "child"])
def test_a_splitter_of_ones_own(cluster: Cluster, death: str) -> None:
    task = cluster.submit(OWN)
    if death in ("start", "end"):
        cluster.crash(task, crash_after(death), child="split")  # type: ignore[arg-type]
    elif death == "checkpoint":
        cluster.crash(task, crash_after("checkpoint", 4), child="split")
    elif death == "child":
        cluster.crash(task, crash_after("end"), child=6)
    elif death == "worker":
        cluster.run_until(task, lambda status: status.children.total >= 3)
        cluster.kill_worker()
        cluster.add_worker()
    assert cluster.results(task) == [{"child": n, "doubled": 2 * n} for n in range(7)]
    assert cluster.client.certify(task).holds


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.jsonl"
    path.write_text("".join(json.dumps({"n": number}) + "\n" for number in range(100)))
    return path


def test_records_of_ranges_of_a_file(cluster: Cluster, numbers: Path) -> None:
    split = {"bytes": {"files": [str(numbers)], "size": "200B", "format": "jsonl"}}
    task = cluster.submit(template(split, "total", {}))
    cluster.crash(task, crash_after("checkpoint", 5), child=1)
    results = cluster.results(task)
    assert len(results) > 4
    assert sum(results) == sum(range(100))


def test_what_is_split_outside_is_covered(numbers: Path) -> None:
    split = {"lines": {"file": str(numbers), "size": 30}}
    job, lines = template(split, args={"lines": "${child.items}"}), numbers.read_text().splitlines()
    assert_covers(job, part=lambda args: args["lines"], whole=lines)
    with pytest.raises(AssertionError, match=r"a gap: .* is in no child"):
        assert_covers(job, part=lambda args: args["lines"][1:], whole=lines)
    with pytest.raises(ValueError, match=r"what split\.lines has to cover .*: give part= and whole="):
        assert_covers(job)
    assert_covers(OWN, {"n": 5}, part=lambda args: [args["item"]["n"]], whole=range(5))
    assert_covers(pieces, {"count": 5}, part=lambda entry: [entry["n"]], whole=range(5))
