"""Completion of ids, by the protocol of each shell and in a real bash."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from streamsched.cli.completion import HEAD, MOST, join_words
from streamsched.client import Client
from tests.support.cli import LIMIT, Cli
from tests.support.http_server import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    cli = Cli(tmp_path_factory.mktemp("complete"))
    (cli.folder / "hourly.yaml").write_text("interval: 1h\ntemplate: count.yaml\n")
    job = cli.template("count")
    with Client(data_dir=cli.folder / ".streamsched") as client:
        for name in ("nightly-1", "nightly-2", "other", "job:a=b"):
            client.submit(job, task_id=name)
        client.create_schedule(cli.folder / "hourly.yaml")
        for number in range(MOST + 10):
            client.submit(job, task_id=f"many-{number}")
    return cli


NIGHTLY: Final = ["nightly-1", "nightly-2"]
PATIENT: Final = (
    "from streamsched.cli import completion, main\n"
    f"completion.TIME_S = {LIMIT}\n"  # other tests may have the processors
    "main.main()\n"
)


def completed(cli: Cli, shell: str, line: str, *, patient: bool = True) -> list[str]:
    """Ask as a shell does."""
    asked = {
        "_STREAMSCHED_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "_TYPER_COMPLETE_ARGS": line,
        "COMP_CWORD": str(line.count(" ")), "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *(["-c", PATIENT] if patient else ["-m", "streamsched"])], cwd=cli.folder,
        env={**cli.environment, **asked}, capture_output=True, text=True, timeout=2 * LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("command", ["status", "watch", "why", "children", "report", "cancel", "replay --task"])
def test_task_ids(cli: Cli, command: str) -> None:
    assert sorted(completed(cli, "bash", f"streamsched {command} ni")) == NIGHTLY


@pytest.mark.parametrize(("shell", "shown"), [("zsh", '(("nightly-2"'), ("fish", "nightly-2")])
def test_other_shells(cli: Cli, shell: str, shown: str) -> None:
    assert shown in " ".join(completed(cli, shell, "streamsched status ni"))


def test_schedule_ids(cli: Cli) -> None:
    assert completed(cli, "bash", "streamsched schedule show h") == ["hourly"]


def test_no_more_than_so_many(cli: Cli) -> None:
    assert len(completed(cli, "bash", "streamsched status many")) == MOST


def test_ids_that_bash_splits(cli: Cli) -> None:
    assert completed(cli, "bash", "streamsched status job") == ["job:a=b"]
    assert completed(cli, "bash", "streamsched status job : a") == ["a=b"]
    assert completed(cli, "bash", "streamsched status job : a =") == ["b"]
    joined = join_words({"_STREAMSCHED_COMPLETE": "complete_bash", "COMP_CWORD": "4",
                         "COMP_WORDS": "streamsched status hourly @ 2026 --json"})  # fmt: skip
    assert joined == {"COMP_WORDS": "streamsched status 2026", "COMP_CWORD": "2", HEAD: "hourly@"}
    option = join_words({"_STREAMSCHED_COMPLETE": "complete_bash", "COMP_CWORD": "8",
                         "COMP_WORDS": "streamsched --brokers a : 1 list --output = n"})  # fmt: skip
    assert option["COMP_WORDS"] == "streamsched --brokers a:1 list --output=n"
    assert join_words({"COMP_WORDS": "a @ b", "COMP_CWORD": "2"}) == {}


def test_through_a_server(cli: Cli, tmp_path: Path) -> None:
    elsewhere = Cli(tmp_path)
    with serving(cli.folder / ".streamsched") as http:
        server = f"http://127.0.0.1:{http.port}"
        assert sorted(completed(elsewhere, "fish", f"streamsched --server {server} status ni")) == NIGHTLY
        elsewhere.environment["STREAMSCHED_SERVER"] = server
        assert sorted(completed(elsewhere, "bash", "streamsched status ni")) == NIGHTLY
        assert completed(elsewhere, "bash", "streamsched schedule show h") == ["hourly"]
    assert completed(elsewhere, "bash", "streamsched status ni", patient=False) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        "--brokers 127.0.0.1:1", "--data-dir nowhere", "--config nowhere.toml", "--brokers ::",
        "--server http://127.0.0.1:1", "--server nowhere",
    ],
)  # fmt: skip
def test_what_is_in_the_way_gives_none_and_no_error(cli: Cli, options: str) -> None:
    assert completed(cli, "fish", f"streamsched {options} status ni", patient=False) == []
    assert not (cli.folder / "nowhere").exists()


def test_a_lookup_that_hangs_is_killed(cli: Cli) -> None:
    """Nothing answers at an address that takes connections: the lookup would wait for long."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert completed(cli, "fish", f"streamsched --brokers {address} status ni", patient=False) == []
        assert completed(cli, "fish", f"streamsched status --brokers {address} ni", patient=False) == []
        assert completed(cli, "fish", f"streamsched --server http://{address} status ni", patient=False) == []


@pytest.fixture
def sourced(cli: Cli, tmp_path: Path) -> str:
    """A script that has the completion as bash users have it."""
    wrapper = tmp_path / "streamsched"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(PATIENT)} "$@"\n')
    wrapper.chmod(0o755)
    made = subprocess.run(
        [str(wrapper)], env={**cli.environment, "_STREAMSCHED_COMPLETE": "source_bash"}, capture_output=True, text=True,
        check=True, timeout=LIMIT,
    )  # fmt: skip
    return f"export PATH={shlex.quote(str(tmp_path))}:$PATH; cd {shlex.quote(str(cli.folder))}\n{made.stdout}"


def test_a_real_bash(cli: Cli, sourced: str) -> None:
    script = sourced + (
        'COMP_WORDS=(streamsched status job : a); COMP_CWORD=4; COMP_LINE="streamsched status job:a"; COMP_POINT=25\n'
        '_streamsched_completion streamsched; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", script], env=cli.environment, capture_output=True, text=True, check=False, timeout=2 * LIMIT
    )
    assert (done.stdout, done.stderr) == ("a=b\n", "")
