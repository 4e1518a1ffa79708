"""``certify`` over the embedded log: what it prints, and its exit codes."""

from __future__ import annotations

import json
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from streamsched.domain.events import TaskSucceeded
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from tests.support.cli import Cli

pytestmark = pytest.mark.slow


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_a_task_that_has_ended(cli: Cli) -> None:
    template = cli.template("flaky")
    cli("run", template, "--task-id", "first")
    cli("run", template, "--task-id", "second")
    first, second = cli.json("certify", "first"), cli.json("certify", "second")
    assert (first["holds"], first["state"], first["audit"]["total"]) == (True, "succeeded", 0)
    assert first["digest"] == second["digest"]
    content = first["content"]
    assert (content["children"], content["succeeded"], content["failed"], content["cancelled"]) == (4, 4, 0, 0)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert first["digest"] == sha256(text.encode()).hexdigest()
    assert content["template"].startswith(cli.json("status", "first")["template_version"])
    assert first["position"] > 0
    shown = dict(line.split(maxsplit=1) for line in cli.here("certify", "first").stdout.splitlines())
    assert (shown["task"], shown["digest"], shown["results"]) == ("first", first["digest"], content["results"])
    assert shown["children"] == "4: 4 succeeded, 0 failed, 0 cancelled"
    assert shown["audit"] == f"{first['audit']['events']} events of 1 task: no violation"
    cli.here("redrive", "first", "--all")
    assert "only a task that has ended" in cli.here("certify", "first", code=2).stderr
    cli("run", template, "--task-id", "first")
    again = cli.json("certify", "first")
    assert (again["digest"], again["holds"]) == (first["digest"], True)
    assert again["audit"]["events"] > first["audit"]["events"]


def test_a_task_that_failed(cli: Cli) -> None:
    cli("run", cli.template("fail"), "--task-id", "fail", code=1)
    found = cli.json("certify", "fail")
    assert (found["holds"], found["state"]) == (True, "failed")
    assert found["content"]["failed"] >= 1


def test_what_does_not_hold_exits_1(cli: Cli) -> None:
    cli("run", cli.template("count"), "--task-id", "count")
    (end,) = [event for event in cli.lines("replay") if event["event"] == "TaskSucceeded"]
    with closing(Installation(Settings(data_dir=cli.folder / ".streamsched"), write=True)) as site:
        site.discover()
        again = TaskSucceeded(b"-forger-" * 2, 1, "forger", "count", 0, "", end["basis"])
        site.log.append([site.records.journal(again, "count")])
    found = cli.json("certify", "count", code=1)
    assert (found["holds"], found["audit"]["total"]) == (False, 1)
    assert found["audit"]["violations"][0]["invariant"] == 5
    shown = cli.here("certify", "count", code=1).stdout
    assert "found TaskSucceeded" in shown
    assert "1 violation" in shown.splitlines()[-1]


def test_what_cannot_be_certified(cli: Cli) -> None:
    cli.here("submit", cli.template("count"), "--task-id", "waits")
    assert "task 'waits' is requested: only a task that has ended" in cli.here("certify", "waits", code=2).stderr
    assert "no task 'none'" in cli.here("certify", "none", code=4).stderr
    cli.here("cancel", "waits")
    cli("run", cli.template("count"), "--task-id", "other")
    assert "task 'waits' was cancelled before it was planned" in cli.here("certify", "waits", code=2).stderr
