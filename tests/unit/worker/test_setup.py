"""What a template says of its executors: a setup before the first child, children until one is replaced, memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from streamsched.domain.options import Options, write_options
from streamsched.worker import oom
from streamsched.worker.devices import Devices
from streamsched.worker.jobs import Job, JobCompleted, JobFailed, JobReturned
from streamsched.worker.pool import ExecutorPool
from tests.unit.worker.pool_case import Case, make_job

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
Pools = Callable[..., Case]


def a_job(handler: str, options: Options, **fields: object) -> Job:
    return make_job(f"setup_handlers:{handler}", options=write_options(options), **fields)


def warmed(setup: str, handler: str = "work", **fields: object) -> Job:
    return a_job(handler, Options(setup=f"setup_handlers:{setup}"), **fields)


def result(case: Case, job: Job) -> list[object]:
    ending = case.one(job, JobCompleted)
    assert ending.result is not None
    found: list[object] = msgspec.json.decode(ending.result)
    return found


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pools]:
    monkeypatch.chdir(HERE)
    opened: list[ExecutorPool] = []

    def make(slots: int = 1, **settings: object) -> Case:
        opened.append(ExecutorPool(slots, allow=["setup_handlers"], **settings))  # type: ignore[arg-type]
        return Case(opened[-1])

    yield make
    for pool in opened:
        pool.close()


def test_a_setup_runs_once_before_the_first_child_and_what_it_sets_stays(pools: Pools) -> None:
    case = pools()
    cold = result(case, make_job("setup_handlers:work"))
    first, second = result(case, warmed("warm")), result(case, warmed("warm"))
    assert first == second == [cold[0], 1, "yes"]
    assert result(case, make_job("setup_handlers:work")) == first  # a plain child does no harm


def test_the_time_of_a_child_begins_after_its_setup(pools: Pools) -> None:
    done = pools().one(warmed("slow", "set_up_at"), JobCompleted)
    assert done.started_at >= int(done.result or 0) - 5


def test_another_setup_retires_the_executor(pools: Pools) -> None:
    case = pools()
    first = result(case, warmed("warm"))
    job = warmed("slow")
    case.pool.submit([job])
    while isinstance(case.endings(job)[0], JobReturned):
        case.news.clear()
        case.until(case.pool.room)
        case.pool.submit([job])
    ending = case.ending(job)
    assert isinstance(ending, JobCompleted)
    assert ending.result is not None
    pid, times, _ = msgspec.json.decode(ending.result)
    assert (pid != first[0], times) == (True, 1)


def test_an_async_setup_runs_in_the_loop_of_the_children(pools: Pools) -> None:
    assert pools().one(warmed("warm_async", "in_loop"), JobCompleted).result == "true"


def test_its_error_fails_the_child_and_retires_the_executor(pools: Pools, tmp_path: Path) -> None:
    case = pools()
    failed = case.one(warmed("breaks"), JobFailed)
    assert (failed.error_type, failed.message, failed.retryable, failed.lack) == ("OSError", "no model there", True, "")
    assert "in breaks" in failed.traceback
    assert "preparation.py" not in failed.traceback
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BREAKS_ONCE", str(tmp_path / "once"))
        case = pools()
        assert case.one(warmed("breaks_once"), JobFailed).message == "not yet"
        case.until(case.pool.room)
        assert isinstance(case.one(warmed("breaks_once"), JobCompleted), JobCompleted)


def test_limits_begin_behind_the_setup_which_may_take_as_long_as_an_attempt(pools: Pools) -> None:
    case = pools()
    assert result(case, warmed("slow", timeout_ms=900, heartbeat_ms=300))[1] == 1
    case.one(warmed("endless", timeout_ms=900, heartbeat_ms=300), JobReturned)
    case.until(case.pool.room)
    failed = case.one(warmed("endless", timeout_ms=900, heartbeat_ms=300), JobFailed)
    assert (failed.reason, failed.error_type) == ("timeout", "Timeout")


@pytest.mark.parametrize(("setup", "lack"), [("os:getcwd", "module"), ("setup_handlers:missing", "import")])
def test_a_setup_that_is_not_there_is_a_lack_of_this_worker(pools: Pools, setup: str, lack: str) -> None:
    failed = pools().one(a_job("work", Options(setup=setup)), JobFailed)
    assert failed.lack == lack


@pytest.mark.parametrize(("child", "worker"), [(2, 0), (2, 5), (5, 2)])
def test_the_smaller_reuse_wins(pools: Pools, child: int, worker: int) -> None:
    case = pools(reuse=worker)
    pids = []
    for _ in range(5):
        case.until(case.pool.room)
        pids.append(result(case, a_job("work", Options(reuse=child)))[0])
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 1]


@pytest.mark.parametrize("below", [False, True])
def test_a_child_above_its_memory_fails_as_oom(pools: Pools, below: bool) -> None:
    case = pools()
    small = Options(memory=150_000_000)
    assert case.one(a_job("grows", small, args={"megabytes": 10, "seconds": 0.5}), JobCompleted)
    failed = case.one(a_job("grows", small, args={"megabytes": 250, "seconds": 30.0, "below": below}), JobFailed)
    assert (failed.error_type, failed.reason, failed.retryable) == ("oom", "error", True)
    assert "MB in memory, above child.memory, 150 MB" in failed.message
    case.until(case.pool.room)
    assert case.one(a_job("grows", small, args={"megabytes": 10}), JobCompleted)


def test_of_several_that_are_too_large_together_none_pays_and_each_runs_alone(pools: Pools) -> None:
    case = pools()
    options = Options(memory=150_000_000, concurrency=4)
    sizes = [60, 60, 200]
    jobs = [a_job("grows_beside", options, child=child, args={"megabytes": size}) for child, size in enumerate(sizes)]
    case.pool.submit(jobs)
    assert all(isinstance(ending, JobReturned) for ending in case.endings(*jobs))
    case.news.clear()
    case.until(case.pool.room)
    *others, large = case.run(*jobs)
    assert all(isinstance(ending, JobCompleted) for ending in others)
    assert isinstance(large, JobFailed)
    assert large.error_type == "oom"


def test_a_kill_by_the_kernel_for_want_of_memory_is_named(
    pools: Pools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    monkeypatch.setattr(oom, "_counters", lambda own, root: [str(tmp_path / "memory.events")])
    assert oom.kills() == 3
    case = pools()
    job = make_job("setup_handlers:grows", args={"megabytes": 1, "seconds": 60.0})
    case.pool.submit([job])
    case.until(lambda: case.runs(job))
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 4\n")
    os.kill(case.pool.pids()[0], signal.SIGKILL)
    (failed,) = case.endings(job)
    assert isinstance(failed, JobFailed)
    assert failed.error_type == "oom"
    job = make_job("setup_handlers:grows", args={"megabytes": 1, "seconds": 60.0})
    case.until(case.pool.room)
    case.pool.submit([job])
    case.until(lambda: case.runs(job))
    os.kill(case.pool.pids()[0], signal.SIGKILL)
    (failed,) = case.endings(job)
    assert isinstance(failed, JobFailed)
    assert failed.error_type == "ExecutorDied"


def test_each_slot_has_its_device(pools: Pools) -> None:
    case = pools(3, devices=Devices.parse("TEST_DEVICES=a, b"))
    jobs = [make_job("setup_handlers:device") for _ in range(3)]
    found = [ending.result for ending in case.run(*jobs) if isinstance(ending, JobCompleted)]
    assert sorted(map(str, found)) == ['"a"', '"a"', '"b"']


@pytest.mark.parametrize("text", ["", "A", "A=", "A=1,,2", "1A=2", "A B=1", "STREAMSCHED_BROKERS=x", "A=\0"])
def test_what_binds_no_devices(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not bind|its own|own"):
        Devices.parse(text)
