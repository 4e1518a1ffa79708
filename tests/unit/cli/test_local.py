"""One machine: the embedded log takes what is asked of it, with a process that works on it and without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamsched import Client, LogUnreachable, NoSuchTask, TaskConflict
from streamsched.installation import writing
from streamsched.installation.mailbox import Mailbox
from tests.support.cli import LIMIT, Cli

pytestmark = pytest.mark.slow

NOBODY = "no process works on the embedded log in .streamsched: start 'streamsched up'"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@contextmanager
def up(cli: Cli, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Have ``up`` work in the folder; it is ended by SIGTERM, with exit code 0."""
    process = cli.start("up", "--slots", "2", *arguments, stdout=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        assert f"up, process {process.pid}: 2 slots on the embedded log in .streamsched" in process.stderr.readline()
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=LIMIT)
            assert (process.returncode, said) == (0, "")
    finally:
        process.kill()
        process.communicate()


def schedule(cli: Cli, text: str = "interval: 1h\n") -> Path:
    cli.template("count")
    path = cli.folder / "hourly.yaml"
    path.write_text(f"{text}template: count.yaml\n")
    return path


def test_run_fails_what_it_cannot_import_and_leaves_other_tasks_to_whoever_can(cli: Cli) -> None:
    path = cli.template("count")
    (cli.folder / "lost.yaml").write_text(path.read_text().replace("streamsched.examples.numbers:", "nowhere:"))
    cli.here("submit", "lost.yaml", "--task-id", "other")
    done = cli.here("run", "lost.yaml", "--task-id", "mine", code=1)
    assert "importing nowhere failed: ModuleNotFoundError" in done.stdout
    assert cli.json("status", "mine")["state"] == "failed"
    cli.here("run", path, "--task-id", "third")
    assert cli.json("status", "other")["state"] == "running"
    assert {child["attempt"] for child in cli.lines("children", "other")} <= {0, 1}


def test_up_says_what_it_may_not_run_and_what_it_cannot_import(cli: Cli) -> None:
    path = cli.template("count")
    (cli.folder / "lost.yaml").write_text(path.read_text().replace("streamsched.examples.numbers:", "nowhere:"))
    with up(cli, "--allow", "nowhere", "--log-level", "error"):
        cli.here("submit", path, "--task-id", "a")
        cli.here("submit", "lost.yaml", "--task-id", "b")
        cli.until("a", lambda status: "streamsched up --allow streamsched.examples.numbers" in status["why"])
        cli.until("b", lambda status: "importing nowhere failed" in status["why"])
        (cli.folder / "nowhere.py").write_text("def print_numbers(ctx, first, last): return 1")
        cli.until("b", lambda status: status["state"] == "succeeded")


def test_a_submit_makes_the_log_and_is_worked_off_later(cli: Cli) -> None:
    path = cli.template("count")
    done = cli.here("submit", path, "--task-id", "a")
    assert (done.stdout, done.stderr) == ("a\n", f"{NOBODY}\n")
    again = cli.here("submit", path, "--task-id", "a")
    assert (again.stdout, again.stderr) == ("a\n", f"exists already: requested, 0 of 0 succeeded\n{NOBODY}\n")
    assert "other parameters" in cli.here("submit", path, "--task-id", "a", "-p", "n=5", code=2).stderr
    assert cli.json("submit", path, "--task-id", "b", "--priority", "3")["first"]
    status = cli.json("status", "a")
    assert (status["state"], status["why"], cli.json("status", "b")["priority"]) == ("requested", NOBODY, 3)
    assert f"why         {NOBODY}" in cli.here("status", "a").stdout
    assert cli.json("why", "a")["cause"] == "nodes"
    where, _, start = NOBODY.partition(": ")
    assert cli.here("why", "a").stdout == f"task a is requested: {where}\nwhat would change it: {start}\n"
    assert "has no child '0'; its children are none yet" in cli.here("why", "a", "0", code=2).stderr
    cli.here("why", "nothing", code=4)
    with up(cli):
        cli.until("a", lambda status: status["state"] == "succeeded")
        cli.until("b", lambda status: status["state"] == "succeeded")
    assert cli.json("status", "a")["why"] == ""
    assert cli("audit", "verify").returncode == 0


