from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from streamsched.worker.depth import DEPTH
from streamsched.worker.jobs import JobCompleted, JobFailed, JobReturned, JobStopped, Pool
from streamsched.worker.pool import ExecutorPool, ExecutorsDoNotStart
from tests.unit.worker.pool_case import PATIENCE, Case, make_job

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.chdir(HERE)
    pool = ExecutorPool(2, allow=["pool_handlers", "streamsched.examples.*"])
    yield Case(pool)
    pool.close()


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.chdir(HERE)
    pool = ExecutorPool(1, allow=["pool_handlers"])
    yield Case(pool)
    pool.close()


def test_it_is_a_pool(case: Case) -> None:
    pool: Pool = case.pool
    assert pool.room() == 2
    assert pool.busy() == 0
    assert pool.running() == []


def test_a_job_gives_its_result_and_times(case: Case) -> None:
    before = time.time_ns() // 1_000_000
    done = case.one(make_job(args={"a": "é"}, child=7, attempt=2, token=11), JobCompleted)
    assert done.result is not None
    assert msgspec.json.decode(done.result) == {"a": "é", "task": "task", "child": 7, "attempt": 2, "token": 11}
    assert before - 5 <= done.started_at <= done.finished_at <= time.time_ns() // 1_000_000 + 5
    assert case.pool.busy() == 0


@pytest.mark.parametrize("handler", ["prints_and_raises", "prints_and_raises_async"])
def test_a_failure_tells_the_end_of_what_was_printed(case: Case, handler: str) -> None:
    failed = case.one(make_job(handler, args={"lines": 2}), JobFailed)
    assert failed.output == "line 0\nline 1"
    failed = case.one(make_job(handler, args={"lines": 2_000}, child=4), JobFailed)
    assert failed.output.endswith("line 1998\nline 1999")
    assert len(failed.output) <= 4096
    assert case.one(make_job(handler, args={"lines": 0}, child=5), JobFailed).output == ""


def test_no_result_is_none(case: Case) -> None:
    assert case.one(make_job("returns", args={"what": "nothing"}), JobCompleted).result is None


def test_many_short_jobs_end_exactly_once(case: Case) -> None:
    jobs = {job.key: job for job in (make_job("streamsched.examples.bench:noop", args={"i": i}) for i in range(10_000))}
    waiting, completed = list(jobs.values()), []
    while waiting or case.pool.busy():
        room = case.pool.room()
        assert room <= 2 * DEPTH
        case.pool.submit([waiting.pop() for _ in range(min(room, len(waiting)))])
        for ending in case.pool.poll(0.05):
            if isinstance(ending, JobReturned):  # it waited behind a job that took long, as any may on a busy machine
                waiting.append(jobs[ending.key])
            else:
                assert isinstance(ending, JobCompleted), ending
                completed.append(ending.key)
    assert sorted(completed) == list(jobs)


def test_more_than_there_is_room_for_is_taken_all_the_same(case: Case) -> None:
    jobs = [make_job("streamsched.examples.bench:noop") for _ in range(1500)]
    assert all(isinstance(n, JobCompleted | JobReturned) for n in case.run(*jobs))


@pytest.mark.parametrize(
    ("what", "error_type", "retryable", "delay"),
    [
        ("plain", "ValueError", True, None),
        ("never", "NonRetryable", False, None),
        ("later", "RetryAfter", True, 2500),
        ("child", "ChildError", False, 100),
        ("exit", "SystemExit", True, None),
        ("interrupt", "KeyboardInterrupt", True, None),
        ("long", "ValueError", True, None),
    ],
)
def test_what_a_handler_raises(case: Case, what: str, error_type: str, retryable: bool, delay: int | None) -> None:
    failed = case.one(make_job("raises", args={"what": what}), JobFailed)
    assert (failed.error_type, failed.retryable, failed.delay_ms) == (error_type, retryable, delay)
    assert failed.reason == "error"
    assert len(failed.message.encode()) <= 4096
    assert len(failed.traceback.encode()) <= 16384
    assert 'pool_handlers.py", line' in failed.traceback or what == "long"
    assert "executor.py" not in failed.traceback


