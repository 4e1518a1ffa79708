"""What becomes of failures, as users have it: which are borne and redriven, and which are not tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Cli

pytestmark = pytest.mark.slow

HANDLERS = '''
import json
from pathlib import Path

import streamsched


def half(ctx, child):
    """Fail in odd children, after a checkpoint, until they are mended; then continue from it."""
    before = ctx.last_checkpoint
    if child % 2 and not Path("mended").exists():
        ctx.checkpoint({"child": child}, wait=True)
        raise ValueError(f"child {child}")
    return before


class Outer:
    class Base(Exception):
        pass


class Sub(Outer.Base, KeyError):
    pass


def wrong(ctx, child):
    """Fail in a way of each child's own."""
    if child == 0:
        raise Sub("x")
    if child == 1:
        b"\\xff".decode()
    if child == 2:
        raise type("Made", (OSError,), {"__module__": 7})
    if child == 3:
        raise ConnectionResetError(5, "gone")
    if child == 4:
        raise Exception
    if child == 6:
        json.loads("{")
    if child == 7:
        raise streamsched.RetryAfter(0.001)
    raise KeyboardInterrupt
'''


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "fh.py").write_text(HANDLERS)
    return Cli(tmp_path)


def write(cli: Cli, failure: str, retry: str = "{max_attempts: 1}", handler: str = "half") -> str:
    (cli.folder / "job.yaml").write_text(
        f"name: job\nsplit: {{range: {{first: 0, last: {5 if handler == 'half' else 7}, size: 1}}}}\n"
        f'child: {{handler: "fh:{handler}", args: {{child: "${{child.first}}"}}, retry: {retry}}}\nfailure: {failure}\n'
    )
    return "job.yaml"


def test_failures_that_were_borne_are_redriven_from_their_checkpoints(cli: Cli) -> None:
    job = write(cli, "{tolerate: 50%}")
    cli("run", job, "--task-id", "t")
    assert cli.json("status", "t")["children"]["failed"] == 3
    (cli.folder / "mended").touch()
    cli("redrive", "t")
    cli("run", job, "--task-id", "t")
    status = cli.json("status", "t")
    assert (status["state"], status["redrive"], status["children"]["succeeded"]) == ("succeeded", 1, 6)
    results = [line["result"] for line in cli.lines("results", "t")]
    assert results == [None, {"child": 1}, None, {"child": 3}, None, {"child": 5}]
    assert [child["dispatches"] for child in cli.lines("children", "t")] == [1, 2, 1, 2, 1, 2]
    assert "nothing is left to do; do it all again with --all" in cli("redrive", "t", code=2).stderr
    cli("audit", "verify")


@pytest.mark.parametrize(
    ("named", "final"),
    [
        ("fh.Sub, ValueError", {0, 1, 6}),
        ("Sub", {0}),
        ("fh.Outer.Base", {0}),
        ("KeyError, builtins.UnicodeDecodeError", {0, 1}),
        ("LookupError, Made", {0, 2}),
        ("OSError", {2, 3}),
        ("Exception", {0, 1, 2, 3, 4, 6, 7}),
        ("BaseException", {0, 1, 2, 3, 4, 5, 6, 7}),
        ("json.JSONDecodeError, streamsched.ChildError", {6, 7}),  # as their packages show them
        ("m.Sub, Outer.Base, ValueErr", set()),
    ],
)
def test_an_error_is_not_tried_again_by_its_class_or_a_base(cli: Cli, named: str, final: set[int]) -> None:
    retry = f"{{max_attempts: 2, initial_interval: 1ms, non_retryable: [{named}]}}"
    cli("run", write(cli, "{tolerate: 100%}", retry, "wrong"), "--task-id", "t")
    assert {child["child"] for child in cli.lines("children", "t") if child["attempt"] == 1} == final


@pytest.mark.parametrize("name", ["m:Sub", "Value Error", "ValueError()", "''", "m..Sub", ".Sub", "m.", "3rd", "a-b"])
def test_a_name_that_no_class_can_have_is_refused(cli: Cli, name: str) -> None:
    said = cli.here("plan", write(cli, "{}", f"{{non_retryable: [OSError, {name}]}}"), code=2).stderr
    assert "job.yaml:3: child.retry.non_retryable[1]: " in said
    assert "is not a name of an error type; write ValueError or package.module.Class" in said


@pytest.mark.parametrize(
    ("name", "own"),
    [("IOError", "OSError"), ("builtins.EnvironmentError", "OSError"), ("socket.timeout", "TimeoutError")],
)
def test_a_second_name_that_no_error_is_told_by_is_refused(cli: Cli, name: str, own: str) -> None:
    said = cli.here("plan", write(cli, "{}", f"{{non_retryable: [OSError, {name}]}}"), code=2).stderr
    assert "job.yaml:3: child.retry.non_retryable[1]: " in said
    assert f"is an alias of {own}, and errors are reported as {own}; write {own}" in said


def test_run_all_runs_everything_and_then_fails(cli: Cli) -> None:
    job = write(cli, "{on: run_all}")
    cli("run", job, "--task-id", "t", "--slots", "1", code=1)
    status = cli.json("status", "t")
    assert (status["state"], status["children"]["succeeded"], status["children"]["failed"]) == ("failed", 3, 3)
    assert status["reason"] == "child 1 failed: ValueError: child 1"
    (cli.folder / "mended").touch()
    cli("redrive", "t")
    cli("run", job, "--task-id", "t")
    assert [child["dispatches"] for child in cli.lines("children", "t")] == [1, 2, 1, 2, 1, 2]
    cli("audit", "verify")


@pytest.mark.parametrize("failure", ["{on: run_all, tolerate: 50%}", "{on: run_all, tolerate: {count: 3}}"])
def test_run_all_succeeds_where_the_failures_are_borne(cli: Cli, failure: str) -> None:
    cli("run", write(cli, failure), "--task-id", "t")
    assert cli.json("status", "t")["children"]["failed"] == 3


@pytest.mark.parametrize("on", ["runall", "'yes'", "[run_all]", "true"])
def test_another_word_is_refused(cli: Cli, on: str) -> None:
    assert "job.yaml:4: failure.on: " in cli.here("plan", write(cli, f"{{on: {on}}}"), code=2).stderr
