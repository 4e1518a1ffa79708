"""Children do not touch each other: what one changes is set back, or its executor is replaced. Forks are plain ones."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamsched.worker.jobs import Job, JobCompleted, JobFailed
from streamsched.worker.pool import ExecutorPool
from tests.support.needs import LINUX
from tests.unit.worker.pool_case import Case
from tests.unit.worker.pool_case import make_job as make_any_job

pytestmark = [pytest.mark.slow, LINUX]
HERE = Path(__file__).parent


def make_job(handler: str, **args: object) -> Job:
    return make_any_job(f"isolation_handlers:{handler}", args=args)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Case, Path]]:
    out = tmp_path_factory.mktemp("isolation") / "out"
    with pytest.MonkeyPatch.context() as patch, out.open("ab") as sink:
        patch.chdir(HERE)
        # A shell has what runs in the background ignore some, which executors would inherit.
        before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGQUIT)}
        pool = ExecutorPool(1, allow=["isolation_handlers"], output_fd=sink.fileno())
        yield Case(pool), out
        pool.close()
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def case(shared: tuple[Case, Path]) -> Case:
    shared[0].news.clear()
    return shared[0]


@pytest.fixture
def out(shared: tuple[Case, Path]) -> Path:
    return shared[1]


def result(case: Case, handler: str, **args: object) -> Any:
    done = case.one(make_job(handler, **args), JobCompleted)
    return json.loads(done.result) if done.result is not None else None


RESTORED = [
    "cwd", "environ", "other environ", "umask", "signals", "alarm", "timer", "streams", "sys", "timeout", "warnings",
    "locale", "logging", "logger", "decimal", "files", "unraisable", "breakpoint", "hooks of threads", "digits",
    "records", "logger class", "captured warnings", "levels", "collector",
]  # fmt: skip
REPLACED = [
    "lost cwd", "closed streams", "priority", "limits", "thread", "lasting thread", "thread pool", "descriptors",
    "most descriptors", "cpus",
]  # fmt: skip


@pytest.mark.parametrize("what", RESTORED)
def test_what_a_child_changes_is_set_back(case: Case, what: str) -> None:
    before = result(case, "look")
    assert result(case, "change", what=what) == "done"
    after = result(case, "look")
    assert after == before  # the process id too: nothing of this is a reason to replace it


@pytest.mark.parametrize("what", REPLACED)
def test_what_cannot_be_set_back_is_a_reason_for_another_executor(case: Case, what: str) -> None:
    before = result(case, "look")
    case.one(make_job("change", what=what), JobCompleted)
    after: dict[str, object] = {}
    while not after:
        ending = case.run(make_job("look"))[0]  # it comes back if it was sent to the one that leaves
        after = json.loads(ending.result) if isinstance(ending, JobCompleted) and ending.result else {}
    same = ("pid", "stdout", "files", "hooks", "other hooks", "records", "handlers", "environ")
    if what not in ("lost cwd", "closed streams"):  # those can be set back
        assert after["pid"] != before["pid"]
    assert {k: v for k, v in after.items() if k not in same} == {k: v for k, v in before.items() if k not in same}


def test_an_alarm_of_one_child_does_not_strike_the_next(case: Case) -> None:
    result(case, "change", what="alarm")
    case.one(make_any_job("streamsched.examples.bench:noop"), JobFailed)  # not allowed here, and no matter
    time.sleep(1.2)
    assert result(case, "draws") is not None


def test_a_timer_of_faulthandler_does_not_end_the_next(case: Case) -> None:
    before = result(case, "look")["pid"]
    result(case, "change", what="fault timer")
    time.sleep(0.7)
    assert result(case, "look")["pid"] == before


@pytest.mark.parametrize(
    "act",
    ["signal.signal(signal.SIGUSR1, print)", "_signal.signal(10, print)", "loop.add_signal_handler(10, print)"],
)
def test_a_short_child_leaves_no_signal_handler(act: str) -> None:
    """In a process without ``subprocess``: there a short child is compared by what is cheap."""
    code = (
        "import asyncio.unix_events, signal, sys, _signal; loop = asyncio.new_event_loop();"
        "[sys.modules.pop(name) for name in ('subprocess', '_posixsubprocess')];"
        "from streamsched.worker.isolation import Surroundings; surroundings = Surroundings();"
        f"{act}; assert signal.getsignal(10); assert surroundings.tidy(0) == '';"
        "assert signal.getsignal(10) is signal.SIG_DFL, signal.getsignal(10); assert surroundings.tidy(0) == ''"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("number", [1, 2, 3, 15])
def test_a_signal_for_the_own_group_reaches_no_worker(case: Case, number: int) -> None:
    if number in (1, 3):  # those end the executor, and nothing else
        assert case.one(make_job("ends_its_group", number=number), JobFailed).error_type == "ExecutorDied"
    else:
        assert result(case, "ends_its_group", number=number) == [True, True, True]
    assert result(case, "look")


@pytest.mark.parametrize("how", ["seed", "state"])
def test_random_numbers_are_no_other_childs(case: Case, how: str) -> None:
    drawn = set()
    for _ in range(3):
        result(case, "seeds", how=how)
        drawn.add(result(case, "draws"))
    assert len(drawn) == 3


def test_random_numbers_of_numpy_are_no_other_childs(case: Case) -> None:
    drawn = set()
    for _ in range(3):
        result(case, "seeds", how="numpy")
        drawn.add(result(case, "draws", numpy_too=True))
    assert len(drawn) == 3


def test_what_an_import_sets_stays(case: Case) -> None:
    result(case, "change", what="environ")
    assert result(case, "sets_at_import") == "stays"


def test_threads_that_are_about_to_end_keep_the_executor(case: Case) -> None:
    pid = result(case, "look")["pid"]
    for _ in range(5):
        assert result(case, "lets_a_pool_go") == 6
    assert result(case, "look")["pid"] == pid


def test_an_executor_is_replaced_after_so_many_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    pool = ExecutorPool(1, allow=["isolation_handlers"], reuse=3)
    case = Case(pool)
    try:
        jobs, pids = [make_job("look") for _ in range(9)], []
        while jobs:
            (ending,) = case.run(jobs[-1])
            jobs.pop()
            if isinstance(ending, JobCompleted) and ending.result:
                pids.append(json.loads(ending.result)["pid"])
            else:
                jobs.append(make_job("look"))
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
    finally:
        pool.close()


# --- forks ---


@pytest.mark.parametrize(
    ("how", "code"),
    [("returns", 0), ("raises", 1), ("exits", 7), ("says why", 1), ("grandchild", 9), ("term", -15), ("int", -2)],
)
def test_a_copy_ends_as_processes_do(case: Case, out: Path, how: str, code: int) -> None:
    out.write_text("")
    job = make_job("forks", how=how)
    case.pool.submit([job])
    seen = []
    while case.ending(job) is None:
        case.news += case.pool.poll(0.005)
        seen += [running.done for running in case.pool.running()]
    ending = case.ending(job)
    assert isinstance(ending, JobCompleted)
    assert ending.result == str(code)
    states = [checkpoint.state for checkpoint in case.checkpoints(job)]
    assert all("the parent" in state for state in [*states, ending.state or "the parent"])
    assert 7.0 not in seen
    pid = result(case, "look")["pid"]
    assert psutil.Process(pid).children() == []
    said = out.read_text()
    assert said.count("parent") == 1
    assert how in ("term", "int") or "in the copy\n" in said
    if how == "raises":
        assert "ValueError: in the copy" in said
        assert "executor.py" not in said
    if how in ("returns", "raises", "exits"):
        assert "without an end" in said


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    ("how", "expected"),
    [("process", 5), ("pool", [0, 1, 4, 9, 16]), ("executor", [0, 1, 4, 9, 16]), ("terminate", -15)],
)
def test_multiprocessing_works(case: Case, out: Path, method: str, how: str, expected: object) -> None:
    for _ in range(3 if method == "fork" else 1):
        assert result(case, "many", method=method, how=how) == expected
        pid = result(case, "look")["pid"]
        assert psutil.Process(pid).children(recursive=True) == []
    if how == "process":
        assert "from a process" in out.read_text()


def test_shared_memory_that_is_left_is_cleared_away(case: Case) -> None:
    name = result(case, "many", method="fork", how="memory")
    result(case, "draws")
    assert not Path("/dev", "shm", name).exists()


def test_subprocesses_work_and_cost_no_executor(case: Case) -> None:
    pid = result(case, "look")["pid"]
    assert result(case, "runs").strip().isdecimal()
    assert result(case, "runs_async") == "hello\n"
    assert result(case, "look")["pid"] == pid
