"""``audit export``: every record of the journal is a row, in order, and decodes to what it was; whole or not at all."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from streamsched.audit import export as exporting
from streamsched.audit.document import entry
from streamsched.audit.export import COLUMNS, export
from streamsched.audit.replay import ends_of, history
from streamsched.log.port import Append, LogUnreachable
from tests.support.cli import Cli
from tests.support.mini_cluster import MiniCluster


@pytest.fixture(scope="module")
def mini() -> MiniCluster:
    """A journal of some tasks, with rubbish between them."""
    mini = MiniCluster()
    for number in range(12):
        mini.submit(f"task-{number}")
        mini.log.append([Append(mini.topics.events, number % 2, b"k", b"rubbish %d" % number)])
        mini.turn(10)
    mini.turn()
    return mini


def told(mini: MiniCluster, position: int | None = None, task_id: str | None = None) -> list[dict[str, Any]]:
    """Read the rows that have to be there."""
    ends = ends_of(mini.log, mini.topics.journal(), position=position)
    return [entry(*pair) for pair in history(mini.log, mini.topics, mini.codec, ends, task_id)]


def written(mini: MiniCluster, path: Path, kind: str, position: int | None = None, task_id: str | None = None) -> int:
    ends = ends_of(mini.log, mini.topics.journal(), position=position)
    rows, unreadable = export(
        path, kind, log=mini.log, topics=mini.topics, codec=mini.codec, ends=ends, task_id=task_id
    )
    assert unreadable == sum(row["event"] is None for row in told(mini, position, task_id))
    return rows


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return [json.loads(text) for text in pyarrow.parquet.read_table(path)["document"].to_pylist()]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_every_record_is_a_row_and_decodes_equal(mini: MiniCluster, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"all.{kind}"
    rows = written(mini, path, kind)
    wanted = json.loads(json.dumps(told(mini)))
    assert rows == len(wanted) == sum(1 for _ in mini.read(mini.topics.journal()))
    assert rows_of(path) == wanted
    stamps = [row["timestamp"] for row in wanted]
    assert stamps == sorted(stamps)
    assert {row["event"] for row in wanted} >= {None, "TaskRequested", "ChildrenDispatched", "ChildCompleted"}
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_one_task_and_up_to_a_position(mini: MiniCluster, tmp_path: Path, kind: str) -> None:
    written(mini, tmp_path / f"one.{kind}", kind, task_id="task-3")
    assert {row["task_id"] for row in rows_of(tmp_path / f"one.{kind}")} == {"task-3"}
    written(mini, tmp_path / f"part.{kind}", kind, position=7)
    assert rows_of(tmp_path / f"part.{kind}") == json.loads(json.dumps(told(mini, position=7)))
    assert written(mini, tmp_path / f"none.{kind}", kind, position=0) == 0
    assert rows_of(tmp_path / f"none.{kind}") == []


def test_columns_are_those_of_the_document(mini: MiniCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "GROUP_ROWS", 10)
    path = tmp_path / "columns.parquet"
    rows = written(mini, path, "parquet")
    file = pyarrow.parquet.ParquetFile(path)
    assert file.num_row_groups == -(-rows // 10), "memory is bounded by row groups"
    table = file.read()
    assert tuple(table.column_names) == COLUMNS
    for row in table.to_pylist():
        document = json.loads(row.pop("document"))
        for name, value in row.items():
            if name in ("timestamp", "at"):
                value = None if value is None else round(value.timestamp() * 1000)
            assert value == document.get(name)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_what_fails_leaves_the_file_as_it_was(
    mini: MiniCluster, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"kept.{kind}"
    path.write_text("before")

    def broken(*_: object) -> Any:
        yield from list(history(mini.log, mini.topics, mini.codec, ends_of(mini.log, mini.topics.journal())))[:5]
        raise LogUnreachable("made up")

    monkeypatch.setattr(exporting, "history", broken)
    with pytest.raises(LogUnreachable):
        export(path, kind, log=mini.log, topics=mini.topics, codec=mini.codec, ends={})
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.slow
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = Cli(tmp_path)
    cli("run", cli.template("count"), "--task-id", "one")
    done = cli.here("audit", "export", "history.jsonl")
    assert done.stdout == ""
    assert "rows in history.jsonl" in done.stderr
    assert rows_of(tmp_path / "history.jsonl") == cli.lines("replay")
    (tmp_path / "out").mkdir()
    cli.here("audit", "export", "out", "--task", "one", "--until", "5")
    assert rows_of(tmp_path / "out" / "events.parquet") == cli.lines("replay", "--task", "one", "--until", "5")

    assert "'two'" in cli.here("audit", "export", "x.jsonl", "--task", "two", code=4).stderr
    assert "parquet or jsonl" in cli.here("audit", "export", "x.csv", code=2).stderr
    assert "csv" in cli.here("audit", "export", "x", "--format", "csv", code=2).stderr
    assert "no/where.jsonl" in cli.here("audit", "export", "no/where.jsonl", code=2).stderr
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = cli.here("audit", "export", "x.parquet", code=2).stderr
    assert "streamsched[parquet]" in message
    assert "jsonl" in message
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("x", ".x"))]
