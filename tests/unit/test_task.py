"""Tasks from Python: the handle that a submit returns, and many submits at once, also to the embedded log."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import streamsched
from streamsched import Client, InputError, NoSuchTask, NotRedrivable, Task, TaskConflict
from streamsched.commands import request
from streamsched.installation.mailbox import Mailbox
from streamsched.installation.site import Installation
from streamsched.log.port import LogError
from streamsched.testing.site import MemoryClient
from tests.support.cli import LIMIT, TEMPLATES, Cli
from tests.support.clients import Disk, Site, session_of
from tests.support.mini_cluster import MiniCluster

TOTAL: dict[str, Any] = {
    "name": "numbers",
    "params": {"n": {"type": "integer", "default": 4}},
    "split": {"range": {"first": 1, "last": "${n}", "size": 1}},
    "child": {"handler": TEMPLATES["count"][0], "args": {"first": "${child.first}", "last": "${child.last}"}},
}


def many(*ids: str | None, n: int = 4) -> list[request.Wanted]:
    return [streamsched.request(TOTAL, {"n": n}, task_id=task_id) for task_id in ids]


@contextmanager
def up(folder: Path) -> Iterator[None]:
    cli = Cli(folder)
    process = cli.start("up", "--slots", "2", "--data-dir", str(folder), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT)


@pytest.fixture
def mini() -> MiniCluster:
    return MiniCluster()


@pytest.fixture
def client(mini: MiniCluster) -> Client:
    return MemoryClient(Site(mini.cluster.connect("user"), mini.topics, mini.codec, mini.me, Disk()))


def appended(mini: MiniCluster) -> int:
    places = mini.topics.journal()
    return sum(mini.log.end(places)[place] - mini.log.start(places)[place] for place in places)


def test_many_are_appended_together(mini: MiniCluster, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = appended(mini)
    log = session_of(client).site.log
    with mock.patch.object(log, "append", wraps=log.append) as append:
        tasks = client.submit_many(many(*[None] * 30, "a", "b", "a"))
        assert append.call_count == 1
        assert appended(mini) == before + 33
        assert [task.first for task in tasks] == [True] * 32 + [False]
        assert len({task.task_id for task in tasks}) == 32
        monkeypatch.setattr(request, "APPENDED_TOGETHER", 2)
        again = client.submit_many(many("b", "c", "a", None, "d"))
        assert append.call_count == 4
    assert [task.first for task in again] == [False, True, False, True, True]
    assert client.submit_many([]) == []
    mini.turn()
    assert {mini.phase(task.task_id) for task in (*tasks, *again)} == {"succeeded"}


def test_of_many_one_that_conflicts_is_named_and_the_others_are_there(mini: MiniCluster, client: Client) -> None:
    client.submit_many(many("a", "b"))
    with pytest.raises(TaskConflict, match=r"task id 'b' is taken.*with other parameters"):
        client.submit_many([*many("a"), *many("b", "c", n=5)])
    mini.turn()
    assert [mini.phase(task_id) for task_id in "abc"] == ["succeeded"] * 3


def test_a_wrong_one_of_many_is_refused_before_anything_is_written(mini: MiniCluster, client: Client) -> None:
    before = appended(mini)
    with pytest.raises(InputError, match="invalid task id"):
        client.submit_many(many("a", "b/c"))
    with pytest.raises(InputError, match="variable n"):
        client.submit_many(streamsched.request(TOTAL, {"n": n}) for n in (1, "x"))
    assert appended(mini) == before


def test_a_handle_tells_of_its_task(mini: MiniCluster, client: Client) -> None:
    task = client.submit(TOTAL, {"n": 3}, task_id="a")
    assert (task.task_id, task.first, repr(task)) == ("a", True, "Task('a')")
    with pytest.raises(TimeoutError, match="is requested after 0 s"):
        task.wait(0)
    mini.turn()
    assert task.wait() == task.wait(0) == client.wait("a")
    assert task.status().state == "succeeded"
    assert [child.result for child in task.results()] == [1, 1, 1]
    assert list(task.children("failed")) == []
    with pytest.raises(streamsched.NoResult):
        task.result()
    with pytest.raises(NotRedrivable):
        task.redrive()
    assert task.redrive(everything=True).status.redrive == 1
    task.cancel()
    mini.turn()
    assert client.task("a").status().state == "cancelled"
    with pytest.raises(NoSuchTask):
        client.task("nope").status()
    assert not client.submit(TOTAL, {"n": 3}, task_id="a").first


def test_a_wait_that_is_over_says_what_is_missing(tmp_path: Path) -> None:
    with Client(data_dir=tmp_path) as client:
        task = client.submit(TOTAL, task_id="a")
        with pytest.raises(TimeoutError, match=r"^task 'a' is requested after 0\.2 s: no process .* 'streamsched up'"):
            task.wait(0.2)


def test_times_are_given_as_datetimes_too(tmp_path: Path) -> None:
    with Client(data_dir=tmp_path) as client:
        first = client.submit(TOTAL).status().submitted_at
        assert len(list(client.history(until_time=first + timedelta(days=1)))) == 1
        assert list(client.history(until_time=first)) == []
        assert list(client.dead_letters(since=first)) == []
        with pytest.raises(InputError, match="has no zone"):
            client.dead_letters(since=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_task_closes_the_client_that_is_its_own_once(tmp_path: Path) -> None:
    closed: list[str] = []
    with Client(data_dir=tmp_path) as client:
        with client.submit(TOTAL).owning(lambda: closed.append("left")):
            pass
        task = client.submit(TOTAL).owning(lambda: closed.append("forgotten"))
        task.close()
        task.close()
        del task
        kept = client.submit(TOTAL).owning(lambda: closed.append("collected"))
        del kept
        gc.collect()
        client.submit(TOTAL).close()
        assert closed == ["left", "forgotten", "collected"]
        assert len(client.tasks()) == 4


def test_a_fresh_folder_takes_many_in_one_request(tmp_path: Path) -> None:
    with Client(data_dir=tmp_path / "new") as client, mock.patch.object(Mailbox, "put", autospec=True) as put:
        put.side_effect = lambda self, *records: original(self, *records)
        tasks = client.submit_many(many("a", None, "b", "a"))
        assert [len(call.args) - 1 for call in put.call_args_list] == [4]
        assert [task.first for task in tasks] == [True, True, True, False]
        assert {status.state for status in client.tasks()} == {"requested"}
        large = [{**TOTAL, "params": {"n": {"type": "integer", "description": "x" * 900_000}}}] * 5
        client.submit_many(streamsched.request(each, {"n": number}) for number, each in enumerate(large))
        assert [len(call.args) - 1 for call in put.call_args_list] == [4, 2, 2, 1]
        assert len(client.tasks()) == 8


original = Mailbox.put


def test_a_folder_whose_process_does_not_answer_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamsched.installation import writing

    monkeypatch.setattr(writing, "PATIENCE_S", 0.2)
    with Client(data_dir=tmp_path) as client:
        client.submit(TOTAL, task_id="a")
        client.status("a")
        writer = Installation(session_of(client).settings, write=True)
        try:
            with pytest.raises(LogError, match="nothing was written, the request was not answered"):
                client.submit_many(many("b", "c"))
            assert not list((tmp_path / "mailbox").iterdir())
        finally:
            writer.close()
        with pytest.raises(NoSuchTask):
            client.status("b")


@pytest.mark.slow
def test_it_submits_beside_a_running_up(tmp_path: Path) -> None:
    with up(tmp_path), Client(data_dir=tmp_path) as client:
        tasks = client.submit_many(many("a", *[None] * 20))
        assert {task.wait(LIMIT).state for task in tasks} == {"succeeded"}
        assert [child.result for child in tasks[0].results()] == [{"count": 1}] * 4
        assert isinstance(client.submit(TOTAL, task_id="a"), Task)
