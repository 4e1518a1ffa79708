"""Schedules as users have them: made, changed, looked at and ended by a client, obeyed by a scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest

from streamsched.client import Client
from streamsched.commands.schedules import ScheduleConflict
from streamsched.domain.calendar.moment import write as utc
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.errors import InputError, NoSuchSchedule, NoSuchTask
from streamsched.log.port import Append
from streamsched.queries.documents import millis_of
from streamsched.queries.ledger import OUTCOMES
from tests.support.clients import session_of
from tests.unit.commands.schedule_case import TEMPLATE, ScheduleCase

PARAMS = (
    'interval: 1s\noverlap: allow_all\ntemplate: job.yaml\nparams: {day: "${tick.nominal:time}", n: 2}\npriority: 5\n'
)


@pytest.fixture
def mini(tmp_path: Path) -> ScheduleCase:
    return ScheduleCase(tmp_path)


def test_a_schedule_makes_tasks_with_the_values_of_their_times(mini: ScheduleCase) -> None:
    client = mini.client()
    made = client.create_schedule(mini.want(PARAMS))
    assert made.changed
    assert made.status is not None
    assert (made.status.state, made.status.version, made.status.priority) == ("active", 1, 5)
    mini.run(mini.scheduler(), 2.5)
    found = client.schedule("nightly")
    assert found.counts == {"fired": len(found.running)}
    assert len(found.running) == 2
    status = client.status(found.running[0])
    assert (status.template, status.origin, status.priority) == ("job", "schedule nightly", 5)
    assert status.params == {"day": found.running[0][-9:-1], "n": 2}
    assert found.params == {"day": "${tick.nominal:time}", "n": 2}


def test_a_schedule_of_a_file_makes_the_log_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(TEMPLATE)
    file, data = tmp_path / "nightly.yaml", tmp_path / "data"
    with Client(data_dir=data) as client:
        file.write_text("cron: none\ntemplate: job.yaml\n")
        with pytest.raises(InputError, match="cron"):
            client.create_schedule(file)
        assert not data.exists()
        file.write_text("cron: 0 2 * * *\ntemplate: job.yaml\n")
        assert client.create_schedule(str(file)).changed
        assert client.schedule("nightly").state == "active"


def test_a_second_create_is_the_same_schedule_or_a_conflict(mini: ScheduleCase) -> None:
    client = mini.client()
    client.create_schedule(mini.want())
    again = mini.client("you").create_schedule(mini.want())
    assert not again.changed
    with pytest.raises(ScheduleConflict, match=r"exists with other times, another priority.*by me; .*schedule update"):
        client.create_schedule(mini.want("interval: 2s\ntemplate: job.yaml\npriority: 1\n"))
    assert client.schedule("nightly").version == 1


def test_an_update_holds_for_the_times_to_come_and_keeps_the_pause(mini: ScheduleCase) -> None:
    client = mini.client()
    with pytest.raises(NoSuchSchedule, match="schedule list"):
        client.update_schedule(mini.want())
    client.create_schedule(mini.want())
    client.pause_schedule("nightly", "the store moves")
    changed = client.update_schedule(mini.want("cron: 0 2 * * *\nzone: Europe/Berlin\ntemplate: job.yaml\n"))
    assert changed.status is not None
    assert (changed.status.version, changed.status.state, changed.status.note) == (2, "paused", "the store moves")
    assert changed.status.coming_local[0][10:19] == "T02:00:00"
    assert not client.update_schedule(mini.want("cron: 0 2 * * *\nzone: Europe/Berlin\ntemplate: job.yaml\n")).changed


@pytest.mark.parametrize("there", [False, True], ids=["create", "update"])
def test_of_two_at_the_same_time_one_is_told_that_nothing_came_of_it(mini: ScheduleCase, there: bool) -> None:
    """Ours is written after we have looked, and after another's."""
    mine, yours = mini.client(), mini.client("you")
    if there:
        mine.create_schedule(mini.want())
    append = session_of(mine).site.log.append

    def late(records: Sequence[Append]) -> Sequence[int]:
        other = mini.want("interval: 5s\ntemplate: job.yaml\n")
        (yours.update_schedule if there else yours.create_schedule)(other)
        return append(records)

    wanted = mini.want("interval: 7s\ntemplate: job.yaml\n")
    change = mine.update_schedule if there else mine.create_schedule
    with mock.patch.object(session_of(mine).site.log, "append", late), pytest.raises(ScheduleConflict):
        change(wanted)
    assert mine.schedule("nightly").spec == {"interval": [{"every": "5s"}]}
    assert mine.schedule("nightly").void == 1