def test_a_schedule_is_made_changed_and_ended_on_a_fresh_folder(cli: Cli) -> None:
    done = cli.here("schedule", "create", schedule(cli))
    assert done.stdout.startswith("schedule hourly created; next at ")
    assert done.stderr == f"{NOBODY}\n"
    assert "exists already" in cli.here("schedule", "create", "hourly.yaml").stdout
    assert cli.here("schedule", "pause", "hourly").stdout == "schedule hourly paused\n"
    assert cli.here("schedule", "resume", "hourly").stdout.startswith("schedule hourly resumed; next at ")
    schedule(cli, "interval: 2h\n")
    assert cli.here("schedule", "update", "hourly.yaml").stdout.startswith("schedule hourly updated")
    task_id = cli.here("schedule", "trigger", "hourly").stdout.strip()
    assert task_id.startswith("hourly@")
    stretch = ("--start", "2026-01-01", "--end", "2026-01-02")
    assert "backfill 1 of schedule hourly is requested" in cli.here("schedule", "backfill", "hourly", *stretch).stdout
    with up(cli):
        cli.until(task_id, lambda status: status["state"] == "succeeded")
        cli.here("schedule", "backfill", "hourly", "--cancel")
        assert cli.here("schedule", "delete", "hourly").stdout == "schedule hourly deleted\n"
    assert cli.json("schedule", "show", "hourly")["state"] == "deleted"


def test_everything_is_asked_of_the_process_that_has_the_log(cli: Cli) -> None:
    with up(cli) as process:
        done = cli.here("submit", cli.template("count"), "--task-id", "a", "--wait")
        assert (done.stdout, NOBODY in done.stderr) == ("a succeeded: 4 of 4 succeeded\n", False)
        cli.here("submit", cli.template("long"), "--task-id", "b", "-p", "n=1")
        cli.until("b", lambda status: status["children"]["running"] == 1)
        assert cli.json("status", "b")["why"] == ""
        assert cli.here("cancel", "b").stdout == "task b: cancellation was requested\n"
        cli.until("b", lambda status: status["state"] == "cancelled")
        assert "continues as redrive 1" in cli.here("redrive", "b").stdout
        cli.here("cancel", "b")
        cli.until("b", lambda status: status["state"] == "cancelled")
        assert cli.here("schedule", "create", schedule(cli)).stderr == ""
        task_id = cli.json("schedule", "trigger", "hourly")["task_id"]
        cli.until(task_id, lambda status: status["state"] == "succeeded")
        assert [beat["name"] for beat in cli.lines("nodes")] == ["up", "up"]
        for command in (["up"], ["run", "count.yaml"]):
            refused = cli.here(*command, code=3)
            assert f"process {process.pid} ('streamsched up')" in refused.stderr
            assert "--data-dir" in refused.stderr
    assert cli.lines("nodes") == []


def test_redrive_waits_and_tells_the_end_by_its_exit_code(cli: Cli) -> None:
    cli("run", cli.template("fail"), "--task-id", "bad", "-p", "n=2", code=1)
    cli("run", cli.template("count"), "--task-id", "good", "-p", "n=2")
    with up(cli):
        failed = cli.here("redrive", "bad", "--wait", code=1)
        assert failed.stdout.startswith("bad failed: 0 of 2 succeeded, ")
        assert cli.here("redrive", "good", "--all", "--wait").stdout == "good succeeded: 2 of 2 succeeded\n"
        document = cli.json("redrive", "good", "--all", "--wait")["status"]
        assert (document["state"], document["redrive"]) == ("succeeded", 2)
        assert cli.json("redrive", "bad", "--wait", code=1)["status"]["state"] == "failed"


def test_who_waits_is_told_that_nothing_works(cli: Cli) -> None:
    waiting = cli.start("submit", cli.template("count"), "--task-id", "a", "--wait")
    assert waiting.stderr is not None
    while NOBODY not in (line := waiting.stderr.readline()):
        assert line
    with up(cli):
        out, _ = waiting.communicate(timeout=LIMIT)
    assert (out, waiting.returncode) == ("a succeeded: 4 of 4 succeeded\n", 0)


