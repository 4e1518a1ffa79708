"""A task is paused, resumed and terminated, as users have it: on the embedded log, from the shell and from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsched import Client
from streamsched.commands import hold
from streamsched.commands.hold import NotHoldable
from tests.support.cli import Cli

pytestmark = pytest.mark.slow
JOB = 'name: job\nsplit: {range: {first: 1, last: 9, size: 1}}\nchild: {handler: "jobs:work"}\n'


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def submitted(cli: Cli) -> str:
    (cli.folder / "jobs.py").write_text("def work(ctx):\n    return ctx.child_index\n")
    (cli.folder / "job.yaml").write_text(JOB)
    cli("submit", "job.yaml", "--task-id", "t")
    return "job.yaml"


def test_a_paused_task_waits_until_it_is_resumed(cli: Cli) -> None:
    job = submitted(cli)
    assert "task t is paused" in cli("pause", "t", "--reason", "the disk is full").stdout
    status = cli.json("status", "t")
    assert (status["state"], status["reason"]) == ("paused", "the disk is full")
    told = "task t is paused, the disk is full\nwhat would change it: streamsched resume t\n"
    assert cli("why", "t").stdout == told
    assert [task["task_id"] for task in cli.lines("list", "--state", "paused")] == ["t"]
    cli("run", job, "--task-id", "u")
    assert cli.json("status", "t")["state"] == "paused", "a run works on all tasks, but for one that is held"
    assert cli.json("status", "t")["children"]["total"] == 9, "planning goes on"
    assert cli.json("status", "u")["state"] == "succeeded"
    assert "task t is paused" in cli("pause", "t", "--now").stdout, "a second time it is raised"
    assert cli.json("resume", "t")["state"] == "running"
    assert "task t is running" in cli("resume", "t").stdout
    cli("run", job, "--task-id", "t")
    assert cli.json("status", "t")["children"]["succeeded"] == 9
    assert cli("why", "t").stdout == "task t has succeeded\n"
    history = cli("replay", "--task", "t").stdout
    assert "paused, running children too" in history
    assert "resumed" in history
    cli("audit", "verify")


def test_what_has_ended_is_neither_paused_nor_terminated(cli: Cli) -> None:
    cli("run", submitted(cli), "--task-id", "t")
    said = cli("pause", "t", code=2).stderr
    assert "task 't' is succeeded: only one that is planning, requested, running can be paused" in said
    assert "can be resumed" in cli("resume", "t", code=2).stderr
    assert "has ended already: succeeded; nothing was requested" in cli("terminate", "t").stderr
    assert "no task 'v'" in cli("pause", "v", code=4).stderr


def test_a_terminated_task_says_so(cli: Cli) -> None:
    submitted(cli)
    cli("pause", "t")
    assert "its children will be killed" in cli("terminate", "t", "--reason", "wrong input").stdout
    cli("run", "job.yaml", "--task-id", "t", code=1)
    status = cli.json("status", "t")
    assert (status["state"], status["reason"]) == ("cancelled", "wrong input")
    assert "killing what runs" in cli("replay", "--task", "t").stdout
    cli("audit", "verify")


def test_the_same_from_python(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted(cli)
    monkeypatch.chdir(cli.folder)
    with Client() as client:
        assert client.pause("t", now=True, reason="wait").state == "paused"
        assert client.task("t").resume().state != "paused"
        client.cancel("t", kill=True)
        with pytest.raises(NotHoldable, match="is cancelling"):
            client.pause("t")


def test_a_pause_that_was_overtaken_by_a_redrive_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted(cli)
    monkeypatch.chdir(cli.folder)
    monkeypatch.setattr(hold, "take_effect", lambda session, task, event: (task, False))
    with Client() as client, pytest.raises(NotHoldable, match="was changed by another command meanwhile"):
        client.pause("t")
