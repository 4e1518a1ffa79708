"""Split children and their children in executors of a real pool."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched.domain.options import InputFile, Options, SplitOptions, write_options
from streamsched.domain.placeholders import encode
from streamsched.worker.jobs import Job, JobCompleted, JobFailed
from streamsched.worker.pool import ExecutorPool
from streamsched.worker.sources import storage
from tests.unit.worker.pool_case import Case, make_job

pytestmark = pytest.mark.slow


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.chdir(Path(__file__).parent)
    pool = ExecutorPool(1, allow=["source_handlers"])
    yield Case(pool)
    pool.close()


def splitting(function: str, args: dict[str, Any], **fields: Any) -> Job:
    given = encode({"function": function, "args": args})
    options = write_options(Options("split", split=SplitOptions("by", given, 100_000)))
    return make_job(function, child=0, options=options, **fields)


def entries(case: Case, job: Job) -> list[Any]:
    return [json.loads(each or b"") for each in case.emitted(job)]


def written(case: Case, job: Job) -> bool:
    """Confirm each checkpoint, as a worker does that has written it; return whether the job has ended."""
    for told in case.checkpoints(job):
        case.pool.confirm(job.key, told.number)
    return case.ending(job) is not None


def test_a_generator_finds_entries_and_ends_when_all_are_durable(case: Case) -> None:
    job = splitting("source_handlers:numbers", {"count": 12_000})
    case.pool.submit([job])
    case.until(lambda: written(case, job))
    ending = case.ending(job)
    assert isinstance(ending, JobCompleted), ending
    assert ending.result is None
    assert entries(case, job) == list(range(12_000))
    told = case.checkpoints(job)
    assert [json.loads(each.state)["n"] for each in told if each.wait] == [10_000, 12_000]
    assert all(json.loads(each.state)["n"] == each.covered for each in told)


def test_a_slow_generator_keeps_nothing_back(case: Case, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = splitting("source_handlers:slowly", {"gate": str(gate)})
    case.pool.submit([job])
    case.until(lambda: case.checkpoints(job))
    assert entries(case, job) == [1]
    assert case.checkpoints(job)[0].covered == 1
    gate.touch()
    case.until(lambda: written(case, job))
    assert entries(case, job) == [1, 2]


def test_an_error_goes_with_what_was_found_before_it(case: Case) -> None:
    job = splitting("source_handlers:fails", {"after": 3})
    ending = case.one(job, JobFailed)
    assert (ending.error_type, ending.message, ending.retryable) == ("ValueError", "no more", True)
    assert entries(case, job) == [0, 1, 2]
    assert ending.state is None or json.loads(ending.state)["n"] == ending.covered == 3


def test_a_built_in_splitter_needs_no_module(case: Case, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a\nb\nc\n")
    given = encode({"file": str(tmp_path / "list"), "size": 2, "empty": False, "verify": True})
    options = write_options(Options("split", split=SplitOptions("lines", given, 100_000)))
    job = make_job("").__class__(**{**_fields(make_job("a:b", child=0, options=options)), "handler": ""})
    case.pool.submit([job])
    case.until(lambda: written(case, job))
    assert isinstance(case.ending(job), JobCompleted), case.ending(job)
    found = entries(case, job)
    assert [(each["first"], each["weight"], each["inputs"][0]["end"]) for each in found] == [(0, 2, 4), (2, 1, 6)]
    (last,) = found[1]["inputs"]
    child = working(InputFile(**last), args={"items": "\ue000items\ue001"})
    assert case.one(child, JobCompleted).result == '{"items":["c"],"child":2,"stage":"work"}'


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__struct_fields__}


def working(*inputs: InputFile, handler: str = "source_handlers:echo", **fields: Any) -> Job:
    return make_job(handler, options=write_options(Options(inputs=inputs)), **fields)


def test_children_of_entries_are_counted_from_0(case: Case) -> None:
    assert case.one(working(child=1, args={"x": 1}), JobCompleted).result == '{"x":1,"child":0,"stage":"work"}'


def test_a_child_reads_its_records_and_refuses_another_file(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("1\n2\n3\n")
    of = InputFile(*storage.look(str(path)), start=2, end=4, format="jsonl")
    assert case.one(working(of, handler="source_handlers:total"), JobCompleted).result == "[2]"
    resumed = working(of, handler="source_handlers:total", state='{"offset":4}')
    assert case.one(resumed, JobCompleted).result == "[]"
    os.utime(path, ns=(0, 0))
    ending = case.one(working(of, handler="source_handlers:total"), JobFailed)
    assert (ending.error_type, ending.retryable) == ("input_changed", False)
    assert str(path) in ending.message


def test_a_generator_is_no_handler_of_a_child(case: Case) -> None:
    ending = case.one(make_job("source_handlers:numbers", args={"count": 1}), JobFailed)
    assert "is a generator" in ending.message


def test_a_plan_above_the_limit_of_its_worker_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    pool = ExecutorPool(1, allow=["source_handlers"], plan_limit=20)
    try:
        case, job = Case(pool), splitting("source_handlers:numbers", {"count": 100})
        case.pool.submit([job])
        case.until(lambda: written(case, job))
        ending = case.ending(job)
        assert isinstance(ending, JobFailed)
        assert (ending.error_type, ending.retryable) == ("PlanTooLarge", False)
        assert entries(case, job) == list(range(10))
    finally:
        pool.close()
