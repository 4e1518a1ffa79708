"""Async handlers: one event loop an executor, endings and limits as of others, and cancellation that reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streamsched.worker.async_context import AsyncChildContext
from streamsched.worker.context import LocalTransport
from streamsched.worker.errors import StopChild
from streamsched.worker.jobs import Job, JobCheckpointed, JobCompleted, JobFailed, JobReturned, JobStopped
from streamsched.worker.pool import ExecutorPool
from tests.unit.worker.pool_case import Case, make_job

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
