"""Tasks with a split child, from end to end on the embedded log: ``streamsched run``, killed in the middle too."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli

pytestmark = pytest.mark.slow

JOBS = """
import time
from pathlib import Path

def pieces(ctx, count):
    for number in range(count):
        yield {"n": number}

def slowly(ctx, count):
    for number in ctx.resume(range(count), every=10):
        time.sleep(0.02)
        yield number

def shifting(ctx, count):
    first = Path("first").exists()
    Path("first").touch()
    for number in range(count):
        yield number if first else -number
        time.sleep(0.02)

def work(ctx, **args):
    return [ctx.child_index, args]

def change(ctx, paths):
    for path in Path("in").iterdir():
        path.write_text("other")

def total(ctx):
    return sum(record["v"] for record in ctx.records())

def sum_up(ctx, results):
    return sum(result.value for result in results)
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "jobs.py").write_text(JOBS)
    return Cli(tmp_path)


def job(cli: Cli, split: str, args: str, handler: str = "work", more: str = "") -> None:
    (cli.folder / "job.yaml").write_text(
        f"name: job\nsplit: {split}\nchild: {{handler: 'jobs:{handler}', args: {args}}}\n{more}"
    )


def results(cli: Cli) -> list[Any]:
    return [json.loads(line.partition("\t")[2]) for line in cli("results", "job").stdout.splitlines()]


def sound(cli: Cli) -> None:
    assert "no violation" in cli("audit", "verify").stdout


def test_a_function_of_the_user_splits(cli: Cli) -> None:
    job(cli, "{by: 'jobs:pieces', args: {count: 300}}", "{x: '${child.item}', n: '${child.index}'}")
    cli("run", "job.yaml", "--task-id", "job")
    assert results(cli) == [[n, {"x": {"n": n}, "n": n}] for n in range(300)]
    sound(cli)


def test_files_are_split(cli: Cli) -> None:
    folder = cli.folder / "in" / "sub"
    folder.mkdir(parents=True)
    for number in range(10):
        (folder / f"{number}.txt").write_text("x")
    job(cli, "{files: {glob: 'in/**/*.txt', count: 4}}", "{paths: '${child.items}'}")
    cli("run", "job.yaml", "--task-id", "job")
    found = results(cli)
    assert [len(args["paths"]) for _, args in found] == [4, 4, 2]
    assert [path for _, args in found for path in args["paths"]] == [f"{folder}/{n}.txt" for n in range(10)]
    sound(cli)


def test_lines_are_split(cli: Cli) -> None:
    (cli.folder / "list.txt").write_text("".join(f"item {n}\n\n" for n in range(25)))
    job(cli, "{lines: {file: list.txt, size: 10}}", "{items: '${child.items}'}")
    cli("run", "job.yaml", "--task-id", "job")
    assert [item for _, args in results(cli) for item in args["items"]] == [f"item {n}" for n in range(25)]
    sound(cli)


def test_records_of_a_large_file_are_summed_up(cli: Cli) -> None:
    (cli.folder / "big.jsonl").write_text("".join(f'{{"v": {n}}}\n' for n in range(5_000)))
    split = "{bytes: {files: [big.jsonl], size: 5kB, format: jsonl}}"
    job(cli, split, "{}", "total", "reduce: {handler: 'jobs:sum_up'}\n")
    cli("run", "job.yaml", "--task-id", "job")
    assert json.loads(cli("result", "job").stdout) == sum(range(5_000))
    sound(cli)


def test_a_file_that_changed_after_the_split_is_named(cli: Cli) -> None:
    (cli.folder / "in").mkdir()
    for number in range(4):
        (cli.folder / "in" / f"{number}").write_text("x")
    job(cli, "{files: {glob: 'in/*', count: 2}}", "{paths: '${child.items}'}", "change")
    cli("run", "job.yaml", "--task-id", "job", "--slots", "1", code=1)
    reason = cli.json("status", "job")["reason"]
    assert f"input_changed: {cli.folder}/in/2 has 5 bytes" in reason
    sound(cli)


def test_an_input_that_is_missing_fails_the_task_at_once(cli: Cli) -> None:
    job(cli, "{lines: {file: none.txt}}", "{}")
    cli("run", "job.yaml", "--task-id", "job", code=1)
    assert "InputMissing" in cli.json("status", "job")["reason"]
    sound(cli)


def killed(cli: Cli, entries: int) -> None:
    """Run the task, and kill the run when so many children are known."""
    process = cli.start("run", "job.yaml", "--task-id", "job")
    deadline = time.monotonic() + 60
    try:
        while True:
            assert time.monotonic() < deadline
            shown = cli("status", "job", "--json", code=None)
            if shown.returncode == 0 and json.loads(shown.stdout)["children"]["total"] >= entries:
                return
    finally:
        process.kill()
        process.communicate()


def test_a_run_that_is_killed_while_it_splits_goes_on_behind_its_pages(cli: Cli) -> None:
    job(cli, "{by: 'jobs:slowly', args: {count: 150}}", "{x: '${child.item}'}")
    killed(cli, 20)
    cli("run", "job.yaml", "--task-id", "job")
    assert results(cli) == [[n, {"x": n}] for n in range(150)]
    sound(cli)


def test_a_function_that_yields_something_else_after_a_kill_is_found_out(cli: Cli) -> None:
    job(cli, "{by: 'jobs:shifting', args: {count: 150}}", "{x: '${child.item}'}")
    killed(cli, 20)
    cli("run", "job.yaml", "--task-id", "job", code=1)
    assert "SplitChanged" in cli.json("status", "job")["reason"]
    sound(cli)
