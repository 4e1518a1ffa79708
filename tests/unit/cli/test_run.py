"""``run`` and the commands that look at it, over the embedded log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from streamsched import Client
from streamsched.domain.errors import NoSuchTask
from tests.support.cli import LIMIT, Cli

pytestmark = pytest.mark.slow

COUNTS = ["total", "waiting", "queued", "running", "succeeded", "failed", "cancelled"]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A folder with one task of each kind."""
    cli = Cli(tmp_path_factory.mktemp("done"))
    cli("run", cli.template("count"), "-p", "n=50", "-p", "size=10", "--task-id", "counted")
    cli("run", cli.template("fail"), "--task-id", "failed", code=1)
    cli("run", cli.template("flaky"), "--task-id", "flaky")
    return cli


def test_status_document(done: Cli) -> None:
    status = done.json("status", "counted")
    assert {"task_id", "template", "state", "submitted_at", "started_at", "finished_at"} <= status.keys()
    assert status["task_id"] == "counted"
    assert status["template"] == "count"
    assert status["state"] == "succeeded"
    assert status["params"] == {"n": 50, "size": 10}
    assert list(status["children"]) == COUNTS
    assert list(status["children"].values()) == [5, 0, 0, 0, 5, 0, 0]


def test_status_for_people(done: Cli) -> None:
    shown = done.here("status", "counted").stdout
    assert "succeeded" in shown
    assert "5 of 5 succeeded" in shown
    assert '{"n": 50, "size": 10}' in shown


def test_status_of_a_failed_task_is_0(done: Cli) -> None:
    status = done.json("status", "failed")
    assert status["state"] == "failed"
    assert "RuntimeError" in status["reason"]


@pytest.mark.parametrize("command", ["status", "children", "results", "watch", "cancel"])
def test_no_such_task_exits_4(done: Cli, command: str) -> None:
    found = done.here(command, "nope", code=4)
    assert "'nope'" in found.stderr
    assert not found.stdout or command == "children"


def test_results_stream_in_order(done: Cli) -> None:
    assert done.lines("results", "counted") == [{"child": k, "result": {"count": 10}} for k in range(5)]
    assert done.here("results", "counted").stdout.splitlines()[4] == '4\t{"count": 10}'
    assert done.here("results", "failed").stdout == ""


def test_children(done: Cli) -> None:
    children = done.lines("children", "flaky")
    assert [(child["child"], child["state"], child["attempt"]) for child in children] == [
        (k, "succeeded", 2) for k in range(4)
    ]
    assert done.lines("children", "flaky", "--state", "failed") == []
    assert "RuntimeError: as asked" in done.here("children", "failed", "--state", "failed").stdout
    done.here("children", "flaky", "--state", "asleep", code=2)


def test_list(done: Cli) -> None:
    assert [task["task_id"] for task in done.lines("list")] == ["counted", "failed", "flaky"]
    assert [task["task_id"] for task in done.lines("list", "--state", "failed")] == ["failed"]
    assert done.here("list").stdout.splitlines()[1].split()[:3] == ["counted", "count", "succeeded"]


def test_watch_of_a_task_that_is_done_ends(done: Cli) -> None:
    assert done.here("watch", "counted").stdout == "counted succeeded: 5 of 5 succeeded\n"


def test_nodes_of_an_embedded_log_under_the_old_name_too(done: Cli) -> None:
    assert done.lines("nodes") == done.lines("workers") == []


def test_output_of_handlers_is_in_the_folder(done: Cli) -> None:
    lines = (done.folder / ".streamsched" / "output.log").read_text().splitlines()
    assert sum(line.endswith(" 50") or line.split()[-1] == "50" for line in lines) == 1


