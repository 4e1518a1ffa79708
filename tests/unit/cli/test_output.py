"""``--output``: a table that fits, JSON as ever, and names for pipes."""

from __future__ import annotations

import json

import pytest

from streamsched.cli import printing
from streamsched.cli.output import OPTION
from tests.support.cli import Cli
from tests.support.http_server import furnish
from tests.support.terminal import Terminal
from tools.options import commands

LONG = f"nightly-{'x' * 60}"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    cli = Cli(tmp_path_factory.mktemp("output"))
    furnish(cli.folder, cli.folder / ".streamsched", 12)
    cli.here("submit", cli.template("count"), "--task-id", LONG, "--label", f"team={'data' * 40}")
    return cli


LISTS = {
    ("list",): "task_id", ("status", "good"): "task_id", ("why", "idle"): "task_id", ("children", "good"): "child",
    ("results", "good"): "child", ("failures", "bad"): "fingerprint", ("schedule", "list"): "schedule_id",
    ("schedule", "show", "hourly"): "schedule_id", ("nodes",): "name", ("dead-letters",): "number",
    ("schedule", "ticks", "hourly"): "task_id",
}  # fmt: skip


UNLISTED = (
    ("replay",), ("replay", "--task", "good"), ("replay", "--task", "hourly"),
    ("schedule", "backfill", "hourly", "--start", "2026-11-01", "--end", "2026-11-02", "--dry-run"),
)  # fmt: skip
"""Tables of commands that have no ``--output``."""


@pytest.mark.slow
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_the_three_forms_tell_the_same(cli: Cli, words: tuple[str, ...]) -> None:
    documents = cli.here(*words, "--output", "json").stdout
    if words[0] not in ("why", "schedule"):
        assert cli.here(*words, "--json").stdout == documents
    names = cli.here(*words, "--output", "name").stdout.splitlines()
    assert names == [str(json.loads(line)[LISTS[words]]) for line in documents.splitlines()]
    table = cli.here(*words, "--output", "table").stdout
    assert table.splitlines()[1:] == cli.here(*words).stdout.splitlines()[1:]
    assert all(name in table for name in names)


def test_every_command_with_it_has_json_too() -> None:
    found = {words: {option for each in command.params for option in each.opts} for words, command in commands()}
    with_output = {words for words, options in found.items() if OPTION in options}
    assert {"list", "status", "children", "nodes", "failures", "schedule list", "dead-letters"} <= with_output
    assert all("--json" in found[words] for words in with_output)


def test_what_contradicts_or_is_no_form(cli: Cli) -> None:
    assert "--json is --output json" in cli.here("list", "--json", "--output", "name", code=2).stderr
    assert "'table', 'json', 'name'" in cli.here("list", "--output", "xml", code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [*LISTS, *UNLISTED, ("children", "bad"), ("status", LONG)], ids=lambda words: " ".join(words)[:20]
)
def test_tables_fit_a_terminal_of_80_columns(cli: Cli, words: tuple[str, ...]) -> None:
    with Terminal(cli, *words) as terminal:
        assert terminal.ended() == 0
        lines = terminal.written.decode().splitlines()
    assert lines
    if words[0] != "why":  # a sentence
        assert [line for line in lines if len(line) > 80] == []


def test_columns_that_do_not_fit_are_left_out_and_then_one_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    head, rows = ("ID", "N", "WHO", "TEXT"), [("a" * 20, 1, "me" * 10, "t" * 100), ("b", 22_000, "you", "u")]
    whole = list(printing.columns(head, rows, spare=("WHO",), cut=("TEXT",)))
    assert "me" * 10 in whole[1]
    assert "t" * 100 in whole[1]
    monkeypatch.setattr(printing, "terminal_width", lambda: 60)
    fitted = list(printing.columns(head, rows, spare=("WHO",), cut=("TEXT",)))
    assert [line for line in fitted if len(line) > 60] == []
    assert "WHO" not in fitted[0]
    assert fitted[1].endswith("ttt...")
    assert fitted[2] == f"b{' ' * 19}  22,000  u"
    both = list(printing.columns(("WHICH", *head[1:]), rows, spare=("WHO",), cut=("WHICH", "TEXT")))
    assert both[1].split()[0] == "aa..."  # as wide as its head, before the other one is cut
    assert [line for line in both if len(line) > 60] == []


def test_rows_behind_those_that_were_measured_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "MEASURED", 2)
    rows = (("x" * length,) for length in (1, 2, 90))
    assert list(printing.columns(("A",), rows))[-1] == "x" * 90


def test_a_table_of_many_rows_is_printed_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "MEASURED", 3)
    seen: list[int] = []

    def rows() -> object:
        for number in range(10):
            seen.append(number)
            yield (number,)

    lines = printing.columns(("N",), rows())  # type: ignore[arg-type]
    next(lines)
    assert seen == [0, 1, 2]


def test_a_pipe_gets_whole_ids(cli: Cli) -> None:
    assert LONG in cli.here("list").stdout
