"""The server as a process: how it begins, that it works beside ``up``, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamsched.http.guard import is_loopback
from streamsched.http.service import bind
from tests.support.cli import LIMIT, TEMPLATES, Cli
from tests.support.http_server import BODY, COUNT, Http

pytestmark = pytest.mark.slow


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@contextmanager
def server(cli: Cli, *arguments: str) -> Iterator[tuple[Http, subprocess.Popen[str]]]:
    """Have a server in the folder of these commands."""
    process = cli.start("server", "--http", "127.0.0.1:0", *arguments, stdout=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+), process \d+", process.stderr.readline())
        assert found is not None
        assert "ready: the journal of the embedded log in .streamsched" in process.stderr.readline()
        yield Http(int(found[1])), process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def up(cli: Cli) -> Iterator[None]:
    process = cli.start("up", "--slots", "2", stdout=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        assert "up, process" in process.stderr.readline()
        yield
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    _, said = process.communicate(timeout=LIMIT)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_streams_open(cli: Cli, number: signal.Signals) -> None:
    with server(cli) as (ask, process):
        position = ask("PUT", "/v1/tasks/a", BODY).headers["Streamsched-Position"]
        assert ask.get(f"/v1/tasks/a?at_least={position}").status == 200  # else its message may come after the first
        with ask.stream("/v1/events") as one, ask.stream("/v1/tasks/a/events") as other:
            next(one)
            next(other)
            assert ended(process, number) == (0, "")
            assert [*one, *other] == []


def test_it_steers_what_up_works_on(cli: Cli) -> None:
    handler, _ = TEMPLATES["sleep"]
    slow: dict[str, Any] = {
        **COUNT, "name": "slow", "child": {"handler": handler, "args": {"seconds": 0.2, "checkpoint_every": 0.05}},
    }  # fmt: skip
    with up(cli), server(cli) as (ask, process):
        assert ask("PUT", "/v1/tasks/quick", BODY).status == 201
        assert ask.get("/v1/tasks/quick", Prefer="wait=60").json["state"] == "succeeded"
        ask("PUT", "/v1/tasks/slow", {"template": slow, "params": {"n": 20}})
        grid = bytearray()
        with ask.stream("/v1/tasks/slow/events") as messages:
            for message in messages:
                data = json.loads(message["data"])
                if data["full"]:
                    grid = bytearray(ask.get(f"/v1/tasks/slow/grid?at_least={message['id']}").data)
                for first, count, byte in data["grid"]:
                    grid[first : first + count] = bytes([byte]) * count
                if data["status"]["state"] == "succeeded":
                    break
        assert grid == ask.get("/v1/tasks/slow/grid").data == b"\3" * 20
        lanes = ask.get("/v1/tasks/slow/lanes").json["items"]
        assert sum(len(lane["items"]) for lane in lanes) == 20
        nodes = ask.get("/v1/nodes").json
        assert ({each["role"] for each in nodes["items"]}, nodes["missing"]) == ({"scheduler", "worker"}, "")
        assert ask.post("/v1/tasks/quick/redrive", {"all": True}).status == 200
        assert ask.get("/v1/tasks/quick", Prefer="wait=60").json["state"] == "succeeded"
        assert ended(process, signal.SIGTERM) == (0, "")
    assert "no violation" in cli.here("audit", "verify").stdout


def test_up_serves_the_pages_itself(cli: Cli) -> None:
    process = cli.start("up", "--slots", "1", "--ui", "--http", "127.0.0.1:0", stdout=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        said = process.stderr.readline() + process.stderr.readline()
        found = re.search(r"the pages are at http://127\.0\.0\.1:(\d+)", said)
        assert found is not None, said
        ask = Http(int(found[1]))
        while ask.get("/readyz").status != 200:
            pass
        assert ask.get("/").headers["Content-Type"].startswith("text/html")
        assert ask("PUT", "/v1/tasks/a", BODY).status == 201
        assert ask.get("/v1/tasks/a", Prefer="wait=60").json["state"] == "succeeded"
        with ask.stream("/v1/events") as messages:
            next(messages)
            assert ended(process, signal.SIGTERM) == (0, "")
    finally:
        process.kill()
        process.communicate()
    assert "can be reached from other machines" in cli("up", "--ui", "--http", "0.0.0.0:0", code=2).stderr


def test_run_serves_the_pages_while_it_works(cli: Cli) -> None:
    done = cli("run", cli.template("count"), "--task-id", "a", "--http", "127.0.0.1:0")
    assert re.search(r"the pages are at http://127\.0\.0\.1:\d+/#/tasks/a\n", done.stderr)


def test_an_address_that_is_taken_leaves_no_task(cli: Cli) -> None:
    cli("run", cli.template("count"), "--task-id", "before")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = cli("run", cli.template("count"), "--task-id", "after", "--ui", "--http", at, code=2)
    assert "choose another with --http" in refused.stderr
    assert cli("list", "--output", "name").stdout.split() == ["before"]


def test_it_does_not_begin_where_everybody_could_do_everything(cli: Cli) -> None:
    said = cli("server", "--http", "0.0.0.0:0", code=2).stderr
    assert "can be reached from other machines" in said
    for wrong in (
        ["--http", "here"],
        ["--http", "127.0.0.1:99999"],
        ["--auth", "oidc:x"],
        ["--auth", "tokens:none.txt"],
    ):
        assert "streamsched: " in cli.here("server", *wrong, code=2).stderr


def test_an_address_that_is_taken_is_told(cli: Cli) -> None:
    taken, _ = bind("127.0.0.1:0")
    taken.listen()
    port = taken.getsockname()[1]
    assert "cannot be used" in cli.here("server", "--http", f"127.0.0.1:{port}", code=2).stderr
    taken.close()


def test_a_broken_log_is_told(cli: Cli) -> None:
    (cli.folder / ".streamsched").write_text("no folder")
    assert "streamsched: " in cli("server", "--http", "127.0.0.1:0", code=3).stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"])
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("0.0.0.0")  # noqa: S104 - it is asked about, not bound
    assert not is_loopback("localhost.evil.com")