@pytest.mark.parametrize(
    ("job", "error_type", "says"),
    [
        (make_job("os:getpid"), "HandlerNotAllowed", "--allow os"),
        (make_job("borrowed"), "HandlerNotAllowed", "pool_handlers"),
        (make_job("missing"), "HandlerNotFound", "missing"),
        (make_job("pool_handlers.deeper:f"), "HandlerNotAllowed", "--allow pool_handlers.deeper"),
        (make_job("NOT_A_FUNCTION"), "HandlerNotFound", "int"),
        (make_job("no_args", args={"x": 1}), "TypeError", "x"),
        (make_job("echo", args=[1]), "BadArguments", "object"),
        (make_job("returns", args={"what": "object"}), "ResultNotSerialisable", "object"),
        (make_job("returns", args={"what": "big"}), "PayloadTooLarge", "262,144"),
        (make_job("big_state"), "PayloadTooLarge", "reference"),
    ],
)
def test_what_trying_again_cannot_help(single: Case, job: object, error_type: str, says: str) -> None:
    failed = single.one(job, JobFailed)  # type: ignore[arg-type]
    assert failed.error_type == error_type
    assert says in failed.message
    assert not failed.retryable


@pytest.mark.parametrize(("how", "says"), [("segfault", "SIGSEGV"), ("exit", "exit code 7")])
def test_an_executor_that_dies_costs_only_the_job_that_ran(single: Case, how: str, says: str) -> None:
    before = [make_job() for _ in range(20)]
    killer = make_job("die", args={"how": how})
    after = [make_job() for _ in range(5)]
    endings = single.run(*before, killer, *after)
    assert all(isinstance(n, JobCompleted) for n in endings[:20])
    failed = endings[20]
    assert isinstance(failed, JobFailed)
    assert (failed.error_type, failed.reason, failed.retryable) == ("ExecutorDied", "error", True)
    assert says in failed.message
    assert endings[21:] == [JobReturned(key=job.key) for job in after]
    assert isinstance(single.run(make_job())[0], JobCompleted)


def test_kill_9_of_an_executor(case: Case) -> None:
    job, other = make_job("step"), make_job("beat", args={"seconds": 1.0})
    case.pool.submit([job, other])
    case.until(lambda: case.runs(job) and case.runs(other))
    case.until(lambda: case.checkpoints(job))
    (place,) = [e for e in case.pool._executors if job.key in e.held]
    os.kill(place.pid, signal.SIGKILL)
    failed, fine = case.endings(job, other)
    assert isinstance(failed, JobFailed)
    assert "SIGKILL" in failed.message
    assert isinstance(fine, JobCompleted)
    assert len(case.pool.pids()) == 2


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_any_moment_leave_each_job_one_ending(case: Case, seed: int) -> None:
    chance = random.Random(seed)
    jobs = [make_job("streamsched.examples.bench:noop", args={"i": i}) for i in range(4000)]
    waiting = jobs[::-1]
    kills = 0
    while len(case.news) < len(jobs):
        room = case.pool.room()
        if room and waiting:
            case.pool.submit([waiting.pop() for _ in range(min(room, len(waiting)))])
        pids = case.pool.pids()
        if kills < 6 and pids and len(case.news) > kills * 500:
            kills += 1
            time.sleep(chance.random() * 0.002)
            with suppress(ProcessLookupError):  # the one that was killed before, and is not waited for yet
                os.kill(chance.choice(pids), signal.SIGKILL)
        case.news += case.pool.poll(0.01)
    assert sorted(n.key for n in case.news) == [job.key for job in jobs]
    failed = [n for n in case.news if isinstance(n, JobFailed)]
    assert len(failed) <= kills
    assert all(n.error_type == "ExecutorDied" for n in failed)