def test_replay_tells_the_history_in_order(done: Cli) -> None:
    events = done.lines("replay", "--task", "counted")
    assert events[0]["event"] == "TaskRequested"
    assert events[0]["params"] == {"n": 50, "size": 10}
    assert events[-1]["event"] == "TaskSucceeded"
    assert {"topic", "partition", "offset", "timestamp", "event_id", "at", "by", "task_id"} <= events[0].keys()
    assert [event["offset"] for event in events] == sorted(event["offset"] for event in events)
    assert sorted(event["child"] for event in events if event["event"] == "ChildCompleted") == [*range(5)]
    everything = done.lines("replay")
    assert {event["task_id"] for event in everything} == {"counted", "failed", "flaky"}
    stamps = [event["timestamp"] for event in everything]
    assert stamps == sorted(stamps)
    assert "5 children" in done.here("replay", "--task", "counted").stdout


def test_replay_until(done: Cli) -> None:
    events = done.lines("replay", "--task", "counted")
    cut = events[3]["offset"]
    assert done.lines("replay", "--task", "counted", "--until", str(cut)) == events[:3]
    assert done.lines("replay", "--until", "2020-01-01") == []
    assert done.lines("replay", "--task", "counted", "--until", "2100-01-01T00:00:00Z") == events
    done.here("replay", "--task", "nope", code=4)


def test_replay_into_a_view(done: Cli, tmp_path: Path) -> None:
    from streamsched.log.codec import Codec
    from streamsched.view.view import open_view

    folder = tmp_path / "view"
    done.here("replay", "--view", folder)
    cluster = next((done.folder / ".streamsched" / "views").iterdir()).name
    view = open_view(folder, f"{cluster} streamsched.events-0", Codec())
    assert sorted(view.task_ids()) == ["counted", "failed", "flaky"]
    task = view.task("counted")
    assert task is not None
    assert task.succeeded == 5
    view.close()
    done.here("replay", "--view", folder, code=2)


def test_a_closed_pipe_is_quiet(cli: Cli) -> None:
    cli("run", cli.template("count"), "-p", "n=20000", "--task-id", "many")
    process = cli.start("results", "many")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read().splitlines()
    assert [line for line in said if not line.startswith("reading the journal")] == []
    assert process.wait(LIMIT) == 141
    process.stderr.close()


def test_run_document(cli: Cli) -> None:
    document = json.loads(cli("run", cli.template("count"), "--task-id", "a", "--json").stdout)
    assert document["state"] == "succeeded"
    assert document["seconds"] > 0
    assert document["children_per_second"] > 0
    assert Path(cli.folder / document["output"]).is_file()


def test_run_of_no_children(cli: Cli) -> None:
    assert "0 of 0 succeeded" in cli("run", cli.template("count"), "-p", "n=0").stdout


def test_the_same_id_reports_or_is_refused(cli: Cli) -> None:
    path = cli.template("count")
    cli("run", path, "--task-id", "a")
    again = cli("run", path, "--task-id", "a")
    assert "already: succeeded" in again.stderr
    assert cli.lines("children", "a") == cli.lines("children", "a")
    refused = cli("run", path, "--task-id", "a", "-p", "n=5", code=2).stderr
    assert "submitted at 20" in refused
    assert "other parameters" in refused
    assert "another template" in cli("run", cli.template("flaky"), "--task-id", "a", code=2).stderr


