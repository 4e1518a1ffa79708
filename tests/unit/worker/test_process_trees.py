"""What a handler starts ends with its child, its executor or its worker, wherever it went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamsched.worker.jobs import Job
from streamsched.worker.pool import ExecutorPool
from tests.support.needs import LINUX
from tests.unit.worker.pool_case import PATIENCE, Case, make_job

pytestmark = [pytest.mark.slow, LINUX]
HERE = Path(__file__).parent
WAYS = ["plain", "session", "orphan", "daemon", "tree", "deaf"]


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.chdir(HERE)
    pool = ExecutorPool(1, allow=["tree_handlers"])
    yield Case(pool)
    pool.close()


def started(folder: Path, count: int, case: Case | None = None) -> list[psutil.Process]:
    """Wait until so many processes have noted themselves, and return them."""

    def noted() -> list[int]:
        return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]

    if case is not None:
        case.until(lambda: len(noted()) >= count)
    return [psutil.Process(pid) for pid in noted()]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def leaves(way: str, folder: Path, **fields: Any) -> Job:
    args = {"way": way, "folder": str(folder), **fields.pop("args", {})}
    return make_job("tree_handlers:leaves", args=args, **fields)
