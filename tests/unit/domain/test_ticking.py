"""What becomes of a schedule's times: the fold, the fates, and that each time has exactly one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.domain.ids import SCHEDULE_ID_LIMIT, is_task_id
from streamsched.domain.overlap import SchedulePolicy
from streamsched.domain.refusal import TemplateError
from streamsched.domain.schedule import Schedule, evolve_schedule
from streamsched.domain.tick import fill, schedule_of, tick_id
from streamsched.domain.ticking import FIRES, Decided, decide
from streamsched.domain.validation import validate

MINUTE = 60_000
START = 1_800_000_000_000  # a whole minute
SPEC = '{"interval":[{"every":"1m"}]}'


class Diary:
    """A schedule each minute, from START on; every decision is folded, and its fates are written down."""

    def __init__(self, spec: str = SPEC, at: int = START, **policy: Any) -> None:
        self.schedule: Schedule
        self.fates: dict[tuple[str, int], list[str]] = {}
        self.cancelled: list[tuple[str, bool]] = []
        self._ids = 0
        made = evolve_schedule(None, self.body(spec, 0, at, **policy))
        assert made is not None
        self.schedule = made

    def body(self, spec: str, expected: int, at: int, **policy: Any) -> e.ScheduleSet:
        rules = SchedulePolicy(**policy).to_json()
        return e.ScheduleSet(self.id(), at, "me", "s", expected, spec, rules, "t", "1", "{}", "{}", 0)

    def id(self) -> bytes:
        self._ids += 1
        return self._ids.to_bytes(16)

    def tell(self, cls: type[Any], *fields: Any, at: int = START) -> Diary:
        evolve_schedule(self.schedule, cls(self.id(), at, "me", "s", *fields))
        return self

    def change(self, spec: str, at: int, **policy: Any) -> Diary:
        evolve_schedule(self.schedule, self.body(spec, self.schedule.version, at, **policy))
        return self

    def step(self, now: int) -> Decided:
        """Decide once, and fold the decision."""
        decided = decide(self.schedule, now)
        for run in decided.ticks:
            step = (run.last - run.first) // (run.count - 1) if run.count > 1 else 1
            for nominal in range(run.first, run.last + 1, step):
                self.fates.setdefault((run.kind, nominal), []).append(run.outcome)
        self.cancelled += decided.cancels.items()
        self.tell(e.TicksDecided, decided.upto, tuple(decided.ticks), 0)
        return decided

    def until(self, now: int) -> Diary:
        """Decide as long as there is something due."""
        for _ in range(100):
            due = self.schedule.due()
            if due is None or due > now:
                return self
            assert self.step(now).ticks
        raise AssertionError("it never comes to rest")

    def end(self, minute: int, outcome: str = "succeeded", kind: str = "tick", at: int = START) -> Diary:
        return self.tell(e.TickEnded, tick_id("s", kind, START + minute * MINUTE), outcome, 0, at=at)

    def fate(self, minute: int, kind: str = "tick") -> list[str]:
        return self.fates.get((kind, START + minute * MINUTE), [])


def test_a_time_is_fired_when_it_is_due_and_not_before() -> None:
    diary = Diary()
    assert diary.schedule.due() == START + MINUTE
    assert diary.until(START + MINUTE - 1).fates == {}
    (fire,) = diary.step(START + MINUTE).fires
    assert fire.task_id == "s@2027-01-15T08:01:00Z"
    assert schedule_of(fire.task_id) == "s"
    assert list(diary.schedule.running) == [fire.task_id]
    assert diary.schedule.due() == START + 2 * MINUTE


def test_overlap_skip_drops_what_meets_a_running_task() -> None:
    diary = Diary().until(START + 3 * MINUTE)
    assert [diary.fate(minute) for minute in (1, 2, 3)] == [["fired"], ["skipped"], ["skipped"]]
    assert diary.end(1).until(START + 4 * MINUTE).fate(4) == ["fired"]


def test_overlap_buffer_one_keeps_the_first() -> None:
    diary = Diary(overlap="buffer_one").until(START + 3 * MINUTE)
    assert [diary.fate(minute) for minute in (1, 2, 3)] == [["fired"], ["buffered"], ["dropped"]]
    assert diary.end(1).schedule.due() == 0
    assert diary.until(START + 3 * MINUTE).fate(2) == ["buffered", "fired"]


def test_overlap_buffer_all_keeps_their_order() -> None:
    diary = Diary(overlap="buffer_all").until(START + 3 * MINUTE)
    for minute in (1, 2, 3):
        assert diary.fate(minute)[-1] == "fired"
        diary.end(minute).until(START + 3 * MINUTE)
    assert diary.schedule.counts == {"fired": 3}


def test_overlap_cancel_other_lets_the_latest_wait_for_the_end_of_the_cancelled() -> None:
    diary = Diary(overlap="cancel_other").until(START + 3 * MINUTE)
    assert set(diary.cancelled) == {(tick_id("s", "tick", START + MINUTE), False)}
    assert [diary.fate(minute) for minute in (1, 2, 3)] == [["fired"], ["buffered", "skipped"], ["buffered"]]
    assert diary.end(1, "cancelled").until(START + 3 * MINUTE).fate(3) == ["buffered", "fired"]


def test_overlap_terminate_other_starts_at_once() -> None:
    diary = Diary(overlap="terminate_other").until(START + MINUTE).until(START + 2 * MINUTE)
    assert [diary.fate(minute) for minute in (1, 2)] == [["fired"], ["fired"]]
    assert diary.cancelled == [(tick_id("s", "tick", START + MINUTE), True)], "terminate_other kills"


def test_overlap_allow_all_fires_whatever_runs() -> None:
    diary = Diary(overlap="allow_all").until(START + 300 * MINUTE)
    assert diary.schedule.counts == {"fired": 300}
    assert len(diary.schedule.running) == 300 > FIRES


def test_times_while_paused_are_suppressed_and_those_before_are_not() -> None:
    diary = Diary(overlap="allow_all")
    diary.tell(e.SchedulePaused, True, "stock-taking", at=START + 2 * MINUTE + 1)
    diary.tell(e.SchedulePaused, False, "", at=START + 4 * MINUTE + 1)
    diary.until(START + 6 * MINUTE)
    assert [diary.fate(minute) for minute in range(1, 7)] == [
        ["fired"], ["fired"], ["suppressed"], ["suppressed"], ["fired"], ["fired"],
    ]  # fmt: skip


def test_a_change_holds_for_the_times_after_it() -> None:
    diary = Diary(overlap="allow_all")
    diary.change('{"interval":[{"every":"3m"}]}', START + 4 * MINUTE, overlap="allow_all")
    diary.until(START + 9 * MINUTE)
    fired = sorted(nominal for _, nominal in diary.fates)
    assert [(nominal - START) // MINUTE for nominal in fired] == [1, 2, 3, 4, 6, 9]
    assert diary.schedule.version == 2
    assert len(diary.schedule.timeline) == 1


def test_a_change_of_another_version_than_it_expects_is_void() -> None:
    diary = Diary()
    evolve_schedule(diary.schedule, diary.body(SPEC, 7, START))
    evolve_schedule(diary.schedule, diary.body(SPEC, 0, START))
    assert (diary.schedule.version, diary.schedule.void) == (1, 2)


def test_what_came_too_late_is_missed_and_of_a_burst_only_the_latest_are_fired() -> None:
    diary = Diary(catchup_window_ms=10 * MINUTE).until(START + 30 * MINUTE + 1)
    assert diary.schedule.counts == {"missed": 20, "fired": 1, "skipped": 9}
    diary = Diary(max_catchup_runs=3, overlap="allow_all").until(START + 5_000 * MINUTE)
    assert diary.schedule.counts == {"missed": 4_997, "fired": 3}
    assert diary.fate(4_997) == ["missed"]
    assert diary.fate(4_998) == ["fired"]


def test_limited_runs_end_the_schedule() -> None:
    diary = Diary(limited_runs=2, overlap="allow_all").until(START + 9 * MINUTE)
    assert diary.schedule.counts == {"fired": 2}
    assert (diary.schedule.due(), diary.schedule.state) == (None, "finished")


def test_a_failed_task_pauses_where_that_is_wanted() -> None:
    diary = Diary(pause_on_failure=True).until(START + MINUTE).end(1, "failed", at=START + MINUTE + 5)
    assert (diary.schedule.state, diary.schedule.note) == ("paused", "task s@2027-01-15T08:01:00Z failed")
    assert diary.until(START + 2 * MINUTE).fate(2) == ["suppressed"]


def test_a_trigger_is_a_time_of_its_own_and_meets_what_runs() -> None:
    diary = Diary(overlap="allow_all").tell(e.ScheduleTriggered).tell(e.ScheduleTriggered)
    assert diary.schedule.due() == 0
    fires = diary.step(START + 5).fires
    assert [fire.task_id for fire in fires] == ["s@2027-01-15T08:00:00Z+trigger", "s@2027-01-15T08:00:00.001Z+trigger"]
    assert [schedule_of(fire.task_id) for fire in fires] == ["s", "s"]
    assert diary.schedule.due() == START + MINUTE
    skipping = Diary().tell(e.ScheduleTriggered, at=START).until(START).tell(e.ScheduleTriggered, at=START + 1)
    assert skipping.until(START + 1).fates[("trigger", START + 1)] == ["skipped"]


def test_a_deleted_schedule_drops_what_waits_and_decides_what_was_due_before() -> None:
    diary = Diary(overlap="buffer_all").until(START + 2 * MINUTE).tell(e.ScheduleDeleted, "", at=START + 3 * MINUTE)
    diary.until(START + 9 * MINUTE)
    assert diary.fate(2) == ["buffered", "dropped"]
    assert diary.fate(3)[-1] == "dropped"
    assert diary.fate(4) == []
    assert (diary.schedule.state, diary.schedule.due()) == ("deleted", None)
    evolve_schedule(diary.schedule, diary.body(SPEC, 0, START + 20 * MINUTE))
    assert diary.schedule.due() == START + 21 * MINUTE


def test_what_was_due_before_a_deletion_is_decided_though_it_was_made_again_since() -> None:
    diary = Diary(overlap="allow_all").tell(e.ScheduleDeleted, "", at=START + 2 * MINUTE)
    evolve_schedule(diary.schedule, diary.body(SPEC, 0, START + 4 * MINUTE, overlap="allow_all"))
    diary.until(START + 6 * MINUTE)
    assert [minute for minute in range(7) if diary.fate(minute)] == [1, 2, 5, 6]


def test_a_decision_in_flight_while_it_was_deleted_and_made_again_is_believed() -> None:
    diary = Diary()
    decided = decide(diary.schedule, START + MINUTE)
    diary.tell(e.ScheduleDeleted, "", at=START + MINUTE + 5)
    evolve_schedule(diary.schedule, diary.body(SPEC, 0, START + MINUTE + 7))
    diary.tell(e.TicksDecided, decided.upto, tuple(decided.ticks), 0)
    assert list(diary.schedule.running) == [decided.fires[0].task_id]


def test_what_gives_way_is_told_of_alone_though_all_of_it_is_decided_at_once() -> None:
    diary = Diary(overlap="buffer_all")
    diary.change(SPEC, START + 3 * MINUTE, overlap="cancel_other")
    diary.until(START + 4 * MINUTE)
    assert [diary.fate(minute) for minute in (1, 2, 3)] == [["fired"], *[["buffered", "skipped"]] * 2]
    assert [wait.nominal for wait in diary.schedule.waiting] == [START + 4 * MINUTE]


def test_nothing_was_due_while_no_run_was_left() -> None:
    diary = Diary(limited_runs=1, overlap="allow_all").until(START + 2 * MINUTE)
    diary.change(SPEC, START + 10 * MINUTE, limited_runs=5, overlap="allow_all").until(START + 12 * MINUTE)
    assert [minute for minute in range(13) if diary.fate(minute)] == [1, 11, 12]


def test_a_trigger_that_waits_is_no_run_and_comes_after_the_last_one() -> None:
    diary = Diary(limited_runs=1, overlap="buffer_all").until(START + MINUTE)
    diary.tell(e.ScheduleTriggered, at=START + 2 * MINUTE).until(START + 2 * MINUTE)
    diary.end(1).until(START + 3 * MINUTE)
    assert diary.fate(2, "trigger") == ["buffered", "fired"]
    assert diary.schedule.due() is None


def test_a_repeated_decision_changes_nothing() -> None:
    diary = Diary(overlap="buffer_all")
    decided = diary.step(START + 2 * MINUTE)
    before = (diary.schedule.cursor, list(diary.schedule.waiting), Counter(diary.schedule.counts))
    diary.end(1)
    diary.tell(e.TicksDecided, decided.upto, tuple(decided.ticks), 0)
    assert diary.schedule.running == {}
    assert (diary.schedule.cursor, diary.schedule.counts) == (before[0], before[2])


def test_parameters_take_the_values_of_the_tick() -> None:
    spec = Diary('{"cron":["30 2 * * *"],"zone":"Europe/Berlin"}').schedule.now.rules.spec
    nominal = 1_800_063_000_000  # 2027-01-16 02:30 in Berlin
    params = (
        '{"day":"${tick.nominal:date}","from":"${tick.previous}",'
        '"n":"${tick.nominal:epoch}","x":["a-${tick.schedule}"]}'
    )
    assert fill(params, "s", spec, nominal) == (
        '{"day":"2027-01-16","from":"2027-01-15T02:30:00+01:00","n":1800063000,"x":["a-s"]}'
    )


@pytest.mark.parametrize(
    "hole", ["${tick.nominal:DATE}", "${tick.Nominal}", "${tick.next}", "${tick.nominal", "${tick.}"]
)
def test_a_value_of_a_tick_that_is_none_is_refused_and_never_passed_on_as_text(hole: str) -> None:
    spec = Diary().schedule.now.rules.spec
    with pytest.raises(TemplateError):
        fill(f'{{"n":"{hole}"}}', "s", spec, START)


def test_two_dollars_are_one_whatever_else_the_parameters_hold() -> None:
    spec = Diary().schedule.now.rules.spec
    assert fill('{"a":"$${x}"}', "s", spec, START) == '{"a":"${x}"}'
    assert fill('{"a":"$${x}","b":"${tick.schedule}"}', "s", spec, START) == '{"a":"${x}","b":"s"}'
    assert fill('{"a":"$${tick.nominal}"}', "s", spec, START) == '{"a":"${tick.nominal}"}'


def test_a_schedule_whose_tasks_could_have_no_id_cannot_be() -> None:
    def made(schedule_id: str) -> e.ScheduleSet:
        return e.ScheduleSet(bytes(16), START, "me", schedule_id, 0, SPEC, "{}", "t", "1", "{}", "{}", 0)

    longest = "x" * SCHEDULE_ID_LIMIT
    assert validate(made(longest)) is None
    assert is_task_id(tick_id(longest, "trigger", START + 1))
    assert validate(made(longest + "x")) is not None
