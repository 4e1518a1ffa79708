"""A template with a reduce from the command line, over the embedded log: real executors read the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Cli

pytestmark = pytest.mark.slow

HANDLERS = """
import os
import signal


def square(ctx, n):
    if n == 3:
        raise ValueError("no")
    return n * n


def total(ctx, results, plus):
    begun = ctx.last_checkpoint is not None
    sum_, seen = (0, 0) if not begun else ctx.last_checkpoint
    results.seek(seen)
    for result in results:
        sum_ += result.value
        seen += 1
        if seen == 50:
            ctx.checkpoint([sum_, seen], wait=True)
            if not begun:
                os.kill(os.getpid(), signal.SIGKILL)
    place = [ctx.stage, ctx.child_index]
    print("totalled", seen)
    return {"total": sum_ + plus, "seen": seen, "of": len(results), "missing": results.missing, "place": place}


def resumed(ctx, results):
    return [[result.index, result.value] for result in ctx.resume(results, every=2)]
"""
TEMPLATE = """
name: squares
params: {{n: {{type: integer, default: 100}}, plus: {{type: integer, default: 7}}}}
split: {{range: {{first: 1, last: "${{n}}", size: 1}}}}
child: {{handler: "squares:square", args: {{n: "${{child.first}}"}}, retry: {{max_attempts: 1}}}}
failure: {{tolerate: 1}}
reduce: {reduce}
"""
TOTAL = '{handler: "squares:total", args: {plus: "${plus}"}, retry: {initial_interval: 10ms}}'


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "squares.py").write_text(HANDLERS)
    return Cli(tmp_path)


def template(cli: Cli, reduce: str) -> Path:
    path = cli.folder / "squares.yaml"
    path.write_text(TEMPLATE.format(reduce=reduce))
    return path


def test_a_reduce_that_was_killed_goes_on_from_its_checkpoint(cli: Cli) -> None:
    cli("run", template(cli, TOTAL), "--task-id", "t")
    total = sum(n * n for n in range(1, 101)) - 9 + 7
    wanted = {"total": total, "seen": 99, "of": 99, "missing": 1, "place": ["reduce", 0]}
    assert cli.json("result", "t") == wanted
    status = cli.json("status", "t")
    assert (status["state"], status["reduce"]) == ("succeeded", "succeeded")
    assert "99 of 100 succeeded, 1 failed, reduce succeeded" in cli.here("status", "t").stdout
    assert {state: count for state, count in status["children"].items() if count} == {
        "total": 100,
        "succeeded": 99,
        "failed": 1,
    }
    assert [line["child"] for line in cli.lines("results", "t")] == [n for n in range(100) if n != 2]
    assert len(cli.lines("children", "t")) == 100
    assert "t[reduce]#2 totalled 99" in (cli.folder / ".streamsched" / "output.log").read_text()
    assert [*(cli.folder / ".streamsched" / "scratch" / "0").glob("*")] == []


def test_a_redrive_reduces_anew(cli: Cli) -> None:
    path = template(cli, '{handler: "squares:resumed"}')
    cli("run", path, "--task-id", "t", "-p", "n=4")
    assert cli.json("result", "t") == [[0, 1], [1, 4], [3, 16]]
    (cli.folder / "squares.py").write_text(HANDLERS.replace("n == 3", "False"))
    cli("redrive", "t")
    assert "its reduce is waiting" in cli.here("result", "t", code=1).stderr
    cli("run", path, "--task-id", "t", "-p", "n=4")
    assert cli.json("result", "t") == [[0, 1], [1, 4], [2, 9], [3, 16]]


def test_without_children_it_reduces_nothing(cli: Cli) -> None:
    cli("run", template(cli, '{handler: "squares:resumed"}'), "--task-id", "t", "-p", "n=0")
    assert cli.json("result", "t") == []


def test_without_a_reduce_there_is_no_result(cli: Cli) -> None:
    cli("run", cli.template("count"), "--task-id", "t")
    assert "reduce" not in cli.json("status", "t")
    assert "has no reduce" in cli.here("result", "t", code=1).stderr
    assert "'nope'" in cli.here("result", "nope", code=4).stderr


@pytest.mark.parametrize(
    ("reduce", "said"),
    [
        ("{args: {}}", "reduce.handler: is missing"),
        ('{handler: "squares"}', "reduce.handler: 'squares' is not an import path"),
        ('{handler: "squares:total", args: {plus: "${child.first}"}}', "reduce.args.plus: ${child.first} is unknown"),
        ('{handler: "squares:total", retry: {max_attempts: -1}}', "reduce.retry.max_attempts"),
        ('{handler: "squares:total", retry: {non_retryable: ["a b"]}}', "reduce.retry.non_retryable"),
        ('{handler: "squares:total", arg: {}}', "reduce.arg: unknown key arg; did you mean args?"),
    ],
)
def test_a_wrong_reduce_is_refused(cli: Cli, reduce: str, said: str) -> None:
    assert said in cli.here("plan", template(cli, reduce), code=2).stderr
