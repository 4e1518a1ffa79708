"""``top`` on a real terminal: what it shows, its keys, and that the terminal is as before whatever ends it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.text import Text

from streamsched.cli.top_commands import Top
from streamsched.cli.top_screen import Chosen, Row, Snapshot, screen
from streamsched.client import Client
from streamsched.domain.events import NodeBeat, RunningChild
from streamsched.queries.nodes import node_document
from tests.support.cli import Cli
from tests.support.http_server import furnish, serving
from tests.support.terminal import Terminal

EVIL = "[red]a\x1b[31m\u202e[/red]"
NODE = ("n1", "w-1", "worker", "0.1.0", "running", "m", "x", 4, 2, 1, (0,))


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A folder with tasks that have ended, one that is held, and a node."""
    cli = Cli(tmp_path_factory.mktemp("top"))
    furnish(cli.folder, cli.folder / ".streamsched", 12)
    cli.here("pause", "idle", "--reason", "the store is moved")
    up = cli.start("up", "--slots", "1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield cli
    finally:
        up.terminate()
        up.wait()


pytestmark = pytest.mark.slow


def test_what_it_shows(cli: Cli) -> None:
    with Terminal(cli, "top") as terminal:
        text = terminal.until(lambda text: "idle" in text and "scheduler  running" in text and "1 worker," in text)
        rows = terminal.rows
        assert "1 active task, 1 scheduler, 1 worker, 1 slot" in rows[1]
        assert [row.split()[0:3] for row in rows[3:6]] == [[">", "idle", "paused"], ["bad", "failed", "100%"],
                                                           ["good", "succeeded", "100%"]]  # fmt: skip
        assert "the store is moved" in text
        assert rows[-1].startswith("q quits")
        red = "".join(sign for sign, colour in terminal.cells if colour == "red")
        assert red.startswith("failed")
        terminal.send("q")
        assert terminal.ended() == 0
        assert terminal.restored
        assert b"\x1b[?1049h" in terminal.written


def test_its_keys(cli: Cli) -> None:
    with Terminal(cli, "top") as terminal:
        terminal.until(lambda text: "> idle" in text)
        terminal.send("\x1b[B")
        terminal.until(lambda text: ("> bad" in text and "x BenchFailure" in text) or "6 x " in text)
        terminal.send("\r")
        text = terminal.until(lambda text: "task        bad" in text)
        assert "failures    " in text
        assert "Esc goes back" in text
        terminal.send("\x1b")
        terminal.until(lambda text: "> bad" in text)
        terminal.send("jj")  # there is no other below
        terminal.until(lambda text: "> good" in text)
        terminal.send("\x1b[H")
        terminal.until(lambda text: "> idle" in text)
        terminal.send("xyz\x1b[99~")  # no keys of ours
        terminal.send("k")
        terminal.resize(60, 16)
        terminal.until(lambda text: "> idle" in text and text.count("\n") == 15)
        terminal.resize(120, 40)
        terminal.until(lambda text: "12 of 12" in text and text.count("\n") == 39)
        terminal.send("q")
        assert terminal.ended() == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda each: str(each)
)
def test_what_ends_it_leaves_the_terminal_as_it_was(cli: Cli, number: signal.Signals, code: int) -> None:
    with Terminal(cli, "top") as terminal:
        terminal.until(lambda text: "> idle" in text)
        if number is signal.SIGINT:
            terminal.send("\x03")
        else:
            terminal.process.send_signal(number)
        assert terminal.ended() == code
        assert terminal.restored
        assert b"Traceback" not in terminal.written


def test_a_task_that_comes_is_seen(cli: Cli) -> None:
    with Terminal(cli, "top") as terminal:
        terminal.until(lambda text: "> idle" in text)
        cli.here("submit", cli.template("count"), "--task-id", "newer")
        terminal.until(lambda text: "newer" in text)
        terminal.send("q")
        assert terminal.ended() == 0


def test_through_a_server_it_shows_the_same(cli: Cli) -> None:
    theirs = Cli(cli.folder)
    with serving(cli.folder / ".streamsched") as http:
        theirs.environment["STREAMSCHED_SERVER"] = f"http://127.0.0.1:{http.port}"
        with Terminal(theirs, "top") as terminal:
            text = terminal.until(lambda text: "> " in text and "1 worker," in text and "the store is moved" in text)
            assert "1 scheduler, 1 worker, 1 slot" in text
            terminal.send("\x1b[F")
            terminal.until(lambda text: "> good" in text)
            terminal.send("\r")
            terminal.until(lambda text: "task        good" in text)
            terminal.send("q")
            assert terminal.ended() == 0
            assert terminal.restored
    with Terminal(theirs, "top") as terminal:
        assert terminal.ended() == 3
        assert "nothing listens at http://127.0.0.1" in terminal.text


def test_without_a_terminal_it_says_so(cli: Cli, tmp_path: Path) -> None:
    said = cli("top", code=2).stderr
    assert "a live view needs a terminal" in said
    assert "'streamsched list'" in said
    nowhere = Cli(tmp_path)
    with Terminal(nowhere, "top") as terminal:
        assert terminal.ended() == 3
        assert "nothing" in terminal.text or "no " in terminal.text
        assert terminal.restored


def test_a_terminal_that_cannot_be_drawn_on(cli: Cli) -> None:
    with Terminal(cli, "top", term="dumb") as terminal:
        assert terminal.ended() == 2
        assert "TERM='dumb'" in terminal.text


def snapshot(cli: Cli) -> Snapshot:
    with Client(data_dir=cli.folder / ".streamsched") as client:
        status, groups = client.status("bad"), client.failures("bad")
    status = replace(status, task_id=EVIL, template=EVIL, reason=EVIL, why=EVIL, labels={EVIL: EVIL})
    group = replace(groups[0], type=EVIL, message=EVIL)
    runs = tuple(RunningChild(EVIL, child, 1, 0, 0.0, 0.0) for child in range(40))
    beats = [NodeBeat(bytes(16), 0, "w", f"n{n}", EVIL, *NODE[2:], runs, 1, ()) for n in range(50)]
    nodes = [node_document(beat, n * 900) for n, beat in enumerate(beats)]
    ids = [f"t{n}" for n in range(1_100)]
    rows = [Row(replace(status, task_id=task_id), 1_234_567.8) for task_id in ids[:60]]
    return Snapshot(EVIL, "12:00:00", "1,000", ids, 0, rows, Chosen(status, [group] * 200), nodes)


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60), (20, 5), (5, 1), (79, 15), (100, 16)])
@pytest.mark.parametrize("opened", [True, False])
def test_a_screen_of_any_size_is_kept_to(cli: Cli, size: tuple[int, int], opened: bool) -> None:
    width, height = size
    found = snapshot(cli)
    for each in (found, Snapshot("here", trouble=EVIL * 100)):
        rows = screen(each, "t3", opened=opened, width=width, height=height)
        assert len(rows) == max(1, height)
        assert all(row.cell_len <= width for row in rows)
        assert all("\x1b" not in row.plain and "\u202e" not in row.plain for row in rows)
        assert all(isinstance(row, Text) for row in rows)


def test_what_is_chosen_stays_in_sight(cli: Cli) -> None:
    found, top = snapshot(cli), Top()
    for key in ["end", "up", "page up", *["down"] * 30, "home", *["down"] * 25, "up", "page down", *["page up"] * 200]:
        top.press(key, found, 9)
        top.settle(found, 9)
        at = found.task_ids.index(top.chosen)
        assert top.first <= at < top.first + 9
    assert top.chosen == "t0"
