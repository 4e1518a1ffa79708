"""``schema`` and ``init``: what they print and write, and that it works at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamsched.files.json_schema import KINDS, json_schema
from streamsched.files.source import read_document
from tests.support.cli import LIMIT, Cli
from tests.support.json_schema import Checker


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_printed(cli: Cli, kind: str) -> None:
    assert json.loads(cli.here("schema", kind).stdout) == json_schema(kind)


def test_there_are_two_schemas(cli: Cli) -> None:
    said = cli.here("schema", "tmplate", code=2).stderr
    assert said == "streamsched: schema: there is no schema of 'tmplate'; choose template or schedule\n"


@pytest.mark.slow
def test_what_init_writes_works_at_once(cli: Cli) -> None:
    files = ["resize.yaml", "resize.py", "test_resize.py", "streamsched.schema.json"]
    done = cli("init", "resize")
    assert done.stdout.splitlines() == files
    assert done.stderr == "next: streamsched run resize.yaml\n"
    assert sorted(path.name for path in cli.folder.iterdir()) == sorted(files)
    assert "10 of 10 succeeded" in cli("run", "resize.yaml", "--task-id", "first").stderr
    assert cli.json("status", "first")["template"] == "resize"
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=cli.folder, env=cli.environment, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    assert "3 passed" in tested.stdout
    for command in (
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy", "--strict", "resize.py", "test_resize.py"],
    ):
        checked = subprocess.run(
            [sys.executable, "-m", *command], cwd=cli.folder, env=cli.environment, capture_output=True, text=True,
            timeout=LIMIT, check=False,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout


def test_the_first_line_of_a_template_names_its_schema(cli: Cli) -> None:
    cli.here("init", "resize")
    first, _ = (cli.folder / "resize.yaml").read_text().split("\n", 1)
    assert first == "# yaml-language-server: $schema=streamsched.schema.json"
    schema = json.loads((cli.folder / "streamsched.schema.json").read_text())
    assert schema == json_schema("template")
    assert Checker(schema).accepts(read_document(cli.folder / "resize.yaml").value)


@pytest.mark.parametrize("there", ["resize.yaml", "resize.py", "test_resize.py", "streamsched.schema.json"])
def test_init_overwrites_nothing(cli: Cli, there: str) -> None:
    (cli.folder / there).write_text('{"title": "mine"}')
    assert f"streamsched: {there}: is there already" in cli.here("init", "resize", code=2).stderr
    assert [path.name for path in cli.folder.iterdir()] == [there]
    assert (cli.folder / there).read_text() == '{"title": "mine"}'


def test_the_schema_is_that_of_the_last_init(cli: Cli) -> None:
    cli.here("init", "resize")
    schema = cli.folder / "streamsched.schema.json"
    schema.write_text(json.dumps({**json_schema("template"), "$defs": {}}))
    cli.here("init", "other")
    assert json.loads(schema.read_text()) == json_schema("template")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-job", "NAME: 'my-job' is not the name of a module; use letters, digits and underscores"),
        ("a/b", "is not the name of a module"),
        ("class", "is not the name of a module"),
        ("1st", "is not the name of a module"),
        ("_own", "is not the name of a module"),
        ("json", "there is a module 'json' already, and json.py would hide it; give another name"),
        ("streamsched", "there is a module 'streamsched' already"),
    ],
)
def test_a_name_that_cannot_be_one(cli: Cli, name: str, said: str) -> None:
    assert said in cli.here("init", name, code=2).stderr
    assert not list(cli.folder.iterdir())


def test_a_folder_that_takes_no_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.open

    def refuse(self: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "x" and self.name == "test_resize.py":
            raise OSError(28, "No space left on device")
        return whole(self, mode, **options)

    monkeypatch.setattr(Path, "open", refuse)
    said = cli.here("init", "resize", code=2).stderr
    assert said.startswith("streamsched: test_resize.py: cannot be written (No space left on device)")
    assert not list(cli.folder.iterdir())
