"""A client is told the same, and does the same, with the log itself and through a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec import structs

from streamsched import AsyncClient, job
from streamsched.audit.document import entry
from streamsched.client import Client
from streamsched.commands.backfills import WantedBackfill
from streamsched.commands.hold import NotHoldable
from streamsched.commands.limits import NotChangeable
from streamsched.commands.redrive import NotRedrivable
from streamsched.commands.request import TaskConflict, want
from streamsched.commands.schedules import ScheduleConflict
from streamsched.domain.errors import InputError, NoResult, NoSuchSchedule, NoSuchTask, StreamschedError
from streamsched.domain.events import DeadLetter
from streamsched.domain.selector import SelectorError
from streamsched.hosting.run import run
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.installation.way import NeedsLog
from streamsched.queries.certificate import NotCertifiable
from streamsched.split import ranges
from tests.support.cli import template
from tests.support.http_server import COUNT, furnish, serving


@job(split=ranges(1, "${n}", size=1))
def doubled(first: int, last: int, n: int = 2) -> int:
    """Double."""
    return 2 * first


Look = Callable[[Client], Any]


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """Have a client of each way, of one log in which things have happened."""
    folder = tmp_path_factory.mktemp("ways")
    furnish(folder, folder / "log", 30)
    set_aside(folder / "log")
    with (
        serving(folder / "log") as http,
        Client(data_dir=folder / "log") as mine,
        Client(url=f"http://127.0.0.1:{http.port}/") as theirs,
    ):
        theirs.trigger_schedule("hourly")  # and it reads what it has written
        theirs.pause_schedule("hourly", "the store is moved")
        yield mine, theirs


def set_aside(log: Path) -> None:
    """Have dead letters: of a record that is there, of one that is gone, and of one without a key and value."""
    with closing(Installation(Settings(data_dir=log), write=True)) as site:
        home, me = site.topics.journal_of("good"), site.identity("me")
        letters: list[tuple[int, bytes | None, bytes | None]] = [
            (0, b"k\xff", b"rubbish \x00"),
            (9_999, b"", b"x"),
            (1, None, None),
        ]
        for offset, key, value in letters:
            letter = me.sign(
                DeadLetter,
                topic=home.topic,
                partition=home.partition,
                offset=offset,
                reason="no event",
                key=key,
                value=value,
            )
            site.log.append([site.records.dead_letter(letter, key)])


LAST_DAY = WantedBackfill(start=1_790_000_000_000, end=1_790_086_400_000, reprocess="failed")
LOOKS: dict[str, Look] = {
    "status": lambda it: [it.status(name) for name in ("good", "bad", "idle")],
    "children": lambda it: list(it.children("bad")),
    "children of a state": lambda it: list(it.children("good", "succeeded", where="index=2..4")),
    "a child": lambda it: [it.child("bad", child) for child in (0, "02")],
    "arguments": lambda it: it.arguments("good", 29),
    "attempts": lambda it: list(it.attempts("bad", 2)),
    "results": lambda it: list(it.results("good")),
    "failures": lambda it: it.failures("bad"),
    "why": lambda it: it.why("idle"),
    "why a child": lambda it: it.why("bad", 1),
    "missing": lambda it: it.missing(),
    "halted": lambda it: it.halted("good"),
    "all": lambda it: it.tasks(),
    "task ids": lambda it: it.task_ids(),
    "list": lambda it: it.list(state="failed").items,
    "list by label": lambda it: it.list(labels={"team": "data"}, since=datetime(2020, 1, 1, tzinfo=UTC)).items,
    "nodes": lambda it: it.nodes(),
    "scaling": lambda it: (it.scaling(600.0), it.scaling(queue="")),
    "report": lambda it: [structs.replace(it.report(name), at=0) for name in ("good", "bad", "idle")],
    "certificate": lambda it: [it.certify(name) for name in ("good", "bad")],
    "schedule": lambda it: it.schedule("hourly"),
    "schedules": lambda it: it.schedules(),
    "ticks": lambda it: list(it.ticks("hourly", last=3)),
    "follow": lambda it: list(it.follow("good")),
    "wait": lambda it: it.wait("bad", 5.0),
    "history": lambda it: [entry(*each) for each in it.history("bad")],
    "history of everything": lambda it: [entry(*each) for each in it.history()],
    "history of a time": lambda it: [
        entry(*each) for each in it.history("bad", until_time=it.status("bad").started_at)
    ],
    "history up to a position": lambda it: [entry(*each) for each in it.history("good", until_position=3)],
    "history of a schedule": lambda it: [entry(*each) for each in it.history("hourly")],
    "dead letters": lambda it: list(it.dead_letters(topic="events")),
    "a dead letter": lambda it: [it.dead_letter(number) for number in (0, 1, 2)],
    "backfill": lambda it: list(it.preview_backfill("hourly", LAST_DAY)),
    "backfill backwards": lambda it: list(it.preview_backfill("hourly", replace(LAST_DAY, newest_first=True))),
    "preview": lambda it: it.task("bad").preview_redrive(where="index=0|2"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_told_is_the_same(ways: tuple[Client, Client], name: str) -> None:
    mine, theirs = ways
    before, told, after = (shown(LOOKS[name](client)) for client in (mine, theirs, mine))
    assert told in (before, after)  # the next times of a schedule change with the hour


def shown(found: Any) -> Any:
    """Return what ``--json`` prints, without what changes with the time, or was just written in vain."""
    if isinstance(found, list | tuple) and not hasattr(found, "document"):
        return [shown(each) for each in found]
    document = found.document() if hasattr(found, "document") else found
    if isinstance(document, dict):
        document = {key: value for key, value in document.items() if key not in ("eta", "void")}
    return json.loads(json.dumps(document))


REFUSALS: dict[str, tuple[Look, type[StreamschedError]]] = {
    "no task": (lambda it: it.status("nobody"), NoSuchTask),
    "no id": (lambda it: it.status("a/b"), NoSuchTask),
    "no schedule": (lambda it: it.schedule("nobody"), NoSuchSchedule),
    "no reduce": (lambda it: it.result("good"), NoResult),
    "runs, to certify": (lambda it: it.certify("idle"), NotCertifiable),
    "no record to set aside": (lambda it: it.set_aside(0, 1 << 40, "why"), InputError),
    "no topic to set aside of": (lambda it: it.set_aside(0, 0, "why", topic="workers"), InputError),
    "no partition to set aside of": (lambda it: it.set_aside(999, 0, "why", topic="work-log"), InputError),
    "an event, to set aside": (lambda it: it.set_aside(*place_of(it, "good"), "why"), InputError),
    "a child": (lambda it: it.why("good", 99), InputError),
    "a child itself": (lambda it: it.child("good", 99), InputError),
    "what names no child": (lambda it: it.arguments("good", "1/2"), InputError),
    "attempts at no child": (lambda it: list(it.attempts("good", "reduce")), InputError),
    "a selector": (lambda it: it.children("good", where="colour=red"), SelectorError),
    "a state": (lambda it: it.list(state="merry"), InputError),
    "done, to hold": (lambda it: it.pause("good"), NotHoldable),
    "done, to resume": (lambda it: it.resume("bad"), NotHoldable),
    "done, to limit": (lambda it: it.set_limits("good", parallelism=3), NotChangeable),
    "a limit": (lambda it: it.set_limits("idle", colour=3), InputError),
    "no limit": (lambda it: it.set_limits("idle"), InputError),
    "nothing to redrive": (lambda it: it.redrive("good"), NotRedrivable),
    "nothing meant": (lambda it: it.redrive("bad", where="index=77"), NotRedrivable),
    "runs, to redrive": (lambda it: it.redrive("idle"), NotRedrivable),
    "no time to backfill": (lambda it: it.backfill("hourly", WantedBackfill(start=1, end=2)), InputError),
    "future, to backfill": (lambda it: it.backfill("hourly", WantedBackfill(start=1 << 42)), InputError),
    "no schedule to backfill": (lambda it: it.cancel_backfill("nobody", ""), NoSuchSchedule),
    "another task": (lambda it: it.submit(COUNT, {"n": 9}, task_id="idle"), TaskConflict),
    "a variable": (lambda it: it.submit(COUNT, {"m": 9}), InputError),
}


def place_of(client: Client, task_id: str) -> tuple[int, int]:
    record, _ = next(client.history(task_id))
    return record.partition, record.offset


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_refused_in_the_same_words(ways: tuple[Client, Client], name: str) -> None:
    do, kind = REFUSALS[name]
    told = []
    for client in ways:
        with pytest.raises(kind) as caught:
            do(client)
        assert type(caught.value) is kind
        told.append((str(caught.value), caught.value.exit_code, getattr(caught.value, "remedy", "")))
    if "id" not in name:
        assert told[0][:2] == told[1][:2]
    assert told[0][1] == told[1][1]


def test_both_request_the_same_task(ways: tuple[Client, Client], tmp_path: Path) -> None:
    mine, theirs = ways
    files = tmp_path / "files.yaml"
    (tmp_path / "in.txt").write_text("a\nb\n")
    files.write_text(
        "name: files\nparams: {x: {type: number, default: 1.0}}\nsplit: {lines: {file: in.txt}}\n"
        "failure: {on: run_all, tolerate: 2%}\nlabels: {team: data}\nparallelism: 3\nrate: 10/s\ndeadline: 1d\n"
        "child: {handler: 'job:work', args: {x: '${x}', line: '${child.item}'}, timeout: 1h30m, heartbeat: 10s}\n"
    )
    templates: list[Any] = [files, template(tmp_path, "count"), COUNT]
    for number, wanted in enumerate(templates):
        options: Any = {"task_id": f"same-{number}", "priority": 3, "labels": {"who": "me"}}
        first, second = ways if number % 2 else ways[::-1]
        assert first.submit(wanted, **options).first is True
        assert second.submit(wanted, **options).first is False
        assert theirs.submit(wanted, **options).first is False  # it reads what it has written
        assert shown(mine.status(f"same-{number}")) == shown(theirs.status(f"same-{number}"))
    assert mine.status("same-0").origin == "http"
    made = theirs.submit(COUNT)
    assert (made.first, mine.status(made.task_id).state) == (True, "requested")


def test_of_many_those_without_a_conflict_are_requested(ways: tuple[Client, Client]) -> None:
    _, theirs = ways
    wanted = [want(COUNT, {"n": 2}, task_id=name) for name in ("many-1", "good", "many-2")]
    with pytest.raises(TaskConflict, match="'good' is taken"):
        theirs.submit_many(wanted)
    assert [theirs.status(name).state for name in ("many-1", "many-2")] == ["requested", "requested"]


def test_both_make_the_same_schedule(ways: tuple[Client, Client], tmp_path: Path) -> None:
    mine, theirs = ways
    file = tmp_path / "daily.yaml"
    job = template(tmp_path, "count")
    job.write_text(job.read_text().replace("params:\n", "params:\n  day: {type: string, default: none}\n"))
    body = "cron: '30 2 * * *'\nzone: Europe/London\noverlap: buffer_one\ncatchup_window: 90m\ntemplate: count.yaml\n"
    file.write_text(f"{body}priority: 2\nparams: {{day: '${{tick.nominal:date}}'}}\n")
    with pytest.raises(NoSuchSchedule):
        theirs.update_schedule(file)
    assert theirs.create_schedule(file).changed is True
    assert (mine.create_schedule(file).changed, theirs.create_schedule(file).changed) == (False, False)
    assert shown(mine.schedule("daily")) == shown(theirs.schedule("daily"))
    file.write_text(body)
    with pytest.raises(ScheduleConflict, match="another priority"):
        theirs.create_schedule(file)
    assert (theirs.update_schedule(file).changed, mine.update_schedule(file).changed) == (True, False)
    assert theirs.pause_schedule("daily", "later").status == mine.schedule("daily")
    assert (theirs.resume_schedule("daily").changed, theirs.resume_schedule("daily").changed) == (True, False)
    made = theirs.trigger_schedule("daily").task_id
    assert made is not None
    assert made.startswith("daily@")
    assert theirs.delete_schedule("daily", "no more").changed is True
    assert (mine.schedule("daily").state, mine.schedule("daily").note) == ("deleted", "no more")


def test_a_backfill_is_started_and_cancelled(ways: tuple[Client, Client]) -> None:
    mine, theirs = ways
    begun = theirs.backfill("hourly", replace(LAST_DAY, max_active=3, note="again"))
    assert begun.changed is True
    assert begun.status == mine.schedule("hourly")
    told = mine.schedule("hourly").backfill
    assert told is not None
    assert (told.state, told.reprocess, told.max_active, told.note) == ("active", "failed", 3, "again")
    with pytest.raises(ScheduleConflict, match="backfill 1 of schedule 'hourly' is active"):
        theirs.backfill("hourly", WantedBackfill(start=LAST_DAY.start))
    assert theirs.cancel_backfill("hourly", "no").changed is True
    assert theirs.cancel_backfill("hourly").changed is False


def test_what_is_done_to_a_task_is_seen_by_both(ways: tuple[Client, Client]) -> None:
    mine, theirs = ways
    theirs.submit(COUNT, {"n": 5}, task_id="held")
    held = theirs.pause("held", reason="lunch")
    assert (held.state, held.reason) == ("paused", "lunch")
    assert "resume held" in theirs.missing("held")
    limited = theirs.set_limits("held", parallelism=3, rate="10/s", priority=7, deadline="6h", tolerate="2%")
    assert dict(limited.in_force).keys() == {"parallelism", "rate", "priority", "deadline", "tolerate"}
    at = datetime(2126, 1, 1, tzinfo=UTC)
    later = theirs.set_limits("held", deadline=at, rate="none").limits
    assert shown(later) == shown(mine.status("held").limits)
    assert shown(later)["deadline"] == "2126-01-01T00:00:00.000Z"
    with pytest.raises(TimeoutError, match=r"'held' is paused after 0\.1 s: .*resume"):
        theirs.wait("held", 0.1)
    assert theirs.resume("held").state == "requested"
    assert theirs.cancel("held", "wrong input").done is False
    assert theirs.cancel("held", kill=True).state in ("requested", "cancelling", "cancelled")


def test_pages_lead_to_all(ways: tuple[Client, Client], monkeypatch: pytest.MonkeyPatch) -> None:
    _, theirs = ways
    for module in ("asking", "remote"):
        monkeypatch.setattr(f"streamsched.reach.{module}.PAGE", 2)
    assert [letter.offset for letter in theirs.dead_letters()] == [0, 9_999, 1]
    assert [child.child for child in theirs.children("good")] == list(range(30))
    every = [task.task_id for task in theirs.list().items]
    assert theirs.task_ids() == sorted(every)
    found, after = [], None
    while True:
        page = theirs.list(limit=2, after=after)
        found += [task.task_id for task in page.items]
        after = page.next
        if after is None:
            break
    assert found == every
    with pytest.raises(InputError, match="cursor"):
        theirs.list(after="1/good")


def test_all_that_asks_takes_the_server_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def asked() -> tuple[str, bool]:
        async with AsyncClient() as client:
            return (await client.status("of-a-job")).state, client.embedded

    with serving(tmp_path / "log") as http:
        monkeypatch.setenv("STREAMSCHED_SERVER", f"http://127.0.0.1:{http.port}")
        with doubled.submit(task_id="of-a-job", n=3) as task:
            assert (task.first, task.status().origin) == (True, "http")
        assert asyncio.run(asked()) == ("requested", False)
        with Client() as client:
            assert client.status("of-a-job").params == {"n": 3}
        with pytest.raises(NeedsLog):
            run(COUNT)
        assert run(COUNT, data_dir=tmp_path / "own").state == "succeeded"
    assert {each.name for each in tmp_path.iterdir()} == {"log", "own"}


@pytest.mark.slow
def test_a_task_is_waited_for_while_it_runs_and_its_result_read(tmp_path: Path) -> None:
    file = template(tmp_path, "count")
    file.write_text(f"{file.read_text()}reduce: {{handler: 'tests.support.handlers:numbered'}}\n")
    with serving(tmp_path / "log") as http, Client(url=f"http://127.0.0.1:{http.port}") as client:
        task = client.submit(file, {"n": 20}, task_id="t")
        with pytest.raises(NoResult, match="has no reduce"):
            task.result()
        worker = Thread(target=run, args=(file, {"n": 20}), kwargs={"task_id": "t", "data_dir": tmp_path / "log"})
        worker.start()
        states = [status.state for status in client.follow("t")]
        assert task.wait(60.0).state == states[-1] == "succeeded"
        worker.join()
        with Client(data_dir=tmp_path / "log") as mine:
            assert task.result() == mine.result("t")


@pytest.mark.parametrize(
    "do",
    [
        lambda it: it.rebuild(Path("view"), None),
    ],
)  # fmt: skip
def test_what_needs_the_log_says_so(ways: tuple[Client, Client], do: Look) -> None:
    _, theirs = ways
    with pytest.raises(NeedsLog, match=r"needs the log itself, and not the server http.*--brokers") as caught:
        do(theirs)
    assert caught.value.exit_code == 2
    assert theirs.embedded is False
