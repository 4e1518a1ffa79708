"""Whatever a handler raises becomes one failure with the error's own name, message and traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import msgspec
import pytest

from streamsched.worker import traces
from streamsched.worker.errors import (
    LONGEST_DELAY_S,
    ChildError,
    ErrorReport,
    NonRetryable,
    RetryAfter,
    StopChild,
    describe,
)
from streamsched.worker.jobs import JobFailed

pytestmark = pytest.mark.slow


def told(handler: Callable[[], object]) -> ErrorReport:
    """Call a handler as an executor does, and put what it raises into words that can be sent."""
    try:
        handler()
    except BaseException as error:
        report = describe(error)
    else:
        raise AssertionError("it raised nothing")
    failed = JobFailed(
        key=1, started_at=0, finished_at=0, reason="error", error_type=report.error_type, message=report.message,
        traceback=report.traceback, retryable=report.retryable, delay_ms=report.delay_ms, state=None,
    )  # fmt: skip
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(failed), type=JobFailed) == failed
    assert len(report.error_type.encode()) <= traces.NAME_LIMIT_BYTES
    assert len(report.message.encode()) <= traces.MESSAGE_LIMIT_BYTES
    assert len(report.traceback.encode()) <= traces.TRACEBACK_LIMIT_BYTES + 500
    return report


def raising(error: BaseException) -> Callable[[], object]:
    def handler() -> None:
        raise error

    return handler


class Raises:
    """A descriptor: whoever reads the attribute gets this error."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __get__(self, instance: object, owner: object) -> object:
        raise self._error


ODD: list[Any] = ["no", "", b"x", 0, 1, None, [], {}, object(), float("nan"), Raises]


@pytest.mark.parametrize("value", ODD)
def test_a_retryable_that_is_no_bool_is_ignored(value: Any) -> None:
    report = told(raising(ChildError("x", retryable=value)))
    assert (report.error_type, report.message, report.retryable) == ("ChildError", "x", True)
    assert "retryable is" in report.traceback
    error = NonRetryable("x")
    error.retryable = value
    assert told(raising(error)).retryable is False


@pytest.mark.parametrize("value", ["x", "5", b"5", float("nan"), True, [], {}, object(), ChildError])
def test_a_retry_after_that_is_no_number_is_ignored(value: Any) -> None:
    report = told(raising(ChildError("x", retry_after=value)))
    assert (report.error_type, report.message, report.delay_ms) == ("ChildError", "x", None)
    assert "retry_after is" in report.traceback


@pytest.mark.parametrize(
    ("value", "delay_ms"),
    [
        (2.5, 2500), (3, 3000), (0, 0), (-1, 0), (-(10**400), 0), (float("-inf"), 0), (1e-9, 0),
        (10**400, LONGEST_DELAY_S * 1000), (float("inf"), LONGEST_DELAY_S * 1000), (1e300, LONGEST_DELAY_S * 1000),
    ],
)  # fmt: skip
def test_a_retry_after_of_any_size_is_a_delay(value: Any, delay_ms: float) -> None:
    report = told(raising(ChildError("x", retry_after=value)))
    assert report.delay_ms == delay_ms
    assert report.delay_ms is not None
    assert isinstance(report.delay_ms, int)
    assert "ignored" not in report.traceback


def test_numbers_of_other_types_count_where_they_can_be_seconds() -> None:
    class Seconds(float):
        def __float__(self) -> float:
            raise SystemExit

        __lt__ = __gt__ = __round__ = __mul__ = __float__  # type: ignore[assignment]

    class Whole(int):
        __lt__ = __gt__ = __mul__ = Seconds.__float__  # type: ignore[assignment]

    assert told(raising(ChildError("x", retry_after=Whole(2)))).delay_ms == 2000
    assert told(raising(ChildError("x", retry_after=Fraction(3, 2)))).delay_ms == 1500  # type: ignore[arg-type]
    assert told(raising(ChildError("x", retry_after=Decimal("NaN")))).delay_ms is None  # type: ignore[arg-type]
    assert told(raising(ChildError("x", retry_after=Seconds(1.5)))).delay_ms is None