def test_the_time_limit_of_an_attempt(single: Case) -> None:
    job, behind = make_job("hang", timeout_ms=100), make_job()
    failed, returned = single.run(job, behind)
    assert isinstance(failed, JobFailed)
    assert (failed.reason, failed.retryable) == ("timeout", True)
    assert "0.1 s" in failed.message
    assert failed.finished_at - failed.started_at >= 100
    assert isinstance(returned, JobReturned)
    single.one(make_job(), JobCompleted)


def test_the_heartbeat_limit(case: Case) -> None:
    dead, alive = make_job("hang", heartbeat_ms=150), make_job("beat", args={"seconds": 1.5}, heartbeat_ms=1000)
    failed, fine = case.run(dead, alive)
    assert isinstance(failed, JobFailed)
    assert failed.reason == "heartbeat"
    assert isinstance(fine, JobCompleted)


def test_silence_does_not_count_while_the_whole_node_was_frozen(single: Case) -> None:
    job = make_job("beat", args={"seconds": 3.5}, heartbeat_ms=1000)
    single.pool.submit([job])
    single.until(lambda: single.runs(job))
    (pid,) = single.pool.pids()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.2)  # and nobody polls
    for _ in range(5):  # the pool is back a moment before the executor
        single.news += single.pool.poll(0.02)
    os.kill(pid, signal.SIGCONT)
    (ended,) = single.endings(job)
    assert isinstance(ended, JobCompleted)


def test_a_stop_at_a_safe_point_keeps_the_state(single: Case) -> None:
    job = make_job("step")
    single.pool.submit([job])
    single.until(lambda: single.runs(job) and single.pool.running()[0].done > 3)
    assert single.pool.running()[0].total == 1000
    (pid,) = single.pool.pids()
    single.pool.stop(job.key, 0.3)
    single.pool.stop(job.key, 0.3)
    (stopped,) = single.endings(job)
    assert isinstance(stopped, JobStopped)
    assert stopped.state is not None
    reached = msgspec.json.decode(stopped.state)["n"]
    assert all(msgspec.json.decode(c.state)["n"] < reached for c in single.checkpoints(job))
    assert single.pool.pids() == [pid]
    again = single.one(make_job("step", args={"seconds": 0.0}, state=stopped.state, attempt=2), JobCompleted)
    assert again.result == f'{{"n":{reached}}}'


def test_a_job_that_does_not_stop_is_killed_after_the_grace_period(single: Case) -> None:
    job = make_job("hang", args={"checkpoint": True})
    single.pool.submit([job])
    single.until(lambda: single.checkpoints(job))
    single.pool.confirm(job.key, single.checkpoints(job)[-1].number)
    single.pool.stop(job.key, 0.3)
    (stopped,) = single.endings(job)
    assert isinstance(stopped, JobStopped)
    assert single.checkpoints(job)[-1].state == '{"before":"hanging"}'


def test_a_queued_job_that_is_stopped_is_returned(single: Case) -> None:
    first, second = make_job("beat", args={"seconds": 0.05}), make_job()
    single.pool.submit([first, second])
    single.pool.stop(second.key, 0.3)
    assert isinstance(single.endings(second)[0], JobReturned)
    assert isinstance(single.endings(first)[0], JobCompleted)


def test_what_waits_behind_a_long_job_is_recalled(single: Case) -> None:
    long, *behind = [make_job("step", args={"seconds": 60.0}), make_job(), make_job()]
    single.pool.submit([long, *behind])
    assert single.endings(*behind) == [JobReturned(key=job.key) for job in behind]
    assert single.runs(long)
    assert single.pool.room() == 0


def test_killed_jobs_leave_no_news(single: Case) -> None:
    running, queued, kept = make_job("step"), make_job(), make_job()
    single.pool.submit([running, queued, kept])
    single.until(lambda: single.checkpoints(running))
    before = len(single.news)
    single.pool.kill([running.key, queued.key])
    assert single.pool.busy() <= 1
    (ending,) = single.endings(kept)
    assert isinstance(ending, JobReturned)
    single.one(make_job(), JobCompleted)
    assert not [n for n in single.news[before:] if n.key in (running.key, queued.key)]


