"""What a user chooses has a bounded cost in a scheduler's turn: counted in looks and records, not in time.

Where nothing can be counted, what had no bound once took hours here: the time-out of the tests is the bound.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from streamsched.audit.verify import verify
from streamsched.cli.replay_commands import read_until
from streamsched.domain import backfill, ids, template
from streamsched.domain import events as e
from streamsched.domain.backfill import backfill_step, latest
from streamsched.domain.calendar.spec import ENTRIES_LIMIT, ScheduleSpec
from streamsched.domain.calendar.ticks import PATIENCE_LOOKS
from streamsched.domain.errors import InputError
from streamsched.domain.param import Param
from streamsched.domain.policy import FailurePolicy
from streamsched.domain.refusal import ScheduleError, TemplateError, suggest
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.template import ChildSpec, Template
from streamsched.domain.tick import fill, previous
from streamsched.domain.ticking import EXAMINED, FIRES, LOOKS, decide
from streamsched.files.schedule_file import want_schedule
from streamsched.files.source import read_json, read_yaml
from streamsched.installation.settings import load_settings
from streamsched.scheduler import schedules, tasks
from streamsched.scheduler.dispatcher import first_of
from streamsched.scheduler.node import Scheduler
from tests.support.mini_cluster import MiniCluster
from tests.unit.domain.test_ticking import MINUTE, START, Diary
from tests.unit.scheduler.test_ticker import Clockwork

DIGITS = "9" * 5_000
YEAR = 365 * 86_400_000
SECONDS = {"interval": [{"every": "1s"}]}
SPARSE = {
    "interval": [{"every": "1s"}],
    "exclude": {"calendars": [
        {"second": "1-59"}, {"second": "0", "minute": "1-59"}, {"second": "0", "minute": "0", "hour": "1-5,7-23"},
    ]},
}  # fmt: skip
"""Each second, less all but two of a day: a search looks at tens of thousands one by one."""
BOUND = LOOKS + 2 * PATIENCE_LOOKS


def spec_of(value: dict[str, Any]) -> ScheduleSpec:
    return ScheduleSpec.from_mapping(value)


# --- finding times ---------------------------------------------------------------------------------------------------


def test_a_search_gives_up_at_a_number_of_looks() -> None:
    many = {"cron": ["* * * * * * *"], "exclude": {"calendars": [
        {"second": f"{first},{first + 1}", "minute": f"0-{last}"} for first in range(0, 60, 2) for last in range(44, 60)
    ]}}  # fmt: skip
    with pytest.raises(ScheduleError, match="never fires"):
        spec_of(many)
    sparse = spec_of(SPARSE)
    before = sparse.looks
    sparse.next_after(START)
    assert sparse.looks - before <= PATIENCE_LOOKS + 100


@pytest.mark.parametrize("where", ["cron", "calendars", "interval", "exclude"])
def test_a_schedule_has_so_many_entries(where: str) -> None:
    entry: dict[str, Any] = {
        "cron": ["0 3 * * *"] * 501, "calendars": [{"hour": 3}] * 501, "interval": [{"every": "1h"}] * 501,
        "exclude": {"cron": ["0 4 * * *"] * 500},
    }  # fmt: skip
    with pytest.raises(ScheduleError, match=f"the limit is {ENTRIES_LIMIT}"):
        spec_of({"interval": [{"every": "1h"}], where: entry[where]})


@pytest.mark.parametrize(
    "value",
    [
        {"cron": ["*," * 2_000 + "* * * * *"]}, {"calendars": [{"year": "1970," * 500 + "1971"}]},
        {"cron": [" " * 9 + "*" * 3_000]},
    ],
)  # fmt: skip
def test_a_field_has_so_many_characters(value: dict[str, Any]) -> None:
    with pytest.raises(ScheduleError):
        spec_of(value)


def test_many_sources_cost_little_each() -> None:
    spec = spec_of({"cron": [f"{minute % 60} {minute // 60} * * *" for minute in range(450)]})
    calls = 0

    class Counted:
        def __init__(self, source: Any) -> None:
            self.source = source

        def at_or_after(self, moment: int) -> int | None:
            nonlocal calls
            calls += 1
            found: int | None = self.source.at_or_after(moment)
            return found

    for ahead in spec._ticks._sources:
        ahead._source = Counted(ahead._source)
    assert len(list(islice(spec.between(START, START + YEAR), 1_000))) == 1_000
    assert calls <= 450 + 1_000 + 10


@pytest.mark.parametrize("reach", [1, 59, 86_400, 40 * 86_400, 300 * 86_400])
def test_the_time_before_is_found_by_bisection(reach: int) -> None:
    dense = spec_of({"cron": ["* * * * * * *"], "end": "2027-01-01T00:00:00Z"})
    end = 1_798_761_600_000
    spec = spec_of({"cron": ["* * * * * * *"]})
    assert spec.last_before(START + 1, 0) == START
    assert spec.last_before(START, START) is None
    before = dense.looks
    assert previous(dense, end + reach * 1000) == end
    assert dense.looks - before < 200 * 100


@pytest.mark.parametrize("reach", [86_400_000, 40 * 86_400_000, 3 * YEAR])
def test_times_are_walked_back_an_hour_at_a_time(reach: int) -> None:
    dense = spec_of({"cron": ["* * * * * * *"], "end": "2027-01-01T00:00:00Z"})
    end = 1_798_761_600_000
    before = dense.looks
    assert list(islice(latest(dense, 0, end + reach), 5)) == [end - 1_000 * number for number in range(5)]
    assert dense.looks - before < 5_000 * 22


def test_latest_gives_what_between_gives() -> None:
    spec = spec_of({"cron": ["7,23 */5 * * MON-WED"], "interval": [{"every": "31h"}]})
    wanted = list(spec.between(START, START + 30 * 86_400_000))
    assert list(latest(spec, START, START + 30 * 86_400_000 - 1)) == wanted[::-1]


# --- a decision ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy", [{}, {"overlap": "allow_all"}, {"max_catchup_runs": 5}, {"catchup_window_ms": 10_000}]
)
@pytest.mark.parametrize("spec", [SECONDS, SPARSE], ids=["seconds", "sparse"])
def test_ten_years_of_times_are_decided_in_parts(spec: dict[str, Any], policy: dict[str, Any]) -> None:
    diary = Diary(json.dumps(spec), **policy)
    now = START + 10 * YEAR
    for _ in range(3):
        seen, cursor = diary.schedule.now.rules.spec, diary.schedule.cursor
        before = seen.looks
        decided = diary.step(now)
        assert decided.upto > cursor
        assert sum(run.count for run in decided.ticks) <= EXAMINED
        assert len(decided.fires) <= FIRES
        assert seen.looks - before <= 2 * BOUND


def test_catch_up_runs_beyond_the_limit_count_as_so_many(tmp_path: Path) -> None:
    diary = Diary(json.dumps(SECONDS), max_catchup_runs=2**31, overlap="allow_all")
    spec = diary.schedule.now.rules.spec
    before = spec.looks
    now = START + 10 * YEAR
    assert diary.step(now).ticks[0].outcome == "missed"
    assert spec.looks - before <= 2 * BOUND
    assert diary.schedule.now.rules.policy.catchup_runs == 10_000
    file = tmp_path / "s.yaml"
    file.write_text("interval: 1h\nmax_catchup_runs: 10001\ntemplate: {}\n")
    with pytest.raises(InputError, match="at most 10,000"):
        want_schedule(file, now=START)


def test_many_triggers_are_decided_in_parts() -> None:
    diary = Diary(overlap="allow_all")
    for number in range(250):
        diary.tell(e.ScheduleTriggered, at=START + number)
    sizes = []
    while diary.schedule.triggers:
        sizes.append(len(diary.step(START + 1_000).fires))
    assert sizes == [100, 100, 50]


def test_a_deleted_schedule_drops_many_triggers_in_parts() -> None:
    diary = Diary()
    for number in range(EXAMINED + 7):
        diary.tell(e.ScheduleTriggered, at=START + number)
    diary.tell(e.ScheduleDeleted, "", at=START + 1)
    assert len(diary.step(START + MINUTE).ticks) == EXAMINED
    assert diary.schedule.due() == 0
    diary.step(START + MINUTE)
    assert diary.schedule.triggers == []


def test_heavy_templates_are_fired_a_few_at_a_time() -> None:
    diary = Diary(overlap="allow_all")
    heavy = e.ScheduleSet(
        diary.id(), START, "me", "s", 1, json.dumps(SECONDS), '{"overlap":"allow_all"}', "t", "1", "x" * 2**20, "{}", 0
    )
    from streamsched.domain.schedule import evolve_schedule

    evolve_schedule(diary.schedule, heavy)
    assert 1 <= len(decide(diary.schedule, START + 500_000).fires) <= 8
    part = e.BackfillPart(0, START, json.dumps(SECONDS), "t", "1", "x" * 2**20, "{}", 0)
    asked = e.BackfillRequested(b"1" * 16, START, "me", "s", 1, "all", 1_000, False, (part,), "")
    made = backfill_step(backfill.Backfill(asked), lambda nominal: True, lambda nominal: None)
    assert made is not None
    assert 1 <= len(made.fires) <= 8


def test_running_tasks_are_cancelled_once_each() -> None:
    diary = Diary(overlap="allow_all")
    diary.schedule.running.update({f"s@{number}": 0 for number in range(20_000)})
    diary.change(json.dumps(SECONDS), START, overlap="terminate_other")
    decided = decide(diary.schedule, START + 60_000)
    assert len(decided.cancels) >= 20_000
    assert all(decided.cancels.values())


# --- a turn ----------------------------------------------------------------------------------------------------------


def of_schedules(count: int, template: str = "{}") -> tuple[Clockwork, Scheduler]:
    """Have a scheduler that has read so many schedules, none of them due yet."""
    office = Clockwork()
    for number in range(count):
        event = e.ScheduleSet(
            office.me.ids(), office.clock.now(), "me", f"s{number}", 0, json.dumps(SECONDS), "{}", "t", "1",
            template, "{}", 0,
        )  # fmt: skip
        office.log.append([office.records.journal(event, event.schedule_id)])
    scheduler = office.start()
    for _ in range(3):
        scheduler.step(0.0)
    return office, scheduler


def test_a_turn_decides_no_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    office, scheduler = of_schedules(7)
    office.clock.advance(5)
    decided = []

    def slow(schedule: Any, now: int) -> Any:
        decided.append(schedule.schedule_id)
        office.clock.advance(schedules.DECIDING_S / 2)
        return decide(schedule, now)

    monkeypatch.setattr(schedules, "decide", slow)
    turns = []
    for _ in range(6):
        before = len(decided)
        scheduler.step(0.0)
        turns.append(len(decided) - before)
    assert max(turns) == 2
    assert {*decided} == {f"s{number}" for number in range(7)}


def test_a_turn_writes_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "ROUND_BYTES", 100_000)
    office, scheduler = of_schedules(5, template="x" * 60_000)
    office.clock.advance(1.5)
    turns = [counted["TaskRequested"] for counted in office.rounds(scheduler, 4)]
    assert max(turns) == 2
    assert sum(turns) == 5


def test_values_of_a_tick_make_no_request_larger_than_a_record() -> None:
    office = Clockwork()
    name = "s" * 160
    params = json.dumps({"a": "${tick.schedule}" * 16_000})
    event = e.ScheduleSet(
        office.me.ids(), office.clock.now(), "me", name, 0, json.dumps(SECONDS), "{}", "t", "1", "{}", params, 0
    )
    office.log.append([office.records.journal(event, name)])
    office.run(office.start(), 2)
    (request, *_) = office.events(e.TaskRequested)
    assert request.params == params


def test_a_value_of_a_tick_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamsched.domain import tick

    calls: list[int] = []
    real = tick.moment

    def counted(ms: int, zone: str = "UTC") -> datetime:
        calls.append(ms)
        return real(ms, zone)

    monkeypatch.setattr(tick, "moment", counted)
    filled = fill(json.dumps({"a": "${tick.nominal}" * 1_000}), "s", spec_of(SECONDS), START)
    assert len(json.loads(filled)["a"]) == 25_000
    assert len(calls) == 1


# --- templates -------------------------------------------------------------------------------------------------------


def test_many_names_and_many_references_are_held_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[object] = []
    monkeypatch.setattr(template, "check_known", lambda name, path, names, where: known.append(names))
    params = {f"p{number}": Param(type="string") for number in range(30_000)}
    args = {"a": [f"${{p{number}}}" for number in range(30_000)]}
    Template(
        name="t", params=params, split=RangeSplit(first=1, last=1, size=1), child=ChildSpec(handler="m:f", args=args)
    )
    assert len(known) == 30_000
    assert isinstance(known[0], set)
    assert all(names is known[0] for names in known), "they are gathered once"


def test_what_is_long_is_compared_with_nothing() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789_-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    word = "".join(sign * 3_000 for sign in letters)
    assert len(suggest(word, [word[::-1], word[1:]])) < 400
    assert suggest("nam", ["name", word]) == "did you mean name?"
    many = suggest("x", [f"name{number}" for number in range(100_000)])
    assert many.endswith("and 99,950 more")


@pytest.mark.parametrize("number", [10**5_000, -(10**5_000), 2**63], ids=["huge", "tiny", "large"])
def test_numbers_of_any_length_are_refused_in_words(number: int) -> None:
    assert Param(type="integer").fault(number)
    for make in (
        lambda: RangeSplit(first=number, last=1, size=1).check({}),
        lambda: FailurePolicy(count=number),
        lambda: FailurePolicy(percent=number),
    ):
        with pytest.raises(TemplateError) as caught:
            make()
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "read",
    [
        lambda: read_until(DIGITS), lambda: load_settings(environ={"STREAMSCHED_BROKERS": f"h:{DIGITS}"}),
        lambda: load_settings(environ={"STREAMSCHED_CHILD_PARTITIONS": DIGITS}), lambda: read_json(DIGITS, "-p"),
        lambda: read_yaml(f"a: {DIGITS}", "t.yaml"),
    ],
    ids=["until", "port", "partitions", "json", "yaml"],
)  # fmt: skip
def test_numbers_that_python_does_not_read_are_refused(read: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        read()


def test_a_message_names_a_few_of_many_values() -> None:
    many = Param(type="integer", enum=tuple(range(100_000)))
    assert many.wanted().endswith("18, 19 and 99,980 more")
    assert len(Param(type="string", enum=("x" * 10_000,), pattern="y" * 10_000).wanted()) < 500


def test_no_cache_keeps_what_is_large() -> None:
    assert not any(ids.is_task_id(str(number) * 100_000) for number in range(20))
    assert max(map(len, ids._known), default=0) <= ids.TASK_ID_LIMIT
    assert all(ids.is_task_id(f"t{number}") for number in range(10_000))
    assert len(ids._known) <= ids._KNOWN_LIMIT
    before = template._small.cache_info().currsize
    for number in range(20):
        template.read_template(json.dumps({"x": str(number) * 50_000}))
    assert template._small.cache_info().currsize == before
    assert template._large.cache_info().maxsize == 4


# --- dispatches ------------------------------------------------------------------------------------------------------


def test_a_round_of_heavy_children_ends_with_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "ROUND_BYTES", 2_000)
    mini = MiniCluster(room=100)
    heavy = Template(
        name="t",
        split=RangeSplit(first=0, last=39, size=1),
        child=ChildSpec(handler="m:f", args={"a": "x" * 900, "n": "${child.index}"}),
    )
    for task_id in ("one", "two"):
        mini.log.append([mini.records.journal(mini.request(task_id, heavy.to_json()), task_id)])
    mini.submit("light")
    mini.turn(300)
    assert {task_id: mini.phase(task_id) for task_id in ("one", "two", "light")} == dict.fromkeys(
        ("one", "two", "light"), "succeeded"
    )
    rounds = [
        event
        for record in mini.read(mini.topics.journal())
        if isinstance(event := mini.codec.decode(record), e.ChildrenDispatched) and event.task_id != "light"
    ]
    assert max(sum(each.last - each.first + 1 for each in event.releases) for event in rounds) == 3
    report = verify(log=mini.log, coordination=mini.log, topics=mini.topics, codec=mini.codec)
    assert not report.violations


@pytest.mark.parametrize(
    ("children", "kept"), [(0, []), (1, [(0, 0)]), (3, [(0, 2)]), (4, [(0, 2), (7, 7)]), (9, [(0, 2), (7, 9)])]
)
def test_releases_are_cut_off(children: int, kept: list[tuple[int, int]]) -> None:
    found = first_of([e.Release(0, 2, 1, 5), e.Release(7, 9, 2, 6)], children)
    assert [(each.first, each.last) for each in found] == kept
    assert [(each.ordinal, each.partition) for each in found] == [(1, 5), (2, 6)][: len(kept)]