@pytest.mark.parametrize("broken", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_attributes_that_raise_are_ignored(broken: BaseException) -> None:
    class Odd(ChildError):
        retryable = Raises(broken)  # type: ignore[assignment]
        retry_after = Raises(broken)  # type: ignore[assignment]

        def __init__(self) -> None:
            Exception.__init__(self, "real")

    report = told(raising(Odd()))
    assert (report.error_type, report.message, report.retryable, report.delay_ms) == ("Odd", "real", True, None)


@pytest.mark.parametrize(("base", "retryable"), [(ChildError, True), (NonRetryable, False), (RetryAfter, True)])
def test_a_subclass_need_not_call_our_init(base: Any, retryable: bool) -> None:
    class OwnError(base):  # type: ignore[misc]
        def __init__(self, code: int) -> None:
            self.code = code

    report = told(raising(OwnError(5)))
    assert (report.error_type, report.message, report.retryable, report.delay_ms) == (
        "OwnError",
        "5",
        retryable,
        None,
    )
    assert "in handler" in report.traceback
    assert "raise error" in report.traceback


def test_a_subclass_may_wish_in_its_class() -> None:
    class Busy(ChildError):
        retry_after = 2.0

        def __init__(self) -> None: ...

    assert told(raising(Busy())).delay_ms == 2000


def make(text: Callable[[], object], name: str = "__str__") -> BaseException:
    return type("Odd", (ValueError,), {name: lambda self: text()})("real")  # type: ignore[no-any-return]


def explode(error: BaseException) -> Callable[[], object]:
    def text() -> object:
        raise error

    return text


def endless() -> object:
    return endless()


class Text(str):
    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        raise RuntimeError

    __len__ = __getitem__ = __str__ = __bool__ = encode  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (make(explode(RuntimeError("inner"))), "RuntimeError in its __str__"),
        (make(explode(SystemExit(1))), "SystemExit in its __str__"),
        (make(explode(KeyboardInterrupt())), "KeyboardInterrupt in its __str__"),
        (make(explode(StopChild())), "StopChild in its __str__"),
        (make(lambda: 5), "TypeError in its __str__"),
        (make(lambda: None), "TypeError in its __str__"),
        (make(endless), "RecursionError in its __str__"),
        (make(explode(RuntimeError("inner")), "__repr__"), "real"),
        (make(explode(RuntimeError("inner")), "__reduce__"), "real"),
        (make(lambda: Text("of a subclass")), "of a subclass"),
        (make(lambda: ""), "Odd"),
        (make(lambda: "lone \ud800 end"), "lone \\ud800 end"),
        (make(lambda: "nul \0 end"), "nul \0 end"),
    ],
)
def test_a_message_is_shown_or_said_to_be_broken(error: BaseException, message: str) -> None:
    report = told(raising(error))
    assert report.error_type == "Odd"
    assert message in report.message
    assert "in handler" in report.traceback


def test_a_huge_message_keeps_both_ends() -> None:
    report = told(raising(ValueError("begin" + "é" * 50_000_000 + "end")))
    assert report.message.startswith("begin")
    assert report.message.endswith("end")


class Liar(type):
    """A metaclass that answers nothing as Python does."""

    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(f"{name} of the class")

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError


def test_a_class_that_lies_is_told_by_its_own_name() -> None:
    class Odd(ChildError, metaclass=Liar):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(f"{name} of the error")

    report = told(raising(Odd("real")))
    assert (report.error_type, report.retryable, report.delay_ms) == ("Odd", True, None)
    assert "in handler" in report.traceback
    assert "Odd: real" in report.traceback


KEPT = ["__class__", "__traceback__", "__cause__", "__context__", "__notes__", "args", "__dict__"]
NAMES: list[Any] = [5, None, "", "\ud800", "x" * 10**6, Text("m"), object()]


