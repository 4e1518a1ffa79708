"""Templates with programs from the command line, over the embedded log: what is shown, run, refused and waited for."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.cli import LIMIT, Cli

pytestmark = pytest.mark.slow

SCRIPT = """#!/bin/sh
read line
echo "converting $1 at $Q"
[ "$1" = bad ] && { echo "cannot read it" >&2; exit 3; }
echo "{\\"name\\": \\"$1\\", \\"q\\": $Q}"
"""
TEMPLATE = """
name: convert
params: {{q: {{type: integer, default: 80}}, items: {{type: array, default: ["a b", "c'd", bad, "$(touch hacked)"]}}}}
split: {{list: {{items: "${{items}}"}}}}
child:
  command: {command}
  env: {{Q: "${{q}}"}}
  exit_codes: {{"3": fail}}
  retry: {{max_attempts: 2, initial_interval: 10ms}}
  {more}
failure: {{tolerate: 1}}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    script(tmp_path / "convert.sh", SCRIPT)
    return Cli(tmp_path)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def template(cli: Cli, command: str = '["./convert.sh", "${child.item}"]', more: str = "") -> Path:
    path = cli.folder / "convert.yaml"
    path.write_text(TEMPLATE.format(command=command, more=more))
    return path


@contextmanager
def up(cli: Cli, *options: str) -> Iterator[None]:
    process = cli.start("up", "--slots", "1", *options)
    try:
        assert process.stderr is not None
        assert any("up, process" in line for line in process.stderr)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_a_script_runs_for_each_child(cli: Cli) -> None:
    cli("run", template(cli), "--task-id", "t", "-p", "q=5")
    results = {line["child"]: line["result"] for line in cli.lines("results", "t")}
    assert results == {0: {"name": "a b", "q": 5}, 1: {"name": "c'd", "q": 5}, 3: {"name": "$(touch hacked)", "q": 5}}
    assert not (cli.folder / "hacked").exists()
    failed = cli.lines("children", "t")[2]
    assert (failed["state"], failed["error_type"], failed["attempt"]) == ("failed", "Exit3", 1)
    assert failed["message"] == "the program ./convert.sh ended with exit code 3; the last that it said: cannot read it"
    output = (cli.folder / ".streamsched" / "output.log").read_text()
    assert "t[0]#1 converting a b at 5\n" in output
    assert "t[2]#1 cannot read it\n" in output
    assert cli.json("certify", "t")["holds"] is True
    assert cli.here("audit", "verify", code=None).returncode == 0


def test_a_shell_only_where_it_is_asked_for(cli: Cli) -> None:
    command = """['printf "%s" "${child.item}" | wc -c; touch "ran $1"', "x"]"""
    cli("run", template(cli, command, "shell: true"), "--task-id", "t")
    assert [line["result"] for line in cli.lines("results", "t")] == [3, 3, 3, 15]
    assert (cli.folder / "ran x").exists()
    assert not (cli.folder / "hacked").exists()


def test_plan_and_try_show_what_would_run(cli: Cli) -> None:
    path = template(cli, more='cwd: "."')
    shown = cli.here("plan", path).stdout
    assert "command     ./convert.sh\n" in shown
    assert "0  Q=80 ./convert.sh 'a b'  (in .)\n" in shown
    planned = cli.json("plan", path)
    assert planned["command"] == "./convert.sh"
    assert "handler" not in planned
    assert planned["shown"][0]["args"]["words"] == ["a b"]
    assert not (cli.folder / ".streamsched").exists()
    tried = cli("try", path, "--child", "0")
    assert tried.stdout == 'converting a b at 80\n{"name": "a b", "q": 80}\n{"name": "a b", "q": 80}\n'
    assert "child 0 of 4: Q=80 ./convert.sh 'a b'" in tried.stderr
    tried = cli("try", path, "--child", "0", "--json")
    assert json.loads(tried.stdout) == {"child": 0, "result": {"name": "a b", "q": 80}}
    failed = cli("try", path, "--child", "2", code=1)
    assert "child 2 fails: Exit3: the program ./convert.sh ended with exit code 3" in failed.stderr
    missing = cli("try", template(cli, '["./missing"]'), code=1)
    assert "CommandNotFound: command ./missing is not there: no such file at " in missing.stderr


def test_in_a_run_a_program_that_is_missing_fails_its_children(cli: Cli) -> None:
    done = cli("run", template(cli, '["./missing"]'), "--task-id", "t", code=1)
    assert "state     failed" in done.stdout
    failed = [child for child in cli.lines("children", "t") if child["state"] == "failed"]
    assert {(child["error_type"], child["attempt"]) for child in failed} == {("CommandNotFound", 1)}


