"""``audit verify`` over the embedded log: what it prints, and its exit codes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from streamsched.domain.events import TaskSucceeded
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from tests.support.cli import Cli

pytestmark = pytest.mark.slow


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def done(cli: Cli) -> Cli:
    """A folder with one task."""
    cli("run", cli.template("flaky"), "--task-id", "flaky")
    return cli


def test_a_clean_history(done: Cli) -> None:
    report = done.json("audit", "verify")
    assert report["violations"] == []
    assert (report["total"], report["tasks"], report["ended"]) == (0, 1, 1)
    events = report["events"]
    assert events == len(done.lines("replay"))
    assert done.here("audit", "verify").stdout == f"{events} events of 1 task: no violation\n"
    assert done.here("audit", "verify", "--task", "flaky").stdout == f"{events} events of 1 task: no violation\n"
    assert done.here("audit", "verify", "--until", "1").stdout == "1 events of 1 task: no violation\n"
    assert done.here("audit", "verify", "--until", "2020-01-01").stdout == "0 events of 0 tasks: no violation\n"


def test_a_violation_exits_1_and_is_one_line(done: Cli) -> None:
    settings = Settings(data_dir=done.folder / ".streamsched")
    (end,) = [event for event in done.lines("replay") if event["event"] == "TaskSucceeded"]
    with closing(Installation(settings, write=True)) as site:
        site.discover()
        again = TaskSucceeded(b"-forger-" * 2, 1, "forger", "flaky", 0, "", end["basis"])
        (first, second) = site.log.append(
            [site.records.journal(event, "flaky") for event in (again, replace(again, event_id=b"-forger-0000000b"))]
        )
    place = f"streamsched.events-{end['partition']}"
    shown = done.here("audit", "verify", code=1).stdout.splitlines()
    assert shown[:2] == [
        f"invariant 5 at {place}-{offset}: task flaky: expected nothing after its terminal event; found TaskSucceeded"
        for offset in (first, second)
    ]
    assert shown[2].endswith("of 1 task: 2 violations")
    report = done.json("audit", "verify", code=1)
    assert report["total"] == 2
    assert report["violations"][0] == {
        "invariant": 5, "task_id": "flaky", "child": None, "place": f"{place}-{first}",
        "expected": "nothing after its terminal event", "found": "TaskSucceeded",
    }  # fmt: skip
    assert done.json("audit", "verify", "--until", str(first))["total"] == 0


def test_what_is_not_there(done: Cli) -> None:
    assert "no task 'none'" in done.here("audit", "verify", "--task", "none", code=4).stderr
    assert "nothing with prefix 'other'" in done.here("audit", "verify", "--prefix", "other", code=3).stderr
    assert "holds no view" in done.here("audit", "verify", "--view", "none", code=2).stderr


def test_a_view_is_held_against_the_fold(done: Cli) -> None:
    done.here("replay", "--view", "rebuilt")
    shown = done.here("audit", "verify", "--view", "rebuilt").stdout.splitlines()
    assert [line.endswith("of 1 task: no violation") for line in shown] == [True, True]
    assert shown[1].startswith("view rebuilt: ")
    assert done.json("audit", "verify", "--view", "rebuilt")["view"]["total"] == 0
    own = next((done.folder / ".streamsched" / "views").glob("*/streamsched/scheduler-0"))
    assert done.json("audit", "verify", "--view", str(own))["view"]["total"] == 0
    (done.folder / "other").mkdir()
    done("run", done.template("count"), "--data-dir", "other/data")
    assert (
        "not a view of this journal"
        in done.here("audit", "verify", "--view", str(own), "--data-dir", "other/data", code=2).stderr
    )


def test_a_log_that_is_being_written(cli: Cli) -> None:
    process = cli.start("run", cli.template("sleep"), "-p", "n=6", "--slots", "1", "--task-id", "busy")
    try:
        cli.until("busy", lambda status: status["children"]["succeeded"] >= 1)
        looks = [cli.json("audit", "verify") for _ in range(3)]
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert all(not report["violations"] for report in looks)
    assert looks[0]["tasks"] == 1
    assert not cli.json("audit", "verify")["violations"]