@pytest.mark.parametrize("name", KEPT)
def test_properties_in_the_place_of_what_python_keeps(name: str) -> None:
    for value in (Raises(RuntimeError("no")), property(lambda self: 5), property(lambda self: ["x"] * 10**6)):
        error = type("Odd", (ChildError,), {name: value})("real")
        report = told(raising(error))
        assert (report.error_type, report.message) == ("Odd", "real")
        assert "raise error" in report.traceback


@pytest.mark.parametrize("module", NAMES, ids=lambda value: str(type(value)))
def test_a_module_name_of_any_kind(module: Any) -> None:
    report = told(raising(type("Odd", (ValueError,), {"__module__": module})("real")))
    assert (report.error_type, report.message) == ("Odd", "real")
    assert "raise error" in report.traceback


def test_a_huge_name_is_cut() -> None:
    report = told(raising(type("N" * 10**6, (ValueError,), {})("real")))
    assert report.error_type.startswith("NNN")
    assert report.message == "real"


def test_chains_that_are_circular_or_long_end() -> None:
    a, b = ValueError("first"), KeyError("second")
    a.__cause__, b.__cause__ = b, a
    report = told(raising(a))
    assert report.traceback.count("ValueError: first") == 1
    assert "KeyError: 'second'" in report.traceback
    at = last = ValueError("the last")
    for number in range(100_000):
        at.__context__ = ValueError(f"number {number}")
        at = at.__context__
    report = told(raising(last))
    assert "earlier errors are not shown" in report.traceback
    assert report.traceback.endswith("ValueError: the last\n")


def test_the_chain_is_written_as_python_does() -> None:
    def handler() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    text = told(handler).traceback
    assert text.index("KeyError: 'inner'") < text.index("direct cause") < text.index("ValueError: outer")

    def silent() -> None:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None

    assert "inner" not in told(silent).traceback.replace('KeyError("inner")', "")


def test_groups_are_bounded() -> None:
    def nested(depth: int) -> Exception:
        return ExceptionGroup("group", [nested(depth - 1), ValueError(f"at {depth}")]) if depth else KeyError("bottom")

    wide = told(raising(ExceptionGroup("wide", [ValueError(str(n)) for n in range(100_000)])))
    assert wide.message == "wide (100000 sub-exceptions)"
    assert "1 of 100,000" in wide.traceback
    assert "ValueError: 0" in wide.traceback
    deep = told(raising(nested(100)))
    assert "in handler" in deep.traceback
    assert "group (2 sub-exceptions)" in deep.traceback


def test_a_traceback_of_hundreds_of_thousands_of_frames_keeps_both_ends() -> None:
    def down(n: int) -> None:
        if not n:
            raise ValueError("the bottom")
        try:
            down(n - 1)
        finally:
            pass

    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(300_000)
        report = told(lambda: down(200_000))
    finally:
        sys.setrecursionlimit(limit)
    assert "frames ..." in report.traceback
    assert "in <lambda>" in report.traceback
    assert report.traceback.endswith("ValueError: the bottom\n")


def test_a_recursion_error_is_told() -> None:
    report = told(endless)
    assert report.error_type == "RecursionError"
    assert "return endless()" in report.traceback


def test_a_low_recursion_limit_hides_nothing() -> None:
    limit = sys.getrecursionlimit()
    depth = 0
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back

    def handler() -> None:
        sys.setrecursionlimit(depth + 20)
        endless()

    try:
        report = told(handler)
    finally:
        sys.setrecursionlimit(limit)
    assert report.error_type == "RecursionError"
    assert "endless" in report.traceback


@pytest.mark.parametrize(
    "fields",
    [
        ("m.py", 1, 3, "a = = 1\n", 1, 4), ("m.py", "x", object(), 5, None, []), (5, 10**30, -1, b"x", 1.5, "y"),
        (None, None, None, None, None, None), ("m.py", 1, 10**9, "x" * 10**6, 1, 10**9),
    ],
)  # fmt: skip
def test_a_syntax_error_with_odd_fields(fields: Any) -> None:
    error = SyntaxError("bad")
    error.filename, error.lineno, error.offset, error.text, error.end_lineno, error.end_offset = fields
    report = told(raising(error))
    assert report.error_type == "SyntaxError"
    assert "bad" in report.message
    assert "SyntaxError: bad" in report.traceback
    assert "raise error" in report.traceback