def test_schedules_fire_under_up(cli: Cli) -> None:
    with up(cli):
        cli.here("schedule", "create", schedule(cli, "interval: 1s\noverlap: allow_all\n"))
        deadline = time.monotonic() + LIMIT
        while cli.json("schedule", "show", "hourly")["counts"].get("fired", 0) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert cli("audit", "verify").returncode == 0


def test_many_submits_at_once_make_one_log_and_one_task_of_an_id(cli: Cli) -> None:
    path = cli.template("count")
    ids = ["same", "same", "same", "a", "b", "c"]
    submits = [cli.start("submit", path, "--task-id", task_id, "--json") for task_id in ids]
    told = [json.loads(each.communicate(timeout=LIMIT)[0]) for each in submits]
    assert [each.returncode for each in submits] == [0] * len(ids)
    assert sorted(document["task_id"] for document in told if document["first"]) == ["a", "b", "c", "same"]
    assert sorted(task["task_id"] for task in cli.lines("list")) == ["a", "b", "c", "same"]


def test_what_a_frozen_process_does_not_take_is_withdrawn(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PATIENCE_S", 0.5)
    cli.template("count")
    with up(cli) as process:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            refused = cli.here("submit", "count.yaml", "--task-id", "a", code=3)
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert "nothing was written" in refused.stderr
        assert f"process {process.pid}" in refused.stderr
        cli.here("submit", "count.yaml", "--task-id", "b", "--wait")
        cli.here("status", "a", code=4)


def test_a_run_waits_for_clients_that_write_and_tells_its_priority(cli: Cli) -> None:
    from contextlib import closing

    from streamsched.installation.settings import Settings
    from streamsched.installation.site import Installation

    path = cli.template("count")
    with closing(Installation(Settings(data_dir=cli.folder / ".streamsched"), write=True)):
        run = cli.start("run", path, "--task-id", "a", "--priority", "7")
        with pytest.raises(subprocess.TimeoutExpired):
            run.communicate(timeout=1)
    run.communicate(timeout=LIMIT)
    assert run.returncode == 0
    assert cli.json("status", "a")["priority"] == 7
    assert "priority    7" in cli.here("status", "a").stdout


def test_the_client_writes_to_the_embedded_log(cli: Cli) -> None:
    path = cli.template("count")
    folder = cli.folder / "fresh"
    with Client(data_dir=folder) as client:
        with pytest.raises(LogUnreachable, match="there is no log in"):
            client.status("a")
        assert not folder.exists()
        assert client.submit(path, task_id="a").first
        assert not client.submit(path, task_id="a").first
        with pytest.raises(TaskConflict, match="other parameters"):
            client.submit(path, {"n": 5}, task_id="a")
        assert client.status("a").state == "requested"
        assert client.missing().endswith("start 'streamsched up'")
        with pytest.raises(TimeoutError, match="task 'a' is requested after 0 s"):
            client.wait("a", timeout=0)
        client.cancel("a", "no more")
        with pytest.raises(NoSuchTask):
            client.wait("b", timeout=0)


def test_a_folder_that_takes_no_request_is_named(cli: Cli) -> None:
    path = cli.template("count")
    cli.here("submit", path, "--task-id", "a")
    mailbox = cli.folder / ".streamsched" / "mailbox"
    mailbox.rmdir()
    mailbox.write_text("in the way")
    refused = cli.here("submit", path, "--task-id", "b", code=3).stderr
    assert "nothing was written" in refused
    assert "mailbox takes no file (File exists)" in refused
    assert NOBODY in cli.here("nodes").stderr


def test_an_interrupted_submit_takes_its_request_back(cli: Cli) -> None:
    cli.template("count")
    with up(cli) as process:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            submit = cli.start("submit", "count.yaml", "--task-id", "a")
            mailbox = cli.folder / ".streamsched" / "mailbox"
            deadline = time.monotonic() + LIMIT
            while not list(mailbox.glob("*.letter")):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            submit.send_signal(signal.SIGINT)
            submit.communicate(timeout=LIMIT)
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert submit.returncode == 130
        cli.here("submit", "count.yaml", "--task-id", "b", "--wait")
        cli.here("status", "a", code=4)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"", b"\xc1", b"\x93\x01\x02\x03", b"\x96\xa1t\xa10\xc0\xc0\x90\xc2", b"\x96\xa1u\x00\xc0\xc0\x90\xc2",
        b"\x96\xa1t\x07\xc0\xc0\x90\xc2", b"\x96\xa1t\x00\xc0\xc6\x7f\xff\xff\xff", os.urandom(4_000_000),
    ],
    ids=["empty", "reserved", "short", "partition", "topic", "no such partition", "cut", "large"],
)  # fmt: skip
def test_a_request_that_is_none_is_set_aside(rubbish: bytes, tmp_path: Path) -> None:
    from streamsched.log.memory import MemoryCluster
    from streamsched.log.port import TopicPartition, TopicSpec

    log = MemoryCluster().connect()
    log.create_topics([TopicSpec("t", 1, {})])
    (tmp_path / "mailbox").mkdir()
    (tmp_path / "mailbox" / "1.letter").write_bytes(rubbish)
    Mailbox(tmp_path).empty(log)
    assert log.end([TopicPartition("t", 0)]) == {TopicPartition("t", 0): 0}
    assert [path.name for path in (tmp_path / "mailbox").iterdir()] == ["1.broken"]


