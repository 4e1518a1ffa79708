"""Handlers that break their executor's link or page: that child fails, nothing else does, and limits hold."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamsched.worker import page as pages
from streamsched.worker.jobs import Job, JobCompleted, JobFailed, JobReturned
from streamsched.worker.pool import ExecutorPool
from tests.support.needs import LINUX
from tests.unit.worker.pool_case import Case
from tests.unit.worker.pool_case import make_job as make_any_job

pytestmark = [pytest.mark.slow, LINUX]
HERE = Path(__file__).parent


def make_job(handler: str = "fine", **fields: object) -> Job:
    return make_any_job(f"hostile_handlers:{handler}", **fields)


@pytest.fixture(scope="module")
def shared() -> Iterator[Case]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(HERE)
        patch.setattr("streamsched.worker.trust.QUIET_NS", 1_500_000_000)
        pool = ExecutorPool(2, allow=["hostile_handlers"])
        yield Case(pool)
        pool.close()


@pytest.fixture
def case(shared: Case) -> Case:
    shared.news.clear()
    return shared


def fails(case: Case, handler: str, **fields: object) -> JobFailed:
    """Run this beside an innocent job, which it does not touch, and another one afterwards."""
    case.until(lambda: len(case.pool.pids()) == 2)  # room depends on how short the jobs before it were
    bad, beside = make_job(handler, **fields), make_job("slow", args={"seconds": 1.0})
    failed, fine = case.run(bad, beside)
    assert isinstance(fine, JobCompleted), fine
    assert isinstance(failed, JobFailed), failed
    case.one(make_job(), JobCompleted)
    return failed


FRAMES = [
    "garbage", "empty", "no list", "wrong shape", "foreign key", "negative key", "text key", "huge count", "deep",
    "no utf-8", "no JSON", "large result", "large result in bytes", "the future", "before all time",
    "after all time", "retryable text", "endless delay", "long message", "returned", "unknown kind", "large frame",
]  # fmt: skip


@pytest.mark.parametrize("what", FRAMES)
def test_a_frame_that_cannot_be(case: Case, what: str) -> None:
    failed = fails(case, "frames", args={"what": what})
    assert failed.error_type == "ProtocolError"
    assert "link between its executor and the worker" in failed.message
    assert failed.retryable


@pytest.mark.parametrize("what", ["garbage", "foreign key", "large frame"])
def test_a_frame_that_cannot_be_from_a_handler_that_returns_at_once(case: Case, what: str) -> None:
    assert fails(case, "frames", args={"what": what, "stay": 0.0}).error_type == "ProtocolError"


@pytest.mark.parametrize("handler", ["close_all", "close_link", "close_object", "stop_thread"])
def test_a_link_that_is_dead(case: Case, handler: str) -> None:
    assert fails(case, handler).error_type == "ProtocolError"


def test_another_file_in_the_place_of_the_link_gets_nothing(case: Case, tmp_path: Path) -> None:
    failed = fails(case, "over_link", args={"path": str(tmp_path / "file")})
    assert failed.error_type == "ProtocolError"
    assert (tmp_path / "file").read_bytes() == b""


def test_a_frame_that_is_cut_by_a_death(case: Case) -> None:
    assert "exit code 3" in fails(case, "cut_and_die").message


@pytest.mark.parametrize(
    "what",
    ["ones", "noise", "pending garbage", "started later", "started again", "beats later", "counts", "starting"],
)
def test_a_page_that_cannot_be(case: Case, what: str) -> None:
    failed = fails(case, "page", args={"what": what}, timeout_ms=1000)
    assert failed.error_type in ("ProtocolError", "Timeout", "ExecutorDied")
    if what in ("ones", "started later", "beats later"):
        assert failed.error_type == "ProtocolError"


def test_offsets_beyond_the_page_are_not_followed(case: Case) -> None:
    assert fails(case, "page", args={"what": "pending"}).error_type == "ExecutorDied"


def test_a_progress_that_is_no_number_is_none(case: Case) -> None:
    job = make_job("page", args={"what": "progress"})
    case.pool.submit([job])
    case.until(lambda: case.runs(job))
    for _ in range(5):
        case.news += case.pool.poll(0.02)
        assert all((running.done, running.total) == (0.0, 0.0) for running in case.pool.running())
    assert isinstance(case.endings(job)[0], JobCompleted)


def test_the_page_does_not_shrink(case: Case) -> None:
    done = case.one(make_job("shrink"), JobCompleted)
    assert "shrunk" not in (done.result or "")
    fd = pages.create()
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def test_limits_hold_while_an_executor_sends_without_end(case: Case) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failed = fails(case, "flood", timeout_ms=1500)
    assert failed.reason == "timeout"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_limits_hold_for_an_executor_that_was_stopped(case: Case) -> None:
    assert fails(case, "stand_still", timeout_ms=500).reason == "timeout"


@pytest.mark.long
def test_an_executor_that_was_stopped_ends_without_a_limit_too(case: Case) -> None:
    job = make_job("stand_still")
    case.pool.submit([job])
    for _ in range(3):
        with contextlib.suppress(AssertionError):  # patience is 20 s, and this takes 30
            case.until(lambda: case.ending(job) is not None)
    ending = case.ending(job)
    assert isinstance(ending, JobFailed)
    assert ending.error_type == "ProtocolError"
    assert "stopped for long" in ending.message


@pytest.mark.parametrize(("handler", "limit"), [("kill_guardian", 0), ("stop_guardian", 500)])
def test_the_guardian_is_killed_or_stopped(
    case: Case, handler: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsched.worker.process._SWEEP_S", 0.5)
    fails(case, handler, timeout_ms=limit)


def test_a_page_that_names_another_job_costs_that_job_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    pool = ExecutorPool(1, allow=["hostile_handlers"])
    case = Case(pool)
    try:
        liar, innocent = make_job("page", args={"what": "sibling"}), make_job()
        first, second = case.run(liar, innocent)
        assert isinstance(second, JobReturned)
        assert isinstance(first, JobReturned)  # it could have been either: so each is sent alone
        assert pool.room() == 1
        failed = case.one(make_job("page", args={"what": "sibling"}), JobFailed)
        assert failed.error_type in ("ProtocolError", "ExecutorDied")
        case.one(make_job(), JobCompleted)
    finally:
        pool.close()


def test_a_page_that_says_that_it_is_leaving_fails(case: Case) -> None:
    assert fails(case, "page", args={"what": "leaving"}).error_type == "ProtocolError"
