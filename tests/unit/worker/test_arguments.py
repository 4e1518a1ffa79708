"""Arguments are held against the annotations of a handler, and made into what these say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamsched.worker.arguments import WrongAnnotation, arguments_of
from streamsched.worker.errors import BadArguments
from streamsched.worker.handlers import is_async
from streamsched.worker.jobs import JobCompleted, JobFailed
from streamsched.worker.pool import ExecutorPool
from tests.unit.worker import annotated_handlers as h
from tests.unit.worker.pool_case import Case, make_job

FITS: list[tuple[str, Any, Any]] = [
    ("number", 5, 5),
    ("number", 2**80, 2**80),
    ("real", 5, 5.0),
    ("paths", ["a", "b/c"], [Path("a"), Path("b/c")]),
    ("when", "2026-01-31T06:00:00Z", datetime(2026, 1, 31, 6, tzinfo=UTC)),
    ("when", None, None),
    ("colour", "red", h.Colour.RED),
    ("box", {"width": 3, "at": "x"}, h.Box(3, Path("x"))),
    ("tree", {"name": "a", "below": [{"name": "b"}]}, h.Tree("a", [h.Tree("b")])),
    ("row", {"id": 7}, {"id": 7}),
    ("where", "a", "a"),
    ("model", {"day": "2026-01-31"}, h.Strict(day=date(2026, 1, 31))),
    ("models", [{"day": "2026-01-31", "many": 2}], [h.Strict(day=date(2026, 1, 31), many=2)]),
    ("checked", {"size": 1}, h.Checked(1)),
    ("names", ["a"], ["a"]),
    ("mode", "b", "b"),
    ("anything", {"a": [1]}, {"a": [1]}),
    ("free", "x", "x"),
    ("else_", True, True),
]
MISFITS: list[tuple[str, Any, tuple[str, ...]]] = [
    ("number", "5", ('argument number: expected int, and got "5": ', "Expected `int`, got `str`")),
    ("number", True, ("expected int, and got true",)),
    ("number", 5.5, ("expected int, and got 5.5",)),
    ("real", "x", ("expected float",)),
    ("paths", ["a", 5], ("expected list[Path]", "a path is a text, not of type int", "$[1]")),
    ("when", "yesterday", ('expected datetime | None, and got "yesterday"',)),
    ("colour", "blue", ('expected Colour, and got "blue"',)),
    ("box", {"width": "x"}, ("expected Box | None", "$.width")),
    ("box", {}, ("missing required field `width`",)),
    ("row", {}, ("`id`",)),
    ("where", 5, ("expected str | Path, and got 5", "Expected `str`, got `int`; a path is a text")),
    ("model", {"day": "2026-01-31", "many": 0}, ("expected Strict | None", "greater than or equal to 1")),
    ("models", [{"day": 5}], ("expected list[Strict]", "day")),
    ("checked", {"size": 0}, ("expected Checked | None", "greater than 0")),
    ("names", "abc", ('expected Iterable[str], and got "abc"',)),
    ("mode", "c", ("expected Literal['a', 'b'], and got \"c\"",)),
    ("small", 6, ("<= 5",)),
    ("else_", "yes", ('argument else_: expected bool, and got "yes"',)),
    ("number", ["x" * 1000], ("...: Expected `int`, got `array`",)),
]
WRONG: list[tuple[str, tuple[str, ...]]] = [
    ("unknown", ("parameter unknown is annotated Unknown", "NameError: name 'Unknown' is not defined")),
    ("many", ("parameter many is annotated list[Unknown]", "'Unknown' is not defined")),
    ("callback", ("parameter callback is annotated Callable[[], None] | None", "no JSON becomes a")),
]


def made(handler: Any, given: dict[str, Any]) -> dict[str, Any]:
    check = arguments_of(handler)
    assert check is not None
    return check(given)


@pytest.mark.parametrize(("name", "value", "wanted"), FITS, ids=str)
def test_an_argument_becomes_what_its_annotation_says(name: str, value: Any, wanted: Any) -> None:
    found = made(h.everything, {name: value})[name]
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(("name", "value", "says"), MISFITS, ids=str)
def test_a_misfit_names_the_argument_the_type_and_what_came(name: str, value: Any, says: tuple[str, ...]) -> None:
    with pytest.raises(BadArguments) as caught:
        made(h.everything, {name: value})
    assert type(caught.value) is BadArguments
    assert not caught.value.retryable
    for text in says:
        assert text in str(caught.value)


@pytest.mark.parametrize(("name", "says"), WRONG)
def test_a_wrong_annotation_is_told_where_its_argument_comes(name: str, says: tuple[str, ...]) -> None:
    with pytest.raises(WrongAnnotation) as caught:
        made(h.everything, {name: [1]})
    for text in says:
        assert text in str(caught.value)


def test_handlers_without_annotations_are_only_called() -> None:
    assert arguments_of(h.bare) is None
    assert arguments_of(lambda ctx, a: a) is None
    assert arguments_of(print) is None
    assert arguments_of(h.behind) is not None


def test_functions_behind_others() -> None:
    assert made(h.behind, {"path": "a/b"}) == {"path": Path("a/b")}
    assert made(h.some, {"paths": ["a"]}) == {"paths": [Path("a")]}
    assert made(h.job, {"path": "a/b"}) == {"path": Path("a/b")}
    assert is_async(h.job)
    assert is_async(h.waits)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.chdir(Path(__file__).parent)
    pool = ExecutorPool(1, allow=["annotated_handlers"])
    yield Case(pool)
    pool.close()


@pytest.mark.slow
def test_an_executor_checks_them_before_the_handler_runs(case: Case) -> None:
    for handler in ("waits", "behind", "job"):
        job = make_job(f"annotated_handlers:{handler}", args={"path": "a/b"})
        assert case.one(job, JobCompleted).result == '"b"'
        failed = case.one(make_job(f"annotated_handlers:{handler}", args={"path": 5}), JobFailed)
        assert (failed.error_type, failed.retryable, failed.traceback) == ("BadArguments", False, "")
        assert failed.message.startswith("argument path: expected Path, and got 5: ")
    job = msgspec.structs.replace(make_job("annotated_handlers:everything"), args='{"number": "\\ud800"}')
    assert "argument number: expected int, and got " in case.one(job, JobFailed).message
    failed = case.one(make_job("annotated_handlers:everything", args={"unknown": 1}), JobFailed)
    assert (failed.error_type, failed.retryable) == ("WrongAnnotation", False)
    assert case.one(make_job("annotated_handlers:bare", args={"a": 5}), JobCompleted).result == "[5,1]"
    failed = case.one(make_job("annotated_handlers:behind", args={"path": "a", "other": 1}), JobFailed)
    assert (failed.error_type, failed.retryable) == ("TypeError", True)
