"""Which frames are the user's, as executors tell them (design-life.md, section 8)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import msgspec
import pytest

from streamsched.worker import jobs
from streamsched.worker.command import failure
from streamsched.worker.errors import BadArguments, ChildError, ErrorReport, describe
from streamsched.worker.frames import INNERMOST, NAME_LIMIT

HERE = Path(__file__).name


def told(handler: Callable[[], object]) -> ErrorReport:
    try:
        handler()
    except BaseException as error:
        return describe(error)
    raise AssertionError("it raised nothing")


def inner(depth: int) -> object:
    return inner(depth - 1) if depth else json.loads("{")


def test_frames_are_the_innermost_of_the_users_code_without_those_of_libraries() -> None:
    report = told(lambda: inner(5))
    assert len(report.frames) == INNERMOST
    line = inner.__code__.co_firstlineno + 1
    assert report.frames == (f"{HERE}:{line} in inner",) * INNERMOST
    assert report.error_types[0] == "json.decoder.JSONDecodeError"


def compiled(source: str, file: str) -> Callable[[], object]:
    found: dict[str, Callable[[], object]] = {}
    exec(compile(source, file, "exec"), found)  # noqa: S102
    return found["f"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/srv/a/jobs.py", "jobs.py"),
        ("/v/lib/python3.11/site-packages/theirs/jobs.py", "jobs.py"),  # where the handler was installed itself
        ("C:\\v\\Lib\\site-packages\\theirs\\jobs.py", "jobs.py"),
        ("<string>", "<string>"),
    ],
)
def test_a_handler_is_the_users_code_wherever_it_lies(file: str, name: str) -> None:
    f = compiled("def f():\n return g()\n", file)
    f.__globals__["g"] = lambda: inner(0)
    report = told(f)
    ours = f"{HERE}:{inner.__code__.co_firstlineno + 1} in inner"
    assert (report.frames[0], report.frames[-1]) == (f"{name}:2 in f", ours)


def test_what_was_installed_beside_the_handler_is_not_the_users_code() -> None:
    library = compiled("def f():\n raise KeyError(1)\n", "/v/lib/python3.11/site-packages/other/things.py")
    assert [frame.partition(":")[0] for frame in told(lambda: library()).frames] == [HERE]


def test_the_folder_in_which_the_code_lies_does_not_change_a_fingerprint() -> None:
    reports = [told(compiled("def f():\n raise KeyError(1)\n", f"{place}/jobs.py")) for place in ("/a", "/srv/b/c")]
    assert reports[0].fingerprint == reports[1].fingerprint
    other = told(compiled("def f():\n\n raise KeyError(1)\n", "/a/jobs.py"))
    assert other.fingerprint != reports[0].fingerprint


def test_names_of_any_size_are_bounded_and_a_deep_recursion_is_told() -> None:
    def odd() -> None:
        raise ValueError

    code: CodeType = odd.__code__.replace(co_filename="/x/" + "\ud800" * 10**6, co_qualname="q" * 10**6)
    odd.__code__ = code
    report = told(odd)
    assert all(len(frame) <= 2 * NAME_LIMIT + 30 for frame in report.frames)

    def deep() -> None:
        deep()

    assert len(told(deep).frames) == INNERMOST
    assert sys.getrecursionlimit() >= 500


def test_what_a_program_ended_with_is_told() -> None:
    report = describe(failure("x", 75, {}, b"no space left on /dev/sda7", starved=False))
    assert (report.exit_code, report.frames, len(report.fingerprint)) == (75, (), 12)
    assert (
        report.fingerprint == describe(failure("x", 75, {}, b"no space left on /dev/sdb1", starved=False)).fingerprint
    )
    assert describe(failure("x", -9, {}, None, starved=False)).exit_code == -9
    assert describe(ChildError("x")).exit_code is None
    assert describe(BadArguments("x")).frames == ()


@pytest.mark.parametrize(
    "wrong", [{"exit_code": 1 << 40}, {"fingerprint": "x/y"}, {"fingerprint": "a" * 65}, {"frames": ("a",) * 17}]
)
def test_what_an_executor_sends_is_held_to_bounds(wrong: dict[str, object]) -> None:
    body = jobs.JobFailed(
        key=1, started_at=0, finished_at=0, reason="error", error_type="E", message="", traceback="", retryable=True,
        delay_ms=None, state=None, **wrong,  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(body), type=jobs.JobFailed)