def test_pause_resume_trigger_and_delete(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want("cron: 0 0 1 1 *\ntemplate: job.yaml\n"))
    assert client.pause_schedule("nightly", "why").changed
    assert not client.pause_schedule("nightly").changed
    assert client.schedule("nightly").note == "why"
    assert client.resume_schedule("nightly").changed
    assert not client.resume_schedule("nightly").changed
    asked = client.trigger_schedule("nightly")
    assert asked.task_id is not None
    mini.run(scheduler, 0.5)
    assert client.status(asked.task_id).template == "job"
    assert client.delete_schedule("nightly").changed
    assert not client.delete_schedule("nightly").changed
    assert client.schedule("nightly").state == "deleted"
    assert client.schedule("nightly").coming == ()
    with pytest.raises(NoSuchSchedule):
        client.trigger_schedule("nightly")
    with pytest.raises(NoSuchTask):
        client.pause_schedule("other")
    assert client.create_schedule(mini.want()).changed
    assert client.schedule("nightly").state == "active"


def test_all_schedules_are_listed_whatever_their_partition(mini: ScheduleCase) -> None:
    client = mini.client()
    for name in ("b", "a", "c"):
        client.create_schedule(mini.want(schedule_id=name))
    assert [schedule.schedule_id for schedule in mini.client().schedules()] == ["a", "b", "c"]


def test_the_ledger_tells_of_each_time_once_and_why(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want())
    mini.run(scheduler, 3.05)  # one is fired, the others meet it
    client.pause_schedule("nightly")
    mini.run(scheduler, 2)
    client.resume_schedule("nightly")
    (task,) = client.schedule("nightly").running
    client.cancel(task)
    mini.run(scheduler, 1.5)
    ticks = list(client.ticks("nightly"))
    nominals = [tick.nominal for tick in ticks]
    assert nominals == [nominals[0] + timedelta(seconds=second) for second in range(len(ticks))]
    assert [tick.outcome for tick in ticks[:5]] == ["fired", "skipped", "skipped", "suppressed", "suppressed"]
    assert ticks[0].task_id == task == f"nightly@{utc(millis_of(nominals[0]))}"
    assert ticks[0].task_outcome == "cancelled"
    assert ticks[1].reason == "a task of the schedule was running (overlap skip)"
    assert ticks[3].reason == "the schedule was paused"
    assert ticks[-1].outcome == "fired"
    assert [tick.nominal for tick in client.ticks("nightly", last=2)] == nominals[-2:]
    assert [tick.nominal for tick in client.ticks("nightly", outcome="suppressed")] == nominals[3:5]
    assert [tick.nominal for tick in client.ticks("nightly", since=nominals[1], until=nominals[4])] == nominals[1:4]
    counts = client.schedule("nightly").counts
    assert sum(counts.values()) == len(ticks)
    check_last(client)


def test_the_ledger_spells_out_runs_with_the_times_that_held_then(mini: ScheduleCase) -> None:
    client = mini.client()
    client.create_schedule(mini.want("interval: 1s\ncatchup_window: 10s\ntemplate: job.yaml\n"))
    mini.clock.advance(20)
    client.update_schedule(mini.want("interval: 5s\ncatchup_window: 10s\ntemplate: job.yaml\n"))
    mini.clock.advance(40)
    mini.run(mini.scheduler(), 0.2)
    ticks = list(client.ticks("nightly"))
    steps = [after.nominal - before.nominal for before, after in pairwise(ticks)]
    assert steps[:18] == [timedelta(seconds=1)] * 18
    assert steps[-5:] == [timedelta(seconds=5)] * 5
    assert {tick.outcome for tick in ticks[:20]} == {"missed"}
    assert ticks[0].reason == "found too late: the catch-up window is 10s"
    assert len(ticks) == sum(client.schedule("nightly").counts.values())
    check_last(client)


