"""Async handlers: one event loop an executor, endings and limits as of others, and cancellation that reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streamsched.domain.options import Options, write_options
from streamsched.worker.async_context import AsyncChildContext
from streamsched.worker.context import LocalTransport
from streamsched.worker.errors import StopChild
from streamsched.worker.jobs import Job, JobCheckpointed, JobCompleted, JobFailed, JobReturned, JobStopped
from streamsched.worker.pool import ExecutorPool
from tests.unit.worker.pool_case import Case, make_job, unstamped

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


def a_job(handler: str, **fields: object) -> Job:
    return make_job(f"async_handlers:{handler}", **fields)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.chdir(HERE)
    pool = ExecutorPool(1, allow=["async_handlers"])
    yield Case(pool)
    pool.close()


def test_it_returns_raises_and_cannot_end_its_process(case: Case) -> None:
    before = case.one(a_job("echo", args={"a": 1}), JobCompleted)
    assert before.result is not None
    found = msgspec.json.decode(before.result)
    assert (found["a"], found["task"], found["child"], found["attempt"]) == (1, "task", 3, 1)
    failed = case.one(a_job("fails"), JobFailed)
    assert (failed.error_type, failed.message, failed.retryable) == ("ValueError", "async and wrong", True)
    assert 'async_handlers.py", line' in failed.traceback
    assert "lanes.py" not in failed.traceback
    assert case.one(a_job("leaves"), JobFailed).error_type == "SystemExit"
    unfit = case.one(a_job("fails", args={"x": 1}), JobFailed)
    assert (unfit.error_type, unfit.retryable) == ("TypeError", False)
    after = case.one(a_job("echo"), JobCompleted)
    assert after.result is not None
    assert msgspec.json.decode(after.result)["pid"] == found["pid"]


def test_short_ones_and_plain_ones_take_turns(case: Case) -> None:
    case.run(a_job("echo"))
    jobs = [a_job(("echo", "plain")[number // 7 % 2]) for number in range(100)]
    endings = case.run(*jobs)
    assert {type(ending) for ending in endings} <= {JobCompleted, JobReturned}  # recalled, if the machine is slow
    assert sum(isinstance(ending, JobCompleted) for ending in endings) > 10


def test_a_wait_for_a_checkpoint_is_awaited(case: Case) -> None:
    job = a_job("waits")
    case.pool.submit([job])
    case.until(lambda: [c for c in case.checkpoints(job) if c.wait])
    (told,) = [c for c in case.news if isinstance(c, JobCheckpointed) and c.wait]
    assert told.state == '{"a":2}'
    assert case.ending(job) is None
    case.pool.confirm(job.key, told.number)
    (ending,) = case.endings(job)
    assert isinstance(ending, JobCompleted)
    assert ending.result == '"durable"'


def test_a_stop_ends_it_at_a_safe_point(case: Case) -> None:
    job = a_job("steps", args={"count": 10_000, "seconds": 0.01})
    case.pool.submit([job])
    case.until(lambda: case.checkpoints(job))
    case.pool.stop(job.key, 20.0)
    (ending,) = case.endings(job)
    assert isinstance(ending, JobStopped)
    assert ending.state is not None
    assert msgspec.json.decode(ending.state)["resume"] >= 1


@pytest.mark.parametrize("how", ["stop", "timeout", "heartbeat"])
def test_cancellation_reaches_the_coroutine(case: Case, tmp_path: Path, how: str) -> None:
    note = tmp_path / "note"
    limits = {"timeout_ms": 300} if how == "timeout" else {"heartbeat_ms": 300} if how == "heartbeat" else {}
    job = a_job("sleeps", args={"seconds": 60, "note": str(note)}, **limits)
    case.pool.submit([job])
    case.until(lambda: case.runs(job))
    pids = case.pool.pids()
    if how == "stop":
        case.pool.stop(job.key, 0.5)
    (ending,) = case.endings(job)
    assert isinstance(ending, JobStopped if how == "stop" else JobFailed)
    if isinstance(ending, JobFailed):
        assert (ending.reason, ending.error_type) == (how, {"timeout": "Timeout", "heartbeat": "HeartbeatLost"}[how])
    assert note.read_text() == "it could end in order"
    assert case.pool.pids() == pids


@pytest.mark.parametrize("handler", ["deaf", "blocks"])
def test_what_does_not_let_itself_be_cancelled_is_killed(case: Case, handler: str) -> None:
    failed = case.one(a_job(handler, heartbeat_ms=300), JobFailed)
    assert (failed.reason, failed.error_type) == ("heartbeat", "HeartbeatLost")
    job = a_job(handler)
    case.pool.submit([job])
    case.until(lambda: case.runs(job))
    case.pool.stop(job.key, 0.2)
    (ending,) = case.endings(job)
    assert isinstance(ending, JobStopped)


def test_what_it_leaves_behind_ends_with_it(case: Case) -> None:
    first, second = (case.one(a_job("forgets"), JobCompleted) for _ in range(2))
    assert first.result == second.result  # the same process
    case.one(a_job("forgets", args={"deaf_task": True}), JobCompleted)
    third = case.one(a_job("plain"), JobCompleted)
    assert third.result != first.result  # another one: a task did not end


def test_a_kill_drops_it_without_news(case: Case) -> None:
    job = a_job("deaf")
    case.pool.submit([job])
    case.until(lambda: case.runs(job))
    case.pool.kill([job.key])
    case.until(case.pool.room)
    assert case.one(a_job("echo"), JobCompleted)
    assert case.ending(job) is None


def many(handler: str, count: int, concurrency: int = 50, **fields: object) -> list[Job]:
    options = write_options(Options(concurrency=concurrency))
    return [a_job(handler, child=child, options=options, **fields) for child in range(count)]


def test_as_many_run_at_once_as_the_template_says(case: Case) -> None:
    endings = case.run(*many("beside", 60, concurrency=7))
    assert all(isinstance(ending, JobCompleted) for ending in endings)
    assert [ending.result for ending in endings if isinstance(ending, JobCompleted)][-1] == "7"
    assert case.pool.room() == 1


def test_each_has_its_own_limit_context_and_checkpoint(case: Case, tmp_path: Path) -> None:
    note = tmp_path / "note"
    short = many("sleeps", 3, args={"seconds": 60, "note": str(note), "state": None}, timeout_ms=500)
    long = many("steps", 3, args={"count": 150, "seconds": 0.01})
    failing = many("sleeps", 1, args={"seconds": "no number"})
    case.pool.submit(short)
    case.until(lambda: all(map(case.runs, short)))
    pids = case.pool.pids()
    assert {ending.error_type for ending in case.endings(*short) if isinstance(ending, JobFailed)} == {"Timeout"}
    assert all(isinstance(ending, JobCompleted) for ending in case.run(*long))
    assert all(case.checkpoints(job) for job in long)
    assert [ending.error_type for ending in case.run(*failing) if isinstance(ending, JobFailed)] == ["BadArguments"]
    assert case.pool.pids() == pids


def test_a_kill_for_one_costs_the_others_no_attempt_and_nothing_before_their_checkpoints(case: Case) -> None:
    deaf = many("deaf", 1)[0]
    deaf = msgspec.structs.replace(deaf, timeout_ms=500)
    others = many("deaf", 2, args={"state": {"before": 1}})
    case.pool.submit([deaf, *others])
    case.until(lambda: all(case.checkpoints(job) for job in others))
    ending, *rest = case.endings(deaf, *others)
    assert isinstance(ending, JobFailed)
    assert ending.error_type == "Timeout"
    assert all(isinstance(other, JobReturned) for other in rest)
    assert [case.checkpoints(job)[-1].state for job in others] == ['{"before":1}'] * 2


def test_one_that_blocks_the_loop_pays_for_the_limits_of_others(case: Case) -> None:
    blocks = many("blocks", 1)[0]
    waiting = many("blocks", 2, args={"seconds": 0.0, "first": 30.0}, heartbeat_ms=600)
    case.pool.submit([blocks, *waiting])
    ending, *rest = case.endings(blocks, *waiting)
    assert isinstance(ending, JobFailed)
    assert (ending.reason, ending.error_type) == ("heartbeat", "HeartbeatLost")
    assert "held up the event loop" in ending.message
    assert all(isinstance(other, JobReturned) for other in rest)


def test_a_death_is_nobody_s_who_could_be_and_then_his_who_is_alone(case: Case) -> None:
    jobs = [*many("dies", 1, args={"seconds": 0.3}), *many("dies", 2, args={"seconds": 30.0})]
    case.pool.submit(jobs)
    case.until(lambda: all(case.ending(job) for job in jobs))
    assert all(isinstance(case.ending(job), JobReturned) for job in jobs)
    case.news.clear()
    case.until(case.pool.room)
    case.pool.submit(jobs[:2])
    case.until(lambda: case.ending(jobs[0]))
    ending = case.ending(jobs[0])
    assert isinstance(ending, JobFailed)
    assert ending.error_type == "ExecutorDied"
    case.until(lambda: case.runs(jobs[1]))
    case.pool.stop(jobs[1].key, 0.2)
    assert isinstance(case.endings(jobs[1])[0], JobStopped)


def test_children_of_another_kind_wait_their_turn(case: Case) -> None:
    first, other = many("beside", 3, args={"seconds": 0.3}), a_job("plain")
    case.pool.submit([*first, other])
    assert case.pool.room() == 0
    assert case.pool.busy() == 4
    endings = case.endings(*first, other)
    assert all(isinstance(ending, JobCompleted) for ending in endings)
    waiting = [*many("beside", 1, args={"seconds": 0.5}), a_job("plain"), a_job("plain")]
    case.pool.submit(waiting)
    case.pool.stop(waiting[1].key, 1.0)
    case.pool.kill([waiting[2].key])
    assert isinstance(case.endings(waiting[1])[0], JobReturned)
    case.endings(waiting[0])
    assert case.ending(waiting[2]) is None


def test_a_plain_handler_has_no_concurrency(case: Case) -> None:
    failed = case.one(many("plain", 1)[0], JobFailed)
    assert (failed.error_type, failed.retryable) == ("BadArguments", False)
    assert "concurrency" in failed.message


def test_an_executor_that_leaves_gives_back_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    pool = ExecutorPool(1, allow=["async_handlers"], reuse=3)
    case = Case(pool)
    jobs = many("beside", 12, concurrency=2)
    rest = jobs
    while rest:
        endings = case.run(*rest)
        rest = [job for job, ending in zip(rest, endings, strict=True) if isinstance(ending, JobReturned)]
        case.news.clear()
    pool.close()


def test_the_lines_of_each_carry_its_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(HERE)
    file = tmp_path / "output"
    with file.open("ab") as output:
        pool = ExecutorPool(1, allow=["async_handlers"], output_fd=output.fileno())
    case = Case(pool)
    case.run(*many("talks", 3))
    pool.close()
    lines = unstamped(file).splitlines()
    for child in range(3):
        mine = [line for line in lines if line.startswith(f"task[{child}]#1 ")]
        assert sum(f"logged {child}" in line for line in mine) == 3
        assert f"task[{child}]#1 thread of {child}" in mine
        assert f"task[{child}]#1 no end" in mine
        assert all("of" not in line or line.endswith(str(child)) for line in mine)
    assert all(line.startswith("task[") for line in lines)


def test_its_context_serves_a_test_without_a_worker() -> None:
    ctx = AsyncChildContext(LocalTransport(), state='{"resume": 3}')

    async def handler() -> list[int]:
        return list(ctx.resume(range(5)))

    assert asyncio.run(handler()) == [3, 4]

    async def waiting() -> None:
        await other.checkpoint([1], wait=True)
        await other.checkpoint([2])
        other.request_stop()
        await other.checkpoint([3], wait=True)

    other = AsyncChildContext(LocalTransport())
    with pytest.raises(StopChild):
        asyncio.run(waiting())
    assert other.last_checkpoint == [3]
