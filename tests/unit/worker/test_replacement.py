"""Executors that die together: what they ran is told before all of their places are taken again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from streamsched.worker.jobs import JobFailed
from streamsched.worker.pool import ExecutorPool
from tests.unit.worker.pool_case import Case, make_job

pytestmark = pytest.mark.slow
SLOTS = 6


def test_one_turn_starts_one_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    pool = ExecutorPool(SLOTS, allow=["pool_handlers"])
    case = Case(pool)
    try:
        jobs = [make_job("step") for _ in range(SLOTS)]
        pool.submit(jobs)
        case.until(lambda: len(pool.running()) == SLOTS)
        dead = list(pool._executors)
        for executor in dead:
            os.kill(executor.pid, signal.SIGKILL)
        before = set(dead)
        while before & set(dead):
            case.news += pool.poll(0.0)
            assert len(set(pool._executors) - before) <= 1
            before = set(pool._executors)
        assert all(isinstance(ending, JobFailed) for ending in case.endings(*jobs))
        case.until(lambda: len(pool._executors) == SLOTS)
    finally:
        pool.close()
