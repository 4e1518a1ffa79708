"""What a terminal shows of a task that is watched: few rows, whatever its size, and no red for what is well."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from streamsched.cli.task_text import describe
from streamsched.cli.watching import ROWS, rows
from streamsched.queries.documents import Time
from streamsched.queries.eta import Eta
from streamsched.queries.failures import FailureStatus
from streamsched.queries.status import ChildCounts
from tests.support.cli import Cli
from tests.support.http_server import furnish
from tests.support.terminal import Terminal
from tests.unit.cli.test_progress import RUNNING

LARGE = replace(
    RUNNING, task_id="t" * 200, why="because " * 200, state="running",
    children=ChildCounts(10_000_000, 5_000_000, 10_000, 1_024, 4_000_000, 900_000, 88_976),
    eta=Eta(Time.at(4_000_000_000_000), Time.at(4_000_000_000_000), Time.at(4_100_000_000_000), 86_400.0, "count"),
)  # fmt: skip
GROUP = FailureStatus("f" * 16, 1_000_000, 5, "E" * 300, "m\x1b[31m" * 300, Time.at(0), Time.at(0), [1, 2, 3])


@pytest.mark.parametrize("width", [80, 120, 40])
@pytest.mark.parametrize("groups", [0, 1, 200])
def test_few_rows_whatever_the_size(width: int, groups: int) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=width, color_system=None)
    console.print(rows(LARGE, 123_456.7, [GROUP] * groups, width))
    lines = shown.getvalue().splitlines()
    assert len(lines) <= ROWS + 2  # the head may take more than one on a narrow terminal
    assert all(len(line) <= width for line in lines)
    assert "\x1b[31m" not in shown.getvalue()
    if width == 80:
        assert [line for line in lines if "left" in line] == [line for line in lines if line.startswith("left   ")]
        assert sum("between" in line for line in lines) == 1, "one estimate, with its range"
        assert any(line.startswith("failures") for line in lines) == (groups > 0)


def test_the_rate_is_of_what_has_run() -> None:
    began, ended = Time.at(0), Time.at(10_000)
    counts = ChildCounts(100, 0, 0, 0, 15, 5, 80)
    status = replace(RUNNING, state="cancelled", started_at=began, finished_at=ended, children=counts)
    assert dict(describe(status))["time"] == "10 s, 2.0 children/s"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    cli = Cli(tmp_path_factory.mktemp("watching"))
    furnish(cli.folder, cli.folder / ".streamsched", 12)
    return cli


def colours(terminal: Terminal, colour: str) -> str:
    return "".join(sign for sign, found in terminal.cells if found == colour)


@pytest.mark.slow
def test_no_red_for_what_is_well(cli: Cli) -> None:
    with Terminal(cli, "watch", "good") as terminal:
        assert terminal.ended() == 0
        assert colours(terminal, "green").startswith("succeeded")
        assert {colour for _, colour in terminal.cells} <= {"default", "green"}
    with Terminal(cli, "watch", "bad") as terminal:
        assert terminal.ended() == 0
        assert colours(terminal, "red").startswith("failed")
        assert any(row.startswith("failures    6 x ") for row in terminal.rows)
        assert terminal.restored


@pytest.mark.slow
def test_a_run_on_a_terminal(cli: Cli, tmp_path: Path) -> None:
    with Terminal(cli, "run", cli.template("count"), "-p", "n=200", "--data-dir", tmp_path) as terminal:
        assert terminal.ended() == 0
        assert "100%" in terminal.text
        assert {colour for _, colour in terminal.cells} <= {"default", "green", "cyan"}
        assert max(map(len, terminal.rows)) <= 80
        assert terminal.restored


@pytest.mark.slow
def test_all_active_tasks_in_80_columns(cli: Cli) -> None:
    cli.here("submit", cli.template("count"), "--task-id", f"long-{'x' * 100}")
    with Terminal(cli, "watch") as terminal:
        text = terminal.until(lambda text: "idle" in text and "long-xxx" in text)
        assert "children" in text
        assert text.count("0 of 0") == 2
        assert "requested" in text
        terminal.send("\x03")
        assert terminal.ended() == 130
        assert terminal.restored
