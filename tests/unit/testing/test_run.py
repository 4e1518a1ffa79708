"""``run_child``: a handler in this process, with all that a worker would do to its values."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from streamsched import AsyncChildContext, ChildContext, NonRetryable, PayloadTooLarge, Result
from streamsched.testing import crash_after, run_child
from streamsched.worker.errors import BadArguments


def squares(ctx: ChildContext, numbers: list[int], factor: int = 1) -> dict[str, Any]:
    """Square numbers, with a checkpoint after each."""
    found = []
    for number in ctx.resume(numbers):
        ctx.log.info("squaring %d", number)
        found.append(number * number * factor)
    return {"found": tuple(found), "attempt": ctx.attempt, "who": (ctx.task_id, ctx.child_index, ctx.fencing_token)}


def test_what_became_of_a_child_is_returned() -> None:
    run = run_child(squares, {"numbers": [1, 2, 3]}, task_id="t", child_index=7)
    assert run.result == {"found": [1, 4, 9], "attempt": 1, "who": ["t", 7, 1]}  # as JSON has it
    assert run.checkpoints == [{"resume": 1}, {"resume": 2}, {"resume": 3}]
    assert run.progress[-1] == (3, 3)
    assert run.log == ["squaring 1", "squaring 2", "squaring 3"]
    assert not run.died
    assert not run.stopped


@pytest.mark.parametrize("more", [{"crash": crash_after("checkpoint", 2)}, {"stop_after": 2}])
def test_another_attempt_resumes_where_one_died_or_stopped(more: dict[str, Any]) -> None:
    run = run_child(squares, {"numbers": [1, 2, 3]}, **more)
    assert (run.died, run.stopped) == ("crash" in more, "stop_after" in more)
    assert (run.result, run.state) == (None, {"resume": 2})
    again = run_child(squares, {"numbers": [1, 2, 3]}, resume=run.state, attempt=2)
    assert again.result["found"] == [9]
    assert again.result["attempt"] == 2


def stubborn(ctx: ChildContext, done: list[str]) -> str:
    """Try to survive."""
    with suppress(BaseException):  # what a handler should not do
        ctx.checkpoint(1, wait=True)
    try:
        ctx.progress(1, 2)
    finally:
        done.append("finally")
    return "alive"


@pytest.mark.parametrize(("where", "checkpoints"), [("start", 0), ("checkpoint", 1), ("end", 1)])
def test_who_has_died_does_nothing_any_more(where: Any, checkpoints: int) -> None:
    run = run_child(stubborn, {"done": []}, crash=crash_after(where))
    assert run.died
    assert run.result is None
    assert len(run.checkpoints) == checkpoints


def test_a_point_is_one_that_there_is() -> None:
    for where, number in (("middle", 1), ("checkpoint", 0), ("end", 2)):
        with pytest.raises(ValueError, match="crash_after"):
            crash_after(where, number)  # type: ignore[arg-type]


def total(ctx: ChildContext, results: Iterator[Result], factor: int) -> dict[str, Any]:
    """Sum up, as a reduce."""
    values = [result.value * factor for result in ctx.resume(results)]
    return {"sum": sum(values), "missing": results.missing, "stage": ctx.stage}  # type: ignore[attr-defined]


def test_a_reduce_gets_results() -> None:
    run = run_child(total, {"factor": 2}, results={3: 30, 1: 10}, missing=1)
    assert run.result == {"sum": 80, "missing": 1, "stage": "reduce"}
    assert run_child(total, {"factor": 2}, results=[1, 2, 3], resume={"resume": 1}).result["sum"] == 10


def test_a_death_in_a_copy_runs_nothing_of_the_handler_any_more(tmp_path: Path) -> None:
    path = tmp_path / "finally"

    def leaves(ctx: ChildContext) -> str:
        try:
            ctx.checkpoint(1)
            ctx.log.info("alive")
            return "done"
        finally:
            path.write_text("ran")

    run = run_child(leaves, crash=crash_after("checkpoint"), fork=True)
    assert (run.died, run.checkpoints, run.log, path.exists()) == (True, [1], [], False)
    run = run_child(leaves, fork=True)
    assert (run.died, run.result, run.log, path.exists()) == (False, "done", ["alive"], True)
    with pytest.raises(RuntimeError, match=r"(?s)copy of this process.*in refuse.*NonRetryable: never"):
        run_child(refuse, fork=True)
    with pytest.raises(RuntimeError, match="ended without a word"):
        run_child(lambda ctx: os._exit(1), fork=True)


def large(ctx: ChildContext) -> str:
    """Return too much."""
    return "x" * 300_000


def refuse(ctx: ChildContext) -> None:
    """Fail."""
    raise NonRetryable("never")


def test_errors_are_the_handlers_and_those_of_its_values(tmp_path: Path) -> None:
    with pytest.raises(NonRetryable, match="never"):
        run_child(refuse)
    with pytest.raises(PayloadTooLarge):
        run_child(large)
    with pytest.raises(TypeError, match=r"args\.path"):
        run_child(refuse, {"path": tmp_path})
    with pytest.raises(TypeError, match="unexpected keyword"):
        run_child(refuse, {"path": "a"})


def test_only_the_fixture_needs_pytest() -> None:
    others = "ChildRun, Cluster, assert_covers, assert_effects_idempotent, crash_after, run_child"
    code = f"import sys; from streamsched.testing import {others}; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_handler_has_a_name() -> None:
    run = run_child("streamsched.examples.numbers:print_numbers", {"first": 1, "last": 2})
    assert run.checkpoints[-1] == {"resume": 2}


async def later(ctx: AsyncChildContext, path: Path) -> list[str]:
    for step in range((ctx.last_checkpoint or 0) + 1, 4):
        await asyncio.sleep(0)
        await ctx.checkpoint(step, wait=True)
    return [path.name]


def test_an_async_handler_and_its_annotations() -> None:
    assert run_child(later, {"path": "a/b"}).result == ["b"]
    died = run_child(later, {"path": "a/b"}, crash=crash_after("checkpoint", 2))
    assert (died.died, died.state) == (True, 2)
    assert run_child(later, {"path": "a/b"}, resume=died.state).checkpoints == [3]
    assert run_child(later, {"path": "a/b"}, stop_after=1).stopped
    with pytest.raises(BadArguments, match="argument path: expected Path, and got 5"):
        run_child(later, {"path": 5})