def check_last(client: Client) -> None:
    """Hold the last times of a schedule against all of them."""
    for outcome in (None, *OUTCOMES):
        every = list(client.ticks("nightly", outcome=outcome))
        for last in range(1, len(every) + 2):
            assert list(client.ticks("nightly", outcome=outcome, last=last)) == every[-last:]


def test_the_last_of_thousands_of_times_are_told_without_the_others(
    mini: ScheduleCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, scheduler, made = mini.client(), mini.scheduler(), Counter[str]()
    client.create_schedule(mini.want())
    client.pause_schedule("nightly")
    mini.clock.advance(86_400)
    mini.run(scheduler, 0.2)
    assert client.schedule("nightly").counts["suppressed"] >= 4_000
    between = ScheduleSpec.between

    def counted(spec: ScheduleSpec, start_ms: int, end_ms: int) -> Iterator[int]:
        for nominal in between(spec, start_ms, end_ms):
            made["times"] += 1
            yield nominal

    monkeypatch.setattr(ScheduleSpec, "between", counted)
    ticks = list(client.ticks("nightly", last=100))
    assert [after.nominal - before.nominal for before, after in pairwise(ticks)] == [timedelta(seconds=1)] * 99
    assert made["times"] == 100


def test_a_time_that_waits_is_told_as_waiting_until_it_has_its_outcome(mini: ScheduleCase) -> None:
    client, scheduler = mini.client(), mini.scheduler()
    client.create_schedule(mini.want("interval: 1s\noverlap: buffer_one\ntemplate: job.yaml\n"))
    mini.run(scheduler, 3.05)
    assert [tick.outcome for tick in client.ticks("nightly")] == ["fired", "waiting", "dropped"]
    client.cancel(client.schedule("nightly").running[0])
    mini.run(scheduler, 0.4)
    fired, waited, dropped = client.ticks("nightly")
    assert (fired.task_outcome, waited.outcome, waited.task_outcome) == ("cancelled", "fired", None)
    assert waited.reason == "it had waited for a running task"
    assert dropped.reason == "enough were waiting already (overlap buffer_one)"
    assert client.delete_schedule("nightly").changed


TEMPLATED = "name: t\nparams: {n: {type: integer}}\nsplit: {range: {first: 1, last: '${n}', size: 1}}\n" \
    "child: {handler: a.b:c, args: {x: '${child.first}'}}\n"  # fmt: skip


def test_a_template_may_hold_its_schedule(mini: ScheduleCase) -> None:
    wanted = mini.want(TEMPLATED + "schedule: {interval: 1h, params: {n: '${tick.nominal:hour}'}}\n", pairs=("n=4",))
    assert (wanted.prepared.template.name, wanted.params) == ("t", '{"n":4}')
    wanted = mini.want(TEMPLATED + "schedule: {interval: 1h}\n", pairs=("n=${tick.nominal:epoch}",), schedule_id="x")
    assert (wanted.schedule_id, wanted.params) == ("x", '{"n":"${tick.nominal:epoch}"}')


def test_a_file_may_hold_its_template(mini: ScheduleCase) -> None:
    inline = "".join(f"  {line}\n" for line in TEMPLATED.splitlines())
    wanted = mini.want(f"interval: 1h\ntemplate:\n{inline}params: {{n: 2}}\nlimited_runs: 3\npause_on_failure: true\n")
    assert (wanted.policy.limited_runs, wanted.policy.pause_on_failure) == (3, True)
    assert wanted.prepared.params_json == '{"n":2}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("template: job.yaml\n", r"nightly\.yaml:1: holds no schedule; write cron"),
        (TEMPLATED, "holds no schedule; write schedule:"),
        ("- 1\n", "is not a schedule"),
        ("cron: 0 2 * * *\n", "template: is missing"),
        ("cron: 0 2 * * *\ntemplate: none.yaml\n", "none.yaml: there is no such file"),
        ("cron: 0 2 * * *\ntemplate: [1]\n", r":2: template.*must be a path or an object"),
        ("cron: 0 2 * *\ntemplate: job.yaml\n", r"nightly\.yaml:1: cron"),
        ("interval: 1h\nzone: Berlin\ntemplate: job.yaml\n", r":2: zone"),
        ("interval: 1h\noverlaps: skip\ntemplate: job.yaml\n", r":2: overlaps: unknown field overlaps; .*overlap\?"),
        ("interval: 1h\noverlap: wait\ntemplate: job.yaml\n", r":2: overlap"),
        ("interval: 1h\ncatchup_window: 1s\ntemplate: job.yaml\n", r":2: catchup_window: must be at least 10s"),
        ("interval: 1h\nlimited_runs: many\ntemplate: job.yaml\n", r":2: limited_runs"),
        ("interval: 1h\npause_on_failure: 1\ntemplate: job.yaml\n", r":2: pause_on_failure"),
        ("interval: 1h\npriority: high\ntemplate: job.yaml\n", r":2: priority"),
        ("interval: 1h\nparams: 1\ntemplate: job.yaml\n", r":2: params: must be an object"),
        ("interval: 1h\nparams: {m: 1}\ntemplate: job.yaml\n", r":2: params\.m: variable m is unknown"),
        ("interval: 1h\nparams: {n: x}\ntemplate: job.yaml\n", r":2: params\.n"),
        ("interval: 1h\nparams: {n: .nan}\ntemplate: job.yaml\n", r":2: params\.n: nan is not a JSON number"),
        ("interval: 1h\nparams: {n: '${tick.nominal:date}'}\ntemplate: job.yaml\n", r":2: params\.n"),
        ("interval: 1h\nparams: {day: '${tick.next}'}\ntemplate: job.yaml\n", r":2: params: there is no tick\.next"),
        ("interval: 1h\nparams: {day: '${tick.nominal:no}'}\ntemplate: job.yaml\n", "no is not a format of a time"),
        ("interval: 1h\nend: 1970-01-01T00:10:00Z\ntemplate: job.yaml\n", r":2: end: it never fires again"),
        (TEMPLATED + "schedule: {interval: 1h}\n", r"params\.n.*is missing"),
        (TEMPLATED + "schedule: {interval: 1h, template: x}\n", r":5: schedule\.template: the file is a template"),
        ("interval: 1h\ntemplate:\n  nam: x\n", r":3: template\.nam: unknown key"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_with_line_cause_and_remedy(mini: ScheduleCase, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        mini.want(text)
    assert "; " in str(caught.value)


@pytest.mark.parametrize("pair", ["m=1", "n=x", "n", "n=${tick.nominal:date}", "m=${tick.nominal}", "day=${tick.x}"])
def test_wrong_parameters_are_refused(mini: ScheduleCase, pair: str) -> None:
    with pytest.raises(InputError):
        mini.want(pairs=(pair,))


@pytest.mark.parametrize("name", ["a b", "a@b", "a/b", "", "x" * 161])
def test_what_is_no_id_is_refused(mini: ScheduleCase, name: str) -> None:
    with pytest.raises(InputError, match="invalid schedule id"):
        mini.want(schedule_id=name)


def test_a_note_that_no_record_can_hold_is_refused_before_anything_is_written(mini: ScheduleCase) -> None:
    client = mini.client()
    client.create_schedule(mini.want(PARAMS))
    for tell in (client.pause_schedule, client.delete_schedule):
        with pytest.raises(InputError, match=r"'a\\udcff' is not text"):
            tell("nightly", "a\udcff")
    assert client.schedule("nightly").state == "active"
