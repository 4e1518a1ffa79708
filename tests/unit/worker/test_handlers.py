from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from streamsched.worker import errors, traces
from streamsched.worker.handlers import Handlers, is_async


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


def test_a_partial_is_of_the_module_of_its_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import os\nfrom functools import partial\ndef g(ctx, x): return x\n"
    (tmp_path / "partials.py").write_text(f"{source}f, bad = partial(g, x=5), partial(os.system)")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert Handlers(["partials"]).resolve("partials:f")(None) == 5
    with pytest.raises(errors.HandlerNotAllowed, match=r"posix|nt"):
        Handlers(["partials"]).resolve("partials:bad")


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


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        ("class F:\n    def __init__(self, ctx): ...", "F", "is a class"),
        ("def _f(ctx): ...", "_f", "private"),
        ("def __f(ctx): ...", "__f", "private"),
        ("f = object()", "f", "is a object, not a function"),
        ("f = [1]", "f", "is a list, not a function"),
        ("async def f(ctx): yield 1", "f", r"is an async generator, .*: write an async function that returns a list"),
        ("def f(ctx): yield 1", "f", "is a generator, whose body would not run: return a list"),
        ("import functools\nasync def g(ctx, x): yield x\nf = functools.partial(g, x=1)", "f", "is an async generator"),
    ],
)
def test_what_is_no_handler_whoever_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str, says: str
) -> None:
    module = f"none_{abs(hash(source))}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(errors.HandlerNotFound, match=says) as caught:
        Handlers([module]).resolve(f"{module}:{name}")
    assert caught.value.lack == "", "no other worker can run it either"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def f(", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import does_not_exist_at_all", "does_not_exist_at_all"),
        ("open('/nonexistent/file')", "FileNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd", "Odd"),
        ("", "has no 'f'"),
        (None, "ModuleNotFoundError"),
    ],
)
def test_what_another_worker_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, says: str
) -> None:
    module = f"lacking_{abs(hash(source))}"
    if source is not None:
        (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    handlers = Handlers([module])
    for _ in range(2):
        with pytest.raises(errors.HandlerNotFound, match=says) as caught:
            handlers.resolve(f"{module}:f")
        assert caught.value.lack == "import"


def test_an_import_that_failed_is_tried_again_but_not_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("streamsched.worker.handlers.time.monotonic", lambda: now[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    handlers = Handlers(["appears"])
    with pytest.raises(errors.HandlerNotFound):
        handlers.resolve("appears:f")
    (tmp_path / "appears.py").write_text("def f(ctx): return 1")
    now[0] += 0.9
    with pytest.raises(errors.HandlerNotFound):
        handlers.resolve("appears:f")
    now[0] += 0.2
    assert handlers.resolve("appears:f")(None) == 1


@pytest.mark.parametrize(
    ("allow", "name", "allowed"),
    [
        (["pack"], "pack:top", True),
        (["pack"], "pack:exported", True),
        (["pack"], "pack.sub:f", False),
        (["pack.sub"], "pack.sub:f", True),
        (["pack.*"], "pack.sub:f", True),
        (["pack.*"], "pack:top", False),
        (["pack.*"], "pack._hidden:f", False),
        (["pack._hidden"], "pack._hidden:f", True),
        (["pack.sub"], "pack.sub:system", False),
        (["pack.*"], "pack.sub:system", False),
    ],
)
def test_a_submodule_is_allowed_by_its_own_name_or_by_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allow: list[str], name: str, allowed: bool
) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "__init__.py").write_text("from pack.sub import f as exported\ndef top(ctx): ...")
    (pack / "sub.py").write_text("from os import system\ndef f(ctx): ...")
    (pack / "_hidden.py").write_text("def f(ctx): ...")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("pack", "pack.sub", "pack._hidden"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    if allowed:
        assert callable(Handlers(allow).resolve(name))
        return
    with pytest.raises(errors.HandlerNotAllowed) as caught:
        Handlers(allow).resolve(name)
    assert caught.value.lack == "module"


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
        telling = errors.describe(error)
    assert telling.error_type == "BrokenError"
    assert "cannot be shown" in telling.message


def test_which_handlers_are_async() -> None:
    async def coroutine(ctx: object, x: int) -> None: ...

    class Callable:
        async def __call__(self, ctx: object) -> None: ...

    assert is_async(coroutine)
    assert is_async(functools.partial(coroutine, x=1))
    assert is_async(Callable())
    assert not is_async(print)
    assert not is_async(lambda ctx: coroutine(ctx, 1))
    assert not is_async(functools.partial(print))