def test_a_killed_run_goes_on(cli: Cli) -> None:
    arguments = ("run", cli.template("sleep"), "-p", "n=12", "--slots", "2", "--task-id", "a")
    first = cli.start(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cli.until("a", lambda status: status["children"]["succeeded"] >= 2)
    busy = cli.here("run", cli.template("sleep"), "--task-id", "b", code=3)
    assert str(first.pid) in busy.stderr
    first.kill()
    first.wait(LIMIT)
    ended = {child["child"]: child for child in cli.lines("children", "a", "--state", "succeeded")}
    second = cli(*arguments)
    assert "12 of 12 succeeded" in second.stdout
    children = cli.lines("children", "a")
    assert [child["state"] for child in children] == ["succeeded"] * 12
    assert {child: entry for child, entry in enumerate(children) if child in ended} == ended
    outcomes = [event["child"] for event in cli.lines("replay", "--task", "a") if event["event"] == "ChildCompleted"]
    assert sorted(outcomes) == [*range(12)]


def test_ctrl_c_drains_and_says_how_to_go_on(cli: Cli) -> None:
    arguments = ("run", cli.template("long"), "-p", "n=2", "--slots", "2", "--task-id", "a")
    process = cli.start(*arguments)
    cli.until("a", lambda status: status["children"]["running"] == 2)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert out == ""
    assert "--task-id a" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert cli.json("status", "a")["state"] == "running"


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 0.3])
def test_ctrl_c_at_any_time_has_no_traceback(cli: Cli, delay: float) -> None:
    process = cli.start("run", cli.template("long"), "-p", "n=1")
    deadline = time.monotonic() + LIMIT
    while "streamsched" not in Path(f"/proc/{process.pid}/maps").read_text(errors="replace") and delay == 0.3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1 + delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode in (130, -signal.SIGINT) or "KeyboardInterrupt" in err
    assert "in main" not in err  # what Python says before it has come to us is its own affair


def test_cancel_while_it_runs(cli: Cli) -> None:
    process = cli.start("run", cli.template("long"), "-p", "n=3", "--slots", "2", "--task-id", "a", "--json")
    cli.until("a", lambda status: status["children"]["running"] > 0)
    assert "requested" in cli.here("cancel", "a", "--reason", "no more").stdout
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    document = json.loads(out)
    assert document["state"] == "cancelled"
    assert document["reason"] == "no more"
    assert document["children"]["cancelled"] == 3
    assert "already: cancelled" in cli.here("cancel", "a").stderr


def test_the_client_reads_while_a_run_goes_on(cli: Cli) -> None:
    process = cli.start(
        "run", cli.template("sleep"), "-p", "n=10", "--slots", "2", "--task-id", "a",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    cli.until("a", lambda status: status["state"] == "running")
    with Client(data_dir=cli.folder / ".streamsched") as client:
        with pytest.raises(TimeoutError, match=r"task 'a' is running after 0.01 s"):
            client.wait("a", timeout=0.01)
        with pytest.raises(NoSuchTask):
            client.status("b")
        status = client.wait("a")
        assert status.state == "succeeded"
        assert [child.result for child in client.results("a")] == [{"slept": pytest.approx(0.4)}] * 10
        assert [child.child for child in client.children("a", "succeeded")] == [*range(10)]
        assert [task.task_id for task in client.tasks()] == ["a"]
    assert process.wait(LIMIT) == 0


def test_a_run_serves_every_queue_and_whatever_is_needed(cli: Cli) -> None:
    path = cli.folder / "placed.yaml"
    path.write_text(
        "name: placed\nsplit: {range: {first: 1, last: 2, size: 1}}\nqueue: gpu\n"
        'child: {handler: "streamsched.examples.numbers:print_numbers", args: {first: 1, last: 2}, needs: {zone: a}}\n'
    )
    cli("run", str(path), "--task-id", "placed")
    assert cli.json("status", "placed")["state"] == "succeeded"


def test_many_readers_at_once(done: Cli) -> None:
    readers = [done.start("status", "counted", "--json") for _ in range(4)]
    for reader in readers:
        out, err = reader.communicate(timeout=LIMIT)
        assert reader.returncode == 0, err
        assert json.loads(out)["state"] == "succeeded"


def test_a_broken_letter_in_the_mailbox_is_set_aside(cli: Cli) -> None:
    mailbox = cli.folder / ".streamsched" / "mailbox"
    mailbox.mkdir(parents=True)
    (mailbox / "1-a.letter").write_bytes(os.urandom(20))
    run = cli("run", cli.template("sleep"), "-p", "n=2")
    assert "letter" in run.stderr
    assert not list(mailbox.glob("*.letter"))