def test_a_killed_job_that_waits_is_not_run(single: Case, tmp_path: Path) -> None:
    first = make_job("beat", args={"seconds": 0.5})
    dropped = make_job("crash_in_loop", args={"path": str(tmp_path / "out"), "at": -1})
    single.pool.submit([first, dropped])
    single.until(lambda: single.runs(first))
    single.pool.kill([dropped.key])
    assert isinstance(single.endings(first)[0], JobCompleted)
    single.one(make_job(), JobCompleted)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_is_waited_for(single: Case) -> None:
    job = make_job("durable")
    single.pool.submit([job])
    single.until(lambda: single.checkpoints(job))
    (told,) = single.checkpoints(job)
    assert (told.state, told.wait) == ('{"durable":1}', True)
    for _ in range(5):
        single.news += single.pool.poll(0.02)
    assert single.runs(job)
    single.pool.confirm(job.key, told.number)
    (done,) = single.endings(job)
    assert isinstance(done, JobCompleted)
    assert done.state is None


def test_a_stop_ends_the_wait_for_a_checkpoint(single: Case) -> None:
    job = make_job("durable")
    single.pool.submit([job])
    single.until(lambda: single.checkpoints(job))
    single.pool.stop(job.key, 0.3)
    assert isinstance(single.endings(job)[0], JobStopped)


def test_a_loop_that_failed_goes_on_where_it_was(single: Case, tmp_path: Path) -> None:
    args = {"path": str(tmp_path / "out"), "at": 4}
    job = make_job("crash_in_loop", args=args)
    failed = single.one(job, JobFailed)
    told = [news.state for news in single.checkpoints(job)]  # on a slow machine the loop tells of itself meanwhile
    state = failed.state or told[-1]
    assert state == '{"resume":4}'
    single.one(make_job("crash_in_loop", args=args, attempt=2, state=state), JobCompleted)
    assert (tmp_path / "out").read_text().split() == [str(i) for i in range(10)]


def test_a_handler_that_forks_ends_once(single: Case) -> None:
    assert single.one(make_job("fork"), JobCompleted).result == '"parent"'
    single.one(make_job(), JobCompleted)


def test_signals_to_the_group_do_not_reach_handlers(single: Case) -> None:
    job = make_job("beat", args={"seconds": 0.3})
    single.pool.submit([job])
    (pid,) = single.pool.pids()
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    single.until(lambda: single.runs(job))
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert isinstance(single.endings(job)[0], JobCompleted)


def test_executors_that_never_start_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr("streamsched.worker.pool.START_ATTEMPTS", 3)
    pool = ExecutorPool(1, allow=[])
    pool.submit([make_job(key=1)])
    news = []
    try:
        with pytest.raises(ExecutorsDoNotStart, match="exit code 1"):  # noqa: PT012
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                news += pool.poll(0.1)
    finally:
        pool.close()
    assert news == [JobReturned(key=1)]


def test_close_stops_at_safe_points_and_kills_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    pool = ExecutorPool(2, allow=["pool_handlers"])
    case = Case(pool)
    jobs = [make_job("step"), make_job("hang")]
    pool.submit(jobs)
    case.until(lambda: len(pool.running()) == 2)
    processes = [psutil.Process(pid) for pid in pool.pids()]
    pool.close(0.2)
    pool.close()
    assert not any(process.is_running() for process in processes)


PARENT = """
import sys, time
from streamsched.worker.pool import ExecutorPool
from tests.unit.worker.pool_case import make_job
pool = ExecutorPool(2, allow=["streamsched.examples.*"])
pool.submit([make_job("streamsched.examples.bench:sleep", args={"seconds": 60, "checkpoint_every": 60})])
while not pool.running():
    pool.poll(0.01)
print(*pool.pids(), flush=True)
time.sleep(60)
"""


def test_executors_die_with_their_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=HERE.parents[2], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        processes = [psutil.Process(pid) for pid in pids]
        parent.kill()
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not alive
