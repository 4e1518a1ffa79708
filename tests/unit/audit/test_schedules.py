"""Whatever is done to a good history of schedules, ``audit verify`` names it; of a good one it never complains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, Final

import pytest
from msgspec import structs

from streamsched.audit.report import Fault
from streamsched.audit.schedules import ScheduleAudit, _Decision
from streamsched.domain import events as e
from streamsched.domain.ids import EventIds
from streamsched.domain.overlap import SchedulePolicy
from streamsched.domain.tick import tick_id
from streamsched.log.adapter import LogAdapter
from streamsched.runtime.identity import Identity
from streamsched.scheduler.node import Scheduler
from streamsched.testing.clock import VirtualClock
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.audit_case import BEGIN_MS, CODEC, RECORDS, TEMPLATE, TOPICS, Entry, History, new_log

Named = tuple[int, str, str]
"""What has to be named: invariant, schedule or task, place."""
Tampering = Callable[[History], Named]
WAYS: Final[dict[str, Tampering]] = {}
SECOND, TWO = '{"interval":[{"every":"1s"}]}', '{"interval":[{"every":"2s","phase":"1s"}]}'


class Office:
    """A scheduler, and a client that makes schedules and cancels their tasks."""

    def __init__(self) -> None:
        self.clock = VirtualClock(BEGIN_MS)
        self.log = new_log(self.clock)
        self.me = Identity("client", "client", self.clock, EventIds(b"-client-"))
        self.view = View(MemoryStore(), CODEC)
        self.scheduler = Scheduler(
            log=self.log, topics=TOPICS, codec=CODEC, view=self.view, pause=self.clock.advance,
            me=Identity("scheduler", "scheduler", self.clock, EventIds(b"-master-")),
        )  # fmt: skip

    def tell(self, cls: type[Any], schedule_id: str, **fields: Any) -> None:
        self.log.append([RECORDS.journal(self.me.sign(cls, schedule_id=schedule_id, **fields), schedule_id)])

    def set(self, schedule_id: str, expected: int, spec: str, children: int, **policy: Any) -> None:
        self.tell(
            e.ScheduleSet, schedule_id, expected=expected, spec=spec, policy=SchedulePolicy(**policy).to_json(),
            template_name="made-up", template_version="1", template=TEMPLATE.to_json(),
            params=json.dumps({"n": children}), priority=0,
        )  # fmt: skip

    def cancel(self, schedule_id: str) -> None:
        for task_id in self.view.schedules[schedule_id].running:
            event = self.me.sign(e.TaskCancelRequested, task_id=task_id, redrive=0, reason="enough")
            self.log.append([RECORDS.journal(event, task_id)])

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.scheduler.step(0.0)


@cache
def original() -> LogAdapter:
    """Three schedules: one is paused, changed and triggered, one holds its times back, one is made again."""
    office = Office()
    office.set("plain", 0, SECOND, 0, overlap="allow_all")
    office.set("queue", 0, SECOND, 1, overlap="buffer_all")
    office.set("again", 0, SECOND, 0, limited_runs=2)
    office.run(3.5)
    office.tell(e.SchedulePaused, "plain", paused=True, note="a rest")
    office.tell(e.SchedulePaused, "plain", paused=True, note="a rest, asked for twice")
    office.set("plain", 7, TWO, 0)
    office.clock.advance(4)
    office.run(0.5)
    office.tell(e.SchedulePaused, "plain", paused=False, note="")
    office.set("plain", 1, TWO, 0, overlap="skip")
    office.tell(e.ScheduleTriggered, "plain")
    office.cancel("queue")
    office.run(3)
    office.tell(e.ScheduleDeleted, "again", note="")
    office.run(1)
    office.set("again", 0, TWO, 0)
    office.tell(e.ScheduleDeleted, "queue", note="")
    office.cancel("queue")
    office.run(4)
    return office.log


def way(tampering: Tampering) -> Tampering:
    WAYS[tampering.__name__] = tampering
    return tampering


def decisions(history: History, schedule_id: str, *outcomes: str, kind: str = "tick", count: int = 1) -> list[Entry]:
    """Find the decisions of a schedule in which a time had one of these outcomes."""
    return [
        entry
        for entry in history.journal
        if isinstance(entry.event, e.TicksDecided) and entry.event.schedule_id == schedule_id
        and any((run.kind, run.outcome in outcomes) == (kind, True) and run.count >= count for run in entry.event.ticks)
    ]  # fmt: skip


def ticks(entry: Entry) -> tuple[e.Ticks, ...]:
    assert isinstance(entry.event, e.TicksDecided)
    return entry.event.ticks


def with_outcome(entry: Entry, outcome: str) -> Named:
    """Give the times of a decision another outcome; the decision has to be named."""
    entry.alter(ticks=tuple(structs.replace(run, outcome=outcome) for run in ticks(entry)))
    return at(11, entry)


def tasks(history: History, kind: type[e.Event], schedule_id: str) -> list[Entry]:
    return [
        entry
        for entry in history.journal
        if isinstance(entry.event, kind) and getattr(entry.event, "task_id", "").startswith(f"{schedule_id}@")
    ]


def at(invariant: int, entry: Entry, name: str | None = None) -> Named:
    event: Any = entry.event
    return invariant, name or event.schedule_id, entry.named


def by_task(entry: Entry) -> Named:
    event: Any = entry.event
    return 12, event.task_id, entry.named


def test_the_history_is_good_and_has_everything_in_it() -> None:
    history = History(original())
    report = history.judge()
    assert not report.violations, report.violations
    assert (report.total, report.unreadable, report.unjudged) == (0, 0, 0)
    found = Counter(
        (run.kind, run.outcome)
        for entry in history.journal
        if isinstance(entry.event, e.TicksDecided)
        for run in entry.event.ticks
    )
    wanted = {("tick", word) for word in ("fired", "buffered", "dropped", "suppressed")}
    assert wanted | {("trigger", "fired")} <= set(found), found
    told = {entry.event.outcome for entry in history.journal if isinstance(entry.event, e.TickEnded)}
    assert told == {"succeeded", "cancelled"}


# --- decisions --------------------------------------------------------------------------------------------------------


@way
def decision_lost(history: History) -> Named:
    first, second, *_ = decisions(history, "plain", "fired")
    history.drop(first)
    return at(11, second)


@pytest.mark.parametrize("runs", [1, 4_000], ids=["one run", "many runs"])
def test_a_decision_about_more_times_than_there_can_be_is_not_gone_through(
    runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Decision, "_own", lambda self, run: pytest.fail("it goes through them one by one"))
    history = History(original())
    entry = decisions(history, "plain", "fired")[0]
    event: Any = entry.event
    run = structs.replace(ticks(entry)[0], count=(1 << 31) // runs - 1, outcome="missed", last=(1 << 47) - 1)
    told: list[tuple[Fault, int]] = []
    audit = ScheduleAudit("plain", lambda fault, name, offset: told.append((fault, offset)))
    for other in history.journal:
        if isinstance(other.event, e.ScheduleSet) and other.event.schedule_id == "plain":
            audit.take(0, other.event)
            break
    audit.take(5, structs.replace(event, ticks=(run,) * runs, basis=1))
    assert [(fault.invariant, offset) for fault, offset in told] == [(11, 5)]
    assert "at most" in told[0][0].expected


def test_a_backfill_decision_about_more_times_than_there_can_be_is_not_gone_through() -> None:
    part = e.BackfillPart(0, 1 << 46, SECOND, "t", "1", "{}", "{}", 0)
    made = e.ScheduleSet(b"i", 1, "x", "s", 0, SECOND, SchedulePolicy().to_json(), "t", "1", "{}", "{}", 0)
    asked = e.BackfillRequested(b"j", 1, "x", "s", 1, "all", 5, False, (part,), "")
    told: list[Fault] = []
    audit = ScheduleAudit("s", lambda fault, name, offset: told.append(fault))
    audit.take(0, made)
    audit.take(1, asked)
    refill = e.Refill(1_000, 1 << 46, (1 << 31) - 1, "left", 0)
    audit.take(2, e.BackfillDecided(b"k", 1, "x", "s", 1, 1 << 46, (refill,), 2))
    (fault,) = told
    assert "at most 500 times" in fault.expected


@way
def decision_record_repeated(history: History) -> Named:
    return at(10, history.repeat(decisions(history, "plain", "fired")[0]))


@way
def decision_made_again_while_in_flight(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[1]
    return at(10, history.insert(entry, entry))


@way
def decision_made_again_later(history: History) -> Named:
    entry, after, *_ = decisions(history, "plain", "fired")
    return at(11, history.insert(entry, after, basis=after.offset + 1))


@way
def basis_beyond_its_offset(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[1]
    entry.alter(basis=entry.offset + 1)
    return at(10, entry)


@way
def decision_before_the_schedule_was_made(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[0]
    entry.alter(basis=0)
    return at(10, entry)


@way
def cursor_moved_without_the_ticks(history: History) -> Named:
    entry = decisions(history, "plain", "suppressed")[0]
    entry.alter(upto=entry.event.upto + 1_000)  # type: ignore[attr-defined]
    return at(11, entry)


@way
def cursor_left_behind(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[1]
    entry.alter(upto=entry.event.upto - 1_000)  # type: ignore[attr-defined]
    return at(11, entry)


@way
def tick_at_another_time(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[0]
    (run,) = ticks(entry)
    entry.alter(ticks=(structs.replace(run, first=run.first + 1, last=run.last + 1),))
    return at(11, entry)


@way
def tick_told_twice_in_one_decision(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[0]
    entry.alter(ticks=ticks(entry) * 2)
    return at(11, entry)


@way
def run_that_counts_one_too_many(history: History) -> Named:
    entry = decisions(history, "plain", "suppressed", count=3)[0]
    (run,) = ticks(entry)
    entry.alter(ticks=(structs.replace(run, count=run.count + 1),))
    return at(11, entry)


@way
def run_that_leaves_one_out(history: History) -> Named:
    entry = decisions(history, "plain", "suppressed", count=3)[0]
    (run,) = ticks(entry)
    entry.alter(ticks=(structs.replace(run, count=run.count - 1),))
    return at(11, entry)


@way
def run_that_begins_late(history: History) -> Named:
    entry = decisions(history, "plain", "suppressed", count=3)[0]
    (run,) = ticks(entry)
    entry.alter(ticks=(structs.replace(run, first=run.first + 1_000, count=run.count - 1),))
    return at(11, entry)


@way
def paused_time_fired(history: History) -> Named:
    entry = decisions(history, "plain", "suppressed", count=3)[0]
    run = ticks(entry)[0]
    entry.alter(ticks=(structs.replace(run, last=run.first, count=1, outcome="fired"),), upto=run.first)
    return at(11, entry)


@way
def time_suppressed_that_was_not_paused(history: History) -> Named:
    return with_outcome(decisions(history, "plain", "fired")[0], "suppressed")


@way
def resume_lost(history: History) -> Named:
    (entry,) = (
        each for each in history.journal if isinstance(each.event, e.SchedulePaused) and not each.event.paused
    )  # fmt: skip
    history.drop(entry)
    # A trigger fires though it is paused; the first time of its own does not.
    return at(11, next(each for each in decisions(history, "plain", "fired") if each.offset > entry.offset))


@way
def fired_beside_a_task_that_runs(history: History) -> Named:
    return with_outcome(decisions(history, "queue", "buffered")[0], "fired")


@way
def buffered_a_second_time(history: History) -> Named:
    return with_outcome(decisions(history, "queue", "fired")[1], "buffered")


@way
def waiting_time_that_never_waited(history: History) -> Named:
    entry = decisions(history, "queue", "dropped")[0]
    entry.alter(ticks=(*ticks(entry), ticks(entry)[0]))
    return at(11, entry)


@way
def trigger_that_nobody_asked_for(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[0]
    (run,) = ticks(entry)
    entry.alter(ticks=(structs.replace(run, kind="trigger"), run))
    return at(11, entry)


@way
def more_runs_than_the_limit(history: History) -> Named:
    entry = decisions(history, "again", "fired")[1]
    (run,) = ticks(entry)
    after = structs.replace(run, first=run.first + 1_000, last=run.last + 1_000)
    entry.alter(ticks=(run, after), upto=after.last, at=after.last)
    return at(11, entry)


@way
def decided_before_it_was_due(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[0]
    entry.alter(at=ticks(entry)[0].first - 1)
    return at(11, entry)


@way
def decision_of_nothing(history: History) -> Named:
    entry = decisions(history, "plain", "fired")[0]
    (run,) = ticks(entry)
    entry.alter(ticks=(), upto=run.last)
    return at(11, entry)


# --- both sides of a tick ---------------------------------------------------------------------------------------------


@way
def request_of_a_tick_lost(history: History) -> Named:
    entry = tasks(history, e.TaskRequested, "queue")[-1]
    _, task_id, _ = by_task(entry)
    for each in [each for each in history.journal if getattr(each.event, "task_id", "") == task_id]:
        history.drop(each)
    fired = [
        each
        for each in decisions(history, "queue", "fired")
        if task_id in [tick_id("queue", run.kind, run.first) for run in ticks(each) if run.outcome == "fired"]
    ]
    return 12, task_id, fired[0].named


@way
def request_of_a_tick_repeated(history: History) -> Named:
    entry = tasks(history, e.TaskRequested, "plain")[0]
    return by_task(history.insert(entry, entry))


@way
def request_of_a_tick_that_never_fired(history: History) -> Named:
    like = tasks(history, e.TaskRequested, "plain")[0]
    ahead = "plain@1970-01-01T02:00:00Z"
    place = TOPICS.journal_of(ahead)
    after = next(entry for entry in reversed(history.journal) if entry.place == place)
    return by_task(history.insert(replace(like, key=ahead.encode()), after, task_id=ahead))


@way
def tick_end_lost(history: History) -> Named:
    told = tasks(history, e.TickEnded, "plain")[-1]
    history.drop(told)
    return by_task(next(end for end in tasks(history, e.TaskSucceeded, "plain") if by_task(end)[1] == by_task(told)[1]))


@way
def tick_end_forged(history: History) -> Named:
    entry = tasks(history, e.TickEnded, "plain")[-1]
    return by_task(history.insert(entry, entry))


@way
def tick_end_record_repeated(history: History) -> Named:
    return at(12, history.repeat(tasks(history, e.TickEnded, "plain")[-1]))


@way
def tick_end_of_another_kind(history: History) -> Named:
    told = tasks(history, e.TickEnded, "plain")[-1]
    told.alter(outcome="failed")
    return by_task(next(end for end in tasks(history, e.TaskSucceeded, "plain") if by_task(end)[1] == by_task(told)[1]))


@way
def missed_though_it_was_found_in_time(history: History) -> Named:
    return with_outcome(decisions(history, "plain", "fired")[0], "missed")


@way
def fired_though_it_was_found_too_late(history: History) -> Named:
    entry = decisions(history, "queue", "fired")[0]
    entry.alter(at=entry.event.at + 366 * 86_400_000)
    return at(11, entry)


# --- the test ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_each_tampering_is_named(name: str) -> None:
    history = History(original())
    wanted = WAYS[name](history)
    first = history.first_violation()
    assert (first.invariant, first.task_id, first.place) == wanted, first


def test_a_follow_up_that_says_another_thing_is_named_at_both_sides() -> None:
    history = History(original())
    (end,) = tasks(history, e.TaskSucceeded, "plain")[-1:]
    (told,) = (each for each in tasks(history, e.TickEnded, "plain") if by_task(each)[1] == by_task(end)[1])
    told.alter(outcome="failed")
    found = {(each.invariant, each.task_id, each.place): each.expected for each in history.judge().violations}
    assert found.keys() == {by_task(end), by_task(told)}
    assert found[by_task(end)].startswith("a TickEnded beside this event")
    assert found[by_task(told)].startswith("an event beside this TickEnded")


def test_a_history_that_is_cut_off_is_not_blamed_for_what_comes_later() -> None:
    history = History(original())
    ends = max(entry.offset for entry in history.journal)
    for position in range(0, ends + 10, 10):
        assert not history.judge(until_position=position).total, position
    for task_id in ("plain", "queue", tasks(history, e.TaskRequested, "plain")[0].key):
        name = task_id if isinstance(task_id, str) else (task_id or b"").decode()
        report = history.judge(task_id=name)
        assert report.events
        assert not report.total, name
