"""``schedule`` on the embedded log: written by the client itself, obeyed by the next run."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.cli import Cli

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A folder where a schedule has made tasks."""
    cli = Cli(tmp_path_factory.mktemp("made"))
    cli("run", cli.template("sleep"), "--task-id", "one", "-p", "n=1")
    cli.template("count")
    (cli.folder / "often.yaml").write_text("interval: 1s\noverlap: allow_all\ntemplate: count.yaml\nparams: {n: 2}\n")
    asked = cli.json("schedule", "create", "often.yaml")
    assert (asked["changed"], asked["status"]["state"]) == (True, "active")
    assert len(cli.lines("schedule", "list")) == 1
    cli("run", "sleep.yaml", "--task-id", "two", "-p", "n=8", "--slots", "1")
    return cli


def test_a_schedule_is_shown_and_listed(made: Cli) -> None:
    document = made.json("schedule", "show", "often")
    assert (document["state"], document["version"], document["last_outcome"]) == ("active", 1, "succeeded")
    assert document["policy"]["overlap"] == "allow_all"
    assert len(document["next"]) == 10
    assert document["counts"]["fired"] >= 2
    assert [entry["schedule_id"] for entry in made.lines("schedule", "list")] == ["often"]
    shown = made.here("schedule", "show", "often").stdout
    assert "state       active" in shown
    assert made.here("schedule", "list").stdout.splitlines()[1].startswith("often     active")


def test_its_ticks_are_listed_and_their_tasks_can_be_looked_at(made: Cli) -> None:
    ticks = made.lines("schedule", "ticks", "often")
    assert {tick["outcome"] for tick in ticks} == {"fired"}
    assert ticks[0]["task_outcome"] == "succeeded"
    status = made.json("status", ticks[0]["task_id"])
    assert (status["origin"], status["state"]) == ("schedule often", "succeeded")
    assert made.lines("schedule", "ticks", "often", "--last", "1") == ticks[-1:]
    assert made.lines("schedule", "ticks", "often", "--outcome", "missed") == []
    assert "its time came; the task succeeded" in made.here("schedule", "ticks", "often").stdout
    assert "no such times" in made.here("schedule", "ticks", "often", "--since", "2100-01-01").stderr


def test_a_backfill_is_previewed_asked_for_and_worked_off_by_the_next_run(made: Cli) -> None:
    ticks = made.lines("schedule", "ticks", "often")
    first = datetime.fromisoformat(ticks[0]["nominal"])
    stretch = ("--start", (first - timedelta(seconds=3)).isoformat(), "--end", first.isoformat())
    preview = made.lines("schedule", "backfill", "often", *stretch, "--dry-run")
    assert [line["action"] for line in preview] == ["fire"] * 3
    shown = made.here("schedule", "backfill", "often", *stretch, "--dry-run")
    assert "nothing was written; it would fire 3" in shown.stderr
    assert shown.stdout.splitlines()[1].split()[1:3] == ["fire", preview[0]["task_id"]]
    assert made.json("schedule", "show", "often")["backfill"] is None
    assert made.json("schedule", "backfill", "often", *stretch, "--max-active", "2")["backfill"]["state"] == "active"
    made("run", "sleep.yaml", "--task-id", "three", "-p", "n=8", "--slots", "1")
    document = made.json("schedule", "show", "often")["backfill"]
    assert (document["number"], document["state"]) == (1, "done")
    assert document["counts"] == {"fired": 3, "succeeded": 3}
    assert "backfill    1, done: 3 fired, 3 succeeded" in made.here("schedule", "show", "often").stdout
    found = [tick for tick in made.lines("schedule", "ticks", "often") if tick["kind"] == "backfill"]
    assert [(tick["task_id"], tick["task_outcome"]) for tick in found] == [
        (line["task_id"], "succeeded") for line in preview
    ]
    assert "is not active" in made.here("schedule", "backfill", "often", "--cancel").stdout
    told = made.here("replay", "--task", "often").stdout
    assert "backfill 1: missing times" in told
    assert "backfill 1: " + ticks[0]["nominal"][:10] in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--start: is missing"),
        (("--start", "soon"), "--start: invalid time 'soon'"),
        (("--start", "2026-11-01", "--as-of", "later"), "--as-of: 'later' is neither then nor now"),
        (("--start", "2026-11-02", "--end", "2026-11-01"), "--end: .* is not after the start"),
        (("--start", "2026-11-01", "--reprocess", "some"), "choose one of missing, failed, all"),
    ],
)
def test_a_backfill_that_cannot_be_is_refused(made: Cli, options: tuple[str, ...], message: str) -> None:
    assert re.search(message, made.here("schedule", "backfill", "often", *options, code=2).stderr)


def test_a_failed_task_is_redriven_by_the_next_run(made: Cli) -> None:
    made.template("fail")
    made("run", "fail.yaml", "--task-id", "bad", "-p", "n=2", code=1)
    assert "continues as redrive 1" in made.here("redrive", "bad", "--reason", "mended").stdout
    made("run", "fail.yaml", "--task-id", "bad", "-p", "n=2", code=1)
    document = made.json("status", "bad")
    assert (document["state"], document["redrive"]) == ("failed", 1)
    assert "redrive     1" in made.here("status", "bad").stdout
    told = made.here("replay", "--task", "bad").stdout
    assert "redrive 1 of what did not succeed, because mended" in told
    made("run", made.template("count"), "--task-id", "good", "-p", "n=1")
    assert "do it all again with --all" in made.here("redrive", "good", code=2).stderr
    assert made.here("redrive", "nobody", code=4)


def test_its_history_is_told_in_words(made: Cli) -> None:
    shown = made.here("replay", "--task", "often").stdout
    assert "ScheduleSet" in shown
    assert "made: {" in shown
    assert " fired" in shown
    first = json.loads(made.here("replay", "--task", "often", "--json").stdout.splitlines()[0])
    assert first["spec"] == {"interval": [{"every": "1s"}]}


def test_what_is_so_already_is_told_and_what_differs_is_refused(made: Cli) -> None:
    assert "exists already with the same content" in made.here("schedule", "create", "often.yaml").stdout
    assert "is not paused" in made.here("schedule", "resume", "often").stdout
    (made.folder / "other.yaml").write_text("interval: 2s\ntemplate: count.yaml\n")
    error = made.here("schedule", "create", "other.yaml", "--id", "often", code=2).stderr
    assert "other times" in error
    assert "schedule update" in error
    letters = made.folder / ".streamsched" / "mailbox"
    assert not list(letters.glob("*.letter"))


@pytest.mark.parametrize("command", ["show", "pause", "resume", "trigger", "delete", "ticks"])
def test_an_unknown_schedule_exits_4(made: Cli, command: str) -> None:
    assert "schedule list" in made.here("schedule", command, "none", code=4).stderr


def test_the_times_of_every_kind_of_file_can_be_looked_at(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (cli.folder / "own.yaml").write_text("interval: 1h\noverlap: skip\ntemplate: none.yaml\n")
    template = cli.template("count")
    template.write_text(template.read_text() + "schedule: {interval: 1h, overlap: skip}\n")
    after = ("--after", "2026-11-23T12:00:00Z", "--count", "1")
    for file in ("own.yaml", "count.yaml"):
        assert cli.here("schedule", "next", "--file", file, *after).stdout == "2026-11-23T13:00:00Z\n"
    assert cli.json("plan", "count.yaml")["children"] == 4
