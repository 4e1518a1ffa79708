"""Jobs from scripts: they run in processes of the caller; what no process can import is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

JOBS = """
from datetime import date

from streamsched import job
from streamsched.split import ranges


def total(ctx, results, plus: int = 1):
    return plus + sum(result.value for result in results)


@job(
    split=ranges(1, "${n}", size=1), params={"n": int}, reduce=total,
    failure={"tolerate": 1}, retry={"max_attempts": 1},
)
def square(ctx, number, fails: int = 0):
    if number == fails:
        raise ValueError("no")
    return number * number


@job(split=ranges(1, 3, size=1), concurrency=3)
async def told(ctx, number, day: date = date(2024, 1, 2)):
    return f"{ctx.handler} {day.year}"
"""


def script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script and its module from a folder other than the one where it works."""
    (folder / "code").mkdir()
    (folder / "code" / "squares.py").write_text(JOBS)
    (folder / "code" / "start.py").write_text(text)
    return subprocess.run(
        [sys.executable, "code/start.py"], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )


def test_a_script_runs_its_jobs_and_again_finds_them_done(tmp_path: Path) -> None:
    text = """
import os
from datetime import date
from squares import square, told

path = os.environ.get("PYTHONPATH")
for first in (True, False):
    with square.run(n=20, fails=3, plus=7, slots=2, task_id="t") as task:
        assert task.first == first
        status = task.status()
        print(status.state, status.children.failed, task.result(), status.started_at <= status.finished_at)
with told.run(day=date(2025, 1, 1)) as task:
    print([child.result for child in task.results()], square.template.reduce.handler)
print(os.environ.get("PYTHONPATH") == path)
"""
    done = script(tmp_path, text)
    assert done.stdout.splitlines() == [f"succeeded 1 {sum(n * n for n in range(1, 21)) - 9 + 7} True"] * 2 + [
        "['squares:told 2025', 'squares:told 2025', 'squares:told 2025'] squares:total",
        "True",
    ], done.stderr


def test_a_function_of_the_script_itself_is_refused_with_the_remedy(tmp_path: Path) -> None:
    text = """
from streamsched import InputError, job
from streamsched.split import ranges


@job(split=ranges(1, 3, size=1))
def own(ctx, number):
    return number


print(own(None, number=5))
try:
    own.run()
except InputError as error:
    print(error)
"""
    done = script(tmp_path, text)
    assert done.stdout.splitlines() == [
        "5",
        "job own: the function is in __main__, the file that Python was started with, which a worker cannot import; "
        "move it into a module of its own, as jobs.py, and write 'from jobs import own' here",
    ], done.stderr
    assert not (tmp_path / ".streamsched").exists()
