"""``plan`` and ``try`` of tasks with a split child: the same generator runs here, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli

JOBS = """
from pathlib import Path

def pieces(ctx, count):
    ctx.checkpoint("begun", wait=True)
    for number in range(count):
        yield {"n": number}

def breaks(ctx):
    yield 1
    raise ValueError("its own")

def nothing(ctx):
    return None

def work(ctx, **args):
    return {"args": args, "child": ctx.child_index}

def records(ctx, **args):
    return list(ctx.records())
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "jobs.py").write_text(JOBS)
    return Cli(tmp_path)


def job(cli: Cli, split: str, args: str, handler: str = "jobs:work") -> None:
    (cli.folder / "job.yaml").write_text(f"name: job\nsplit: {split}\nchild: {{handler: '{handler}', args: {args}}}\n")


def shown(document: Any) -> list[Any]:
    return [(each["child"], each["args"]) for each in document["shown"]]


def test_of_a_function(cli: Cli) -> None:
    job(cli, "{by: 'jobs:pieces', args: {count: 1000}}", "{x: '${child.item}', n: '${child.index}'}")
    found = cli.json("plan", "job.yaml")
    assert found["children"] == 1000
    assert shown(found) == [(n, {"x": {"n": n}, "n": n}) for n in (0, 1, 2, 997, 998, 999)]
    assert json.loads(cli("try", "job.yaml", "--child", "7").stdout) == {
        "args": {"x": {"n": 7}, "n": 7}, "child": 7,
    }  # fmt: skip
    assert "the task has 1,000" in cli("try", "job.yaml", "--child", "1000", code=2).stderr
    assert {path.name for path in cli.folder.iterdir()} <= {"job.yaml", "jobs.py", "__pycache__"}


def test_of_files(cli: Cli) -> None:
    folder = cli.folder / "in"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text("x" * number)
    job(cli, "{files: {glob: 'in/*.txt', count: 2}}", "{paths: '${child.items}', size: '${child.size}'}")
    assert shown(cli.json("plan", "job.yaml")) == [
        (0, {"paths": [f"{folder}/0.txt", f"{folder}/1.txt"], "size": 1}),
        (1, {"paths": [f"{folder}/2.txt", f"{folder}/3.txt"], "size": 5}),
        (2, {"paths": [f"{folder}/4.txt"], "size": 4}),
    ]


def test_of_lines_and_records(cli: Cli) -> None:
    (cli.folder / "list.txt").write_text("a\n\nb\nc\n")
    job(cli, "{lines: {file: list.txt, size: 2}}", "{items: '${child.items}'}")
    assert shown(cli.json("plan", "job.yaml")) == [(0, {"items": ["a", "b"]}), (1, {"items": ["c"]})]
    assert json.loads(cli("try", "job.yaml", "--child", "1").stdout)["args"] == {"items": ["c"]}
    job(cli, "{list: '@list.txt'}", "{item: '<${child.item}>'}")
    assert [args["item"] for _, args in shown(cli.json("plan", "job.yaml"))] == ["<a>", "<b>", "<c>"]
    (cli.folder / "big.jsonl").write_text("".join(f'{{"v": {n}}}\n' for n in range(10)))
    job(cli, "{bytes: {files: [big.jsonl], size: 30, format: jsonl}}", "{}", "jobs:records")
    document = cli.json("plan", "job.yaml")
    found = [
        value for n in range(document["children"]) for value in cli.json("try", "job.yaml", "--child", str(n))["result"]
    ]
    assert found == [{"v": n} for n in range(10)]


@pytest.mark.parametrize(
    ("split", "code", "said"),
    [
        ("{files: {glob: 'none/*'}}", 2, "job.yaml: split.files: {here}/none/*: there is nothing to do"),
        ("{lines: {file: none.txt}}", 2, "job.yaml: split.lines: {here}/none.txt: there is no such file"),
        ("{by: 'jobs:missing'}", 2, "correct the handler's name, or start where its module can be imported"),
        ("{by: 'elsewhere:missing'}", 2, "No module named 'elsewhere'"),
        ("{by: 'jobs:pieces'}", 2, "jobs:pieces does not take these arguments"),
        ("{by: 'jobs:nothing'}", 2, "jobs:nothing returned a value of type NoneType: yield the items"),
    ],
)  # fmt: skip
def test_what_cannot_be_split(cli: Cli, split: str, code: int, said: str) -> None:
    job(cli, split, "{}")
    for words in (("plan", "job.yaml"), ("try", "job.yaml")):
        done = cli(*words, code=code)
        assert said.format(here=cli.folder) in done.stderr


def test_an_error_of_the_function_is_shown_as_it_is(cli: Cli) -> None:
    job(cli, "{by: 'jobs:breaks'}", "{}")
    process = cli.start("plan", "job.yaml")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("Traceback")
    assert "ValueError: its own" in err
    assert "sources/split.py" not in err
