"""What handlers do to their output and logging, in real executors: it works for them, and ends with their child."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streamsched.worker.jobs import JobCompleted, JobFailed
from streamsched.worker.pool import ExecutorPool
from tests.unit.worker.output_handlers import DIES, ERRORS, LEAVES
from tests.unit.worker.pool_case import Case, make_job, unstamped

pytestmark = pytest.mark.slow

HANDLERS = "output_handlers"
SAID = [f"a line of the next child{end}" for end in ("", ", err", ", dunder", ", bytes")]
LOGGED = [
    f"INFO {logger}: a line of the next child, {name}"
    for logger, name in (("output_handlers", "logged"), ("output_handlers.says", "ctx"), ("library", "library"))
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch, file: Path) -> Iterator[Case]:
    monkeypatch.chdir(Path(__file__).parent)
    with file.open("ab") as sink:
        pool = ExecutorPool(1, allow=[HANDLERS], output_fd=sink.fileno())
    yield Case(pool)
    pool.close(5.0)


def lines(case: Case, file: Path) -> list[str]:
    """Close the pool, and return all that was written, without times."""
    case.pool.close(5.0)
    return unstamped(file).splitlines()


@pytest.mark.parametrize("what", LEAVES)
def test_what_a_child_does_to_its_output_does_not_silence_the_next(case: Case, file: Path, what: str) -> None:
    case.one(make_job(f"{HANDLERS}:says", child=0, args={"text": "before"}), JobCompleted)
    case.one(make_job(f"{HANDLERS}:leaves", child=1, args={"what": what}), JobCompleted)
    case.one(make_job(f"{HANDLERS}:says", child=2), JobCompleted)
    found = [line for line in lines(case, file) if "[2]" in line]
    assert found == [f"task[2]#1 {line}" for line in SAID + LOGGED]


STREAM = [
    ("bytes", "TypeError: write() argument must be str, not bytes", []),
    ("none", "TypeError: write() argument must be str, not NoneType", []),
    ("lines of bytes", "TypeError: write() argument must be str, not bytes", []),
    ("text to bytes", "TypeError: memoryview: a bytes-like object is required, not 'str'", []),
    (
        "attributes",
        {
            "name": "<stdout>", "mode": "w", "encoding": "utf-8", "errors": "backslashreplace", "newlines": None,
            "line_buffering": True, "write_through": False, "closed": False,
        },
        [],
    ),
    ("calls", {"isatty": False, "readable": False, "writable": True, "seekable": False, "fileno": 1}, []),
    ("types", [True] * 15, []),
    ("unsupported", ["UnsupportedOperation"] * 4, []),
    ("reconfigure", "ascii", []),
    ("counts", [2, 4, 2], ["task[3]#1 é", "task[3]#1 abc", "task[3]#1 r"]),
    ("writelines", None, ["task[3]#1 a", "task[3]#1 bc"]),
    ("flushed", None, ["task[3]#1 first", "second"]),
    ("os.write", 14, ["by its number"]),
    ("logging", None, ["task[3]#1 by a handler"]),
    ("bar", None, ["task[3]#1 0 of 3", "task[3]#1 1 of 3", "task[3]#1 2 of 3"]),
    ("threads", None, ["task[3]#1 thread 0", "task[3]#1 thread 1", "task[3]#1 thread 2"]),
]  # fmt: skip


@pytest.mark.parametrize(("call", "result", "written"), STREAM, ids=[call for call, _, _ in STREAM])
def test_stdout_is_a_full_text_stream(case: Case, file: Path, call: str, result: object, written: list[str]) -> None:
    ended = case.one(make_job(f"{HANDLERS}:stdout", args={"call": call}), JobCompleted)
    assert (None if ended.result is None else msgspec.json.decode(ended.result)) == result
    assert sorted(lines(case, file)) == sorted(written)


def test_faulthandler_writes_to_stderr(case: Case, file: Path) -> None:
    case.one(make_job(f"{HANDLERS}:stdout", args={"call": "faulthandler"}), JobCompleted)
    assert any("most recent call first" in line for line in lines(case, file))


def test_a_forked_process_prints_once_and_completely(case: Case, file: Path) -> None:
    ended = case.one(make_job(f"{HANDLERS}:stdout", args={"call": "multiprocessing"}), JobCompleted)
    assert ended.result == "0"
    prefix = "task[3]#1 "
    assert sorted(lines(case, file)) == [
        f"{prefix}begun ... and ended", f"{prefix}in the fork: x", f"{prefix}without an end",
    ]  # fmt: skip


@pytest.mark.parametrize("how", DIES)
@pytest.mark.parametrize("text", ["last words\n", "many\n" * 10_000])
def test_what_was_printed_before_a_death_is_there(case: Case, file: Path, how: str, text: str) -> None:
    limit = 500 if how == "hang" else 0
    job = make_job(f"{HANDLERS}:dies", args={"how": how, "text": text}, timeout_ms=limit)
    case.one(job, JobFailed)
    found = [line for line in lines(case, file) if line.startswith("task[3]#1 ")]
    word = text[: text.index("\n")]
    assert found.count(f"task[3]#1 {word}") == 2 * text.count("\n")
    assert "task[3]#1 before" in found
    assert found[-2:] == ["task[3]#1 WARNING output_handlers: logged last", "task[3]#1 half"]


def test_lines_of_a_thread_that_is_left_behind_are_not_the_next_child_s(case: Case, file: Path) -> None:
    case.pool.submit([make_job(f"{HANDLERS}:left_thread", child=0), waiting := make_job(f"{HANDLERS}:waits", child=1)])
    case.until(lambda: case.ending(waiting) is not None)
    found = lines(case, file)
    assert not any("[1]" in line and "of child 0" in line for line in found)
    assert all(line.startswith("task[0]") for line in found if "of child 0" in line)


NAMES = {
    "init": ("OwnError", "5"), "str": ("Unspeakable", "SystemExit in its __str__"), "class": ("Sneaky", "real"),
    "stop": ("StopChild", "StopChild"), "exit": ("SystemExit", "3"), "generator": ("GeneratorExit", "GeneratorExit"),
    "surrogate": ("ValueError", "\\ud800\0"), "huge": ("ValueError", "xxx"),
    "recursion": ("RecursionError", "maximum recursion depth"), "limit": ("RecursionError", "maximum recursion depth"),
}  # fmt: skip


@pytest.mark.parametrize("how", ERRORS)
def test_one_child_fails_with_its_own_error_and_the_executor_lives(case: Case, file: Path, how: str) -> None:
    case.one(make_job(f"{HANDLERS}:says"), JobCompleted)
    before = case.pool.pids()
    failed = case.one(make_job(f"{HANDLERS}:fails", args={"how": how}), JobFailed)
    name, message = NAMES.get(how, ("ChildError", "x"))
    assert failed.error_type == name
    assert message in failed.message
    assert "output_handlers.py" in failed.traceback
    assert case.pool.pids() == before
