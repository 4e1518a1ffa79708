from __future__ import annotations

from pathlib import Path

import pytest

from streamsched.worker import errors, traces
from streamsched.worker.handlers import Handlers

pytestmark = pytest.mark.unit


def test_a_handler_is_found_once() -> None:
    from streamsched.examples import bench

    handlers = Handlers(["streamsched.examples.*"])
    assert handlers.resolve("streamsched.examples.bench:noop") is bench.noop
    assert handlers.resolve("streamsched.examples.bench:noop") is bench.noop


@pytest.mark.parametrize(
    "name", ["", "os", "os:", ":f", "streamsched.examples.bench:a.b", "a..b:f", "streamsched.examples.bench:"]
)
def test_what_is_no_name_of_a_handler(name: str) -> None:
    with pytest.raises(errors.HandlerNotFound, match=r"package\.module:function"):
        Handlers(["os", "streamsched"]).resolve(name)


@pytest.mark.parametrize("name", ["os:system", "streamsched.examples_else:f", "streamsched:f"])
def test_only_allowed_modules_are_imported(name: str) -> None:
    with pytest.raises(errors.HandlerNotAllowed, match=r"allows streamsched\.examples\.\*; start it with --allow"):
        Handlers(["streamsched.examples.*"]).resolve(name)


def test_without_any_allowed_module() -> None:
    with pytest.raises(errors.HandlerNotAllowed, match="no modules at all"):
        Handlers([]).resolve("os:system")


def test_a_borrowed_function_counts_as_its_own_module() -> None:
    with pytest.raises(errors.HandlerNotAllowed, match=r"posix|nt"):
        Handlers(["os"]).resolve("os:system")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def f(", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("import does_not_exist_at_all", "does_not_exist_at_all"),
        ("f = 3", "not a function"),
        ("", "has no 'f'"),
    ],
)
def test_modules_that_do_not_give_the_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, says: str
) -> None:
    name = f"broken_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(errors.HandlerNotFound, match=says):
        Handlers([name]).resolve(f"{name}:f")


def test_errors_are_cut_at_both_ends() -> None:
    text = "a" * 3000 + "é" * 3000 + "b" * 3000
    short = traces.cut(text, 4096)
    assert len(short.encode()) <= 4096
    assert short.startswith("aaa")
    assert short.endswith("bbb")
    assert traces.cut("short", 4096) == "short"


def test_an_error_that_cannot_be_shown() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    try:
        raise BrokenError
    except BrokenError as error:
        telling = errors.tell(error)
    assert telling.error_type == "BrokenError"
    assert "cannot be shown" in telling.message