def test_requests_are_appended_in_the_order_of_their_writing(tmp_path: Path) -> None:
    from streamsched.log.memory import MemoryCluster
    from streamsched.log.port import Append, TopicPartition, TopicSpec

    log = MemoryCluster().connect()
    log.create_topics([TopicSpec("t", 1, {})])
    mailbox = Mailbox(tmp_path)
    requests = [mailbox.put(Append("t", 0, None, b"%d" % number)) for number in range(12)]
    wrong = mailbox.put(Append("u", 0, None, b"no such topic"))
    assert requests[3].withdraw()
    taken = requests[5]._path
    taken.rename(taken.with_suffix(".taken"))  # its reader died over it
    assert all(request.waits for number, request in enumerate(requests) if number != 3)
    mailbox.empty(log)
    assert not any(request.waits for request in [*requests, wrong])
    assert (wrong.refused, requests[0].refused, requests[0].withdraw()) == (True, False, False)
    reader = log.reader()
    reader.assign({TopicPartition("t", 0): 0})
    assert [record.value for record in reader.poll(100, 0)] == [b"%d" % n for n in range(12) if n != 3]


def test_up_runs_what_it_is_told_to_allow(cli: Cli) -> None:
    cli.here("submit", cli.template("count"), "--task-id", "a")
    with up(cli, "--allow", "somewhere.else"):
        waits = "no worker allows module streamsched.examples.numbers: start one with 'streamsched up --allow "
        cli.until("a", lambda status: status["why"].startswith(waits))
    with up(cli, "--allow", "somewhere.else", "--allow", "streamsched.examples.*"):
        cli.until("a", lambda status: status["state"] == "succeeded")
    assert "--allow" in cli.here("up", "--allow", "*", code=2).stderr


def test_beats_are_kept_for_a_while_only(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamsched.commands.request import want
    from streamsched.hosting import run
    from streamsched.installation.settings import Settings
    from streamsched.installation.site import Installation
    from streamsched.log.port import TopicPartition

    monkeypatch.setattr(run, "BEATS_KEPT_MS", 500)
    monkeypatch.setattr(run, "TRIM_EVERY_S", 0.1)
    settings = Settings(data_dir=cli.folder / ".streamsched")
    working = run.Run(settings, slots=1)
    try:
        task = working.submit(want(cli.template("sleep"), {"n": 6}))
        assert working.until_done(task.task_id, lambda status: None).state == "succeeded"
    finally:
        working.close()
    place = TopicPartition("streamsched.workers", 0)
    site = Installation(settings)
    kept = site.log.end([place])[place] - site.log.start([place])[place]
    assert 0 < kept < site.log.end([place])[place]
    site.close()
    cli.json("status", task.task_id)
    assert cli.lines("nodes") == []