def test_a_syntax_error_shows_its_place() -> None:
    report = told(lambda: compile("a = = 1", "their.py", "exec"))
    assert 'File "their.py", line 1\n    a = = 1\n        ^\n' in report.traceback


@pytest.mark.parametrize("notes", ["text", 5, None, [1, "good", b"x", Text("sub")], ["x" * 10**7] * 100, [Raises]])
def test_notes_of_any_kind(notes: Any) -> None:
    error = ValueError("real")
    error.__notes__ = notes
    report = told(raising(error))
    assert report.message == "real"
    assert "ValueError: real" in report.traceback
    if isinstance(notes, list) and "good" in notes:
        assert "\ngood\n" in report.traceback


@pytest.mark.parametrize("name", ["/dev/zero", "/", "a\0b", "\ud800", "", "x" * 10**5, "<string>"])
def test_sources_that_are_no_files(name: str) -> None:
    code = compile("def f():\n    raise ValueError('real')\nf()", "their.py", "exec").replace(co_filename=name)
    space: dict[str, Any] = {}
    with pytest.raises(ValueError, match="real"):
        exec(code, space)  # noqa: S102
    inner = space["f"].__code__.replace(co_filename=name)
    report = told(lambda: exec(inner))  # noqa: S102
    assert (report.error_type, report.message) == ("ValueError", "real")
    assert "ValueError: real" in report.traceback
    assert "in <lambda>" in report.traceback


def test_a_source_that_is_huge_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(traces.SOURCE_LIMIT_BYTES + 1)
    for place in (tmp_path / "pipe", tmp_path / "huge"):
        code = compile("raise ValueError('real')", str(place), "exec")
        assert f'File "{place}", line 1' in told(lambda code=code: exec(code)).traceback  # type: ignore[misc]  # noqa: S102


def test_a_loader_that_raises_costs_the_source_lines_only() -> None:
    class Loader:
        def get_source(self, name: str) -> str:
            raise SystemExit

    code = compile("raise ValueError('real')", "/nowhere/loaded.py", "exec")
    space = {"__loader__": Loader(), "__name__": "loaded"}
    report = told(lambda: exec(code, space))  # noqa: S102
    assert 'File "/nowhere/loaded.py", line 1' in report.traceback
    assert "ValueError: real" in report.traceback


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (SystemExit(3), "SystemExit", "3"),
        (SystemExit("bye"), "SystemExit", "bye"),
        (SystemExit(), "SystemExit", "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit", "GeneratorExit"),
        (StopChild(), "StopChild", "StopChild"),
        (StopIteration(5), "StopIteration", "5"),
        (MemoryError(), "MemoryError", "MemoryError"),
        (type("Own", (BaseException,), {})("x"), "Own", "x"),
    ],
)  # fmt: skip
def test_errors_that_are_no_exceptions_are_told(error: BaseException, name: str, message: str) -> None:
    report = told(raising(error))
    assert (report.error_type, report.message, report.retryable) == (name, message, True)


def test_an_error_without_a_traceback_is_told() -> None:
    report = describe(ValueError("never raised"))
    assert report.traceback == "ValueError: never raised\n"


def test_the_first_frame_is_left_out() -> None:
    text = told(raising(ValueError("x"))).traceback
    assert text.startswith('Traceback (most recent call last):\n  File "')
    assert "in told" not in text
    assert "in handler\n    raise error\n" in text


def test_frames_are_walked_and_not_believed() -> None:
    assert traces.frames_of(ValueError()) is None
    with pytest.raises(ValueError) as caught:
        raise ValueError
    assert isinstance(traces.frames_of(caught.value), TracebackType)