def test_up_runs_what_it_is_told_to(cli: Cli) -> None:
    path = template(cli)
    cli.here("submit", path, "--task-id", "t")
    with up(cli, "--allow", "jobs"):
        cli.until("t", lambda status: "no worker allows command ./convert.sh" in status["why"])
        why = cli.json("status", "t")["why"]
        assert "start one with 'streamsched up --allow-command ./convert.sh'" in why
    with up(cli, "--allow-command", "./conv*"):
        status = cli.until("t", lambda status: status["state"] == "succeeded")
        assert status["children"]["succeeded"] == 3
        (node,) = [node for node in cli.lines("nodes") if node["role"] == "worker"]
        assert node["modules"] == ["$ ./conv*"]


def test_the_setting_allows_programs(cli: Cli) -> None:
    (cli.folder / "s.toml").write_text('allow_command = ["./other", "./convert.sh"]\n')
    cli.here("submit", template(cli), "--task-id", "t")
    with up(cli, "--config", "s.toml"):
        cli.until("t", lambda status: status["state"] == "succeeded")
    cli.environment["STREAMSCHED_ALLOW_COMMAND"] = "'./a b' ./c"
    with up(cli, "--config", "s.toml"):
        (node,) = [node for node in cli.lines("nodes") if node["role"] == "worker"]
        assert node["modules"] == ["$ ./a b", "$ ./c"]


def test_a_program_that_comes_later_runs_then_and_no_attempt_is_lost(cli: Cli) -> None:
    cli.here("submit", template(cli, '["./later", "${child.item}"]'), "--task-id", "t")
    with up(cli):
        cli.until("t", lambda status: "command ./later is not there: no such file" in status["why"])
        script(cli.folder / "later", SCRIPT)
        cli.until("t", lambda status: status["state"] == "succeeded")
    children = cli.lines("children", "t")
    assert {child["attempt"] for child in children} == {1}


def test_a_cancel_ends_it(cli: Cli) -> None:
    command = """["sleep 1000 & echo $$ $! >pids; wait"]"""
    cli.here("submit", template(cli, command, "shell: true"), "--task-id", "t", "-p", 'items=["x"]')
    with up(cli):
        cli.until(
            "t", lambda status: (cli.folder / "pids").exists() and (cli.folder / "pids").read_text().endswith("\n")
        )
        cli.here("cancel", "t")
        cli.until("t", lambda status: status["state"] == "cancelled")
        for pid in (cli.folder / "pids").read_text().split():
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_after_a_drain_or_a_death_it_is_done_again_and_no_attempt_is_lost(cli: Cli, number: int) -> None:
    command = """["echo $$ >>pids; [ $(wc -l <pids) = 1 ] && { setsid sleep 1000 & echo $! >>pids; wait; }; echo 1"]"""
    path, pids = template(cli, command, "shell: true"), cli.folder / "pids"
    process = cli.start("run", path, "--task-id", "t", "-p", 'items=["x"]')
    try:
        until(lambda: pids.exists() and pids.read_text().count("\n") == 2)
    finally:
        process.send_signal(number)
        process.communicate(timeout=30)
    for pid in map(int, pids.read_text().split()):
        until(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]
    cli("run", path, "--task-id", "t", "-p", 'items=["x"]')
    (child,) = cli.lines("children", "t")
    assert (child["state"], child["result"], child["attempt"]) == ("succeeded", 1, 1)
    assert pids.read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--allow-command", "*"],
            "--allow-command: program '*' names no program; name programs ('./convert.sh')",
        ),
        (["--allow-command", ""], "names no program"),
        (["--allow-command", "x" * 1_000], "the limit is 1,000"),
    ],
)
@pytest.mark.parametrize("command", [["worker", "--brokers", "127.0.0.1:1"], ["up"]])
def test_patterns_that_name_no_program_are_refused(cli: Cli, command: list[str], options: list[str], says: str) -> None:
    assert says in cli.here(*command, *options, code=2).stderr


@pytest.mark.parametrize(
    "line", ["allow_command = 5", 'allow_command = [""]', "allow_command = [1]", 'allow_command = "\'"']
)
def test_a_wrong_setting_is_refused(cli: Cli, line: str) -> None:
    (cli.folder / "s.toml").write_text(f"{line}\n")
    said: Any = cli.here("--config", "s.toml", "list", code=2).stderr
    assert "s.toml: " in said
    assert "; name programs ('./convert.sh'), or all of a folder ('./tools/*')" in said
