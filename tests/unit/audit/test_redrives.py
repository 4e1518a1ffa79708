"""Whatever is done to a good history of redrives and backfills, ``audit verify`` names it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

import pytest
from msgspec import structs

from streamsched.domain import events as e
from streamsched.domain.overlap import Overlap, SchedulePolicy
from streamsched.domain.tick import tick_id
from streamsched.log.adapter import LogAdapter
from streamsched.testing.clock import VirtualClock
from streamsched.worker import jobs
from tests.support.audit_case import BEGIN_MS, RECORDS, TEMPLATE, Entry, History, ScriptedPool, nodes

Named = tuple[int, str, str]
"""What has to be named: invariant, schedule or task, place."""
Tampering = Callable[[History], Named]
WAYS: Final[dict[str, Tampering]] = {}
DAYS: Final = 100_000
"""Milliseconds between the times of the schedule."""
FIRST: Final = 9 * DAYS


class Troubled(ScriptedPool):
    """Whatever is dispatched for the first time fails for good after a checkpoint, the first child of two excepted."""

    def submit(self, new: Sequence[jobs.Job]) -> None:
        for job in new:
            self._jobs[job.key] = job
            if job.token >> 32 > 1 or job.child == 0:
                self._complete(job)
            else:
                self._checkpoint(job, 1)

    def confirm(self, key: int, number: int) -> None:
        now = self._clock.now()
        self._end(
            jobs.JobFailed(
                key=key, started_at=now, finished_at=now, reason="error", error_type="Trouble", message="",
                traceback="", retryable=False, delay_ms=None, state="1",
            )
        )  # fmt: skip


@cache
def original() -> LogAdapter:
    """A schedule with two times of its own, and three backfills of the days before and those; a task beside it."""
    clock = VirtualClock(BEGIN_MS)
    log, client, _, scheduler, worker = nodes(clock, Troubled(clock))
    body: dict[str, Any] = {
        "spec": json.dumps({"interval": [{"every": f"{DAYS // 1000}s"}]}), "template_name": "made-up",
        "template_version": "1", "template": replace(TEMPLATE, failure=replace(TEMPLATE.failure, count=0)).to_json(),
        "params": '{"n":2}', "priority": 0,
    }  # fmt: skip

    def tell(cls: type[Any], key: str, **fields: Any) -> None:
        log.append([RECORDS.journal(client.sign(cls, **fields), key)])

    def run(seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            scheduler.step(0.0)
            worker.step(0.01)
            clock.advance(0.1)

    def backfill(number: int, reprocess: str, *, newest_first: bool) -> None:
        part = e.BackfillPart(first=FIRST, last=clock.now(), **body)
        tell(
            e.BackfillRequested, "days", schedule_id="days", backfill=number, reprocess=reprocess, max_active=2,
            newest_first=newest_first, parts=(part,), note="",
        )  # fmt: skip
        run(8)

    policy = SchedulePolicy(overlap=Overlap.ALLOW_ALL).to_json()
    tell(e.ScheduleSet, "days", schedule_id="days", expected=0, policy=policy, **body)
    request = {name: body[name] for name in ("template_name", "template_version", "template", "params", "priority")}
    tell(e.TaskRequested, "alone", task_id="alone", origin="test", traceparent=None, **request)
    run(1)
    clock.advance(2 * DAYS / 1000)
    run(4)
    backfill(1, "missing", newest_first=False)
    backfill(2, "failed", newest_first=True)
    backfill(3, "all", newest_first=False)
    tell(e.TaskRedriven, "alone", task_id="alone", redrive=1, scope="failed", restart=False, origin="", reason="")
    tell(e.TaskRedriven, "alone", task_id="alone", redrive=1, scope="failed", restart=False, origin="", reason="")
    run(3)
    return log


def way(tampering: Tampering) -> Tampering:
    WAYS[tampering.__name__] = tampering
    return tampering


def at(invariant: int, entry: Entry) -> Named:
    event: Any = entry.event
    return invariant, getattr(event, "task_id", None) or event.schedule_id, entry.named


def refills(history: History, outcome: str) -> list[Entry]:
    """Find the decisions of backfills in which a time had this outcome."""
    return [
        entry
        for entry in history.journal
        if isinstance(entry.event, e.BackfillDecided) and outcome in {run.outcome for run in entry.event.ticks}
    ]


def runs(entry: Entry) -> tuple[e.Refill, ...]:
    assert isinstance(entry.event, e.BackfillDecided)
    return entry.event.ticks


def number(entry: Entry) -> int:
    assert isinstance(entry.event, e.BackfillDecided)
    return entry.event.backfill


def everything(history: History, kind: type[e.Event]) -> list[Entry]:
    return [entry for entry in history.journal if isinstance(entry.event, kind)]


def test_the_history_is_good_and_has_everything_in_it() -> None:
    history = History(original())
    report = history.judge()
    assert not report.violations, "\n".join(map(str, report.violations))
    assert (report.tasks, report.ended, report.unjudged) == (5, 5, 0)
    found = Counter(run.outcome for entry in everything(history, e.BackfillDecided) for run in runs(entry))
    assert found.keys() == {"fired", "redriven", "left"}, found
    reopened = [entry.event.task_id for entry in everything(history, e.TickReopened)]  # type: ignore[attr-defined]
    assert len(reopened) == found["redriven"] == 8
    succeeded = everything(history, e.TaskSucceeded)
    assert len([entry for entry in succeeded if getattr(entry.event, "redrive", 0) > 0]) == 9
    assert everything(history, e.ChildCheckpointed)


def test_a_redriven_task_is_judged_alone_too() -> None:
    report = History(original()).judge(task_id="alone")
    assert not report.violations, "\n".join(map(str, report.violations))
    assert (report.tasks, report.ended) == (1, 1)


# --- redrives ---------------------------------------------------------------------------------------------------------


@way
def redrive_lost(history: History) -> Named:
    history.drop(history.find(e.TaskRedriven, "alone", 0))
    history.drop(history.find(e.TaskRedriven, "alone", 0))
    return at(5, history.find(e.ChildrenDispatched, "alone", 1))


@way
def redrive_that_begins_its_ordinals_anew(history: History) -> Named:
    entry = history.find(e.ChildrenDispatched, "alone", 1)
    assert isinstance(entry.event, e.ChildrenDispatched)
    entry.alter(releases=tuple(structs.replace(release, ordinal=1) for release in entry.event.releases))
    return at(3, entry)


@way
def redrive_that_does_again_what_succeeded(history: History) -> Named:
    entry = history.find(e.ChildrenDispatched, "alone", 1)
    assert isinstance(entry.event, e.ChildrenDispatched)
    entry.alter(releases=(*entry.event.releases, e.Release(0, 0, 2, entry.event.releases[0].partition)))
    return at(3, entry)


@way
def redrive_ended_twice(history: History) -> Named:
    entry = history.find(e.TaskSucceeded, "alone", 0)
    return at(10, history.insert(entry, entry))


@way
def redrive_ended_as_the_one_before(history: History) -> Named:
    entry = history.find(e.TaskSucceeded, "alone", 0)
    entry.alter(redrive=0)
    return at(10, entry)


@way
def redrive_that_falls_back_behind_its_checkpoint(history: History) -> Named:
    entry = history.find(e.ChildCompleted, "alone", -1)
    entry.alter(sequence=0)
    return at(4, entry)


@way
def plan_made_again_by_a_redrive(history: History) -> Named:
    entry = history.find(e.TaskPlanned, "alone")
    after = history.find(e.TaskRedriven, "alone", 1)
    return at(1, history.insert(entry, after, basis=after.offset + 1))


@way
def reopening_lost(history: History) -> Named:
    entry = everything(history, e.TickReopened)[-1]
    history.drop(entry)
    task_id: str = entry.event.task_id  # type: ignore[attr-defined]
    return at(12, history.find(e.ChildrenDispatched, task_id, -1))


@way
def reopening_forged(history: History) -> Named:
    entry = everything(history, e.TickReopened)[-1]
    return at(12, history.insert(entry, entry))


@way
def tick_end_of_another_redrive(history: History) -> Named:
    entry = everything(history, e.TickEnded)[-1]
    entry.alter(redrive=7)
    return at(12, history.find(e.TaskSucceeded, entry.event.task_id, -1))  # type: ignore[attr-defined]


# --- backfills --------------------------------------------------------------------------------------------------------


@way
def backfill_nobody_asked_for(history: History) -> Named:
    history.drop(everything(history, e.BackfillRequested)[0])
    return at(11, everything(history, e.BackfillDecided)[0])


@way
def backfill_with_more_tasks_than_it_may(history: History) -> Named:
    everything(history, e.BackfillRequested)[0].alter(max_active=1)
    return at(11, refills(history, "fired")[0])


@way
def backfill_that_passes_over_a_time(history: History) -> Named:
    entry = refills(history, "fired")[0]
    entry.alter(ticks=runs(entry)[1:])
    return at(11, entry)


@way
def backfill_that_goes_its_own_way(history: History) -> Named:
    everything(history, e.BackfillRequested)[1].alter(newest_first=False)
    return at(11, next(each for each in everything(history, e.BackfillDecided) if number(each) == 2))


@way
def backfill_up_to_another_time(history: History) -> Named:
    entry = refills(history, "redriven")[0]
    entry.alter(upto=entry.event.upto - 1)  # type: ignore[attr-defined]
    return at(11, entry)


@way
def backfill_with_a_redrive_of_what_is_new(history: History) -> Named:
    entry = refills(history, "fired")[0]
    entry.alter(ticks=(structs.replace(runs(entry)[0], redrive=1), *runs(entry)[1:]))
    return at(11, entry)


@way
def backfill_decision_lost(history: History) -> Named:
    entry = refills(history, "fired")[0]
    history.drop(entry)
    return at(11, next(each for each in everything(history, e.BackfillDecided) if each.offset > entry.offset))


@way
def backfill_decision_repeated(history: History) -> Named:
    return at(10, history.repeat(refills(history, "fired")[0]))


@way
def task_of_a_backfill_lost(history: History) -> Named:
    entry = refills(history, "fired")[0]
    task_id = tick_id("days", "tick", runs(entry)[0].first)
    for each in [*history.journal, *history.work]:
        if each.key == task_id.encode():
            history.drop(each)
    return 12, task_id, entry.named


@way
def task_of_another_backfill(history: History) -> Named:
    entry = refills(history, "fired")[0]
    request = history.find(e.TaskRequested, tick_id("days", "tick", runs(entry)[0].first))
    request.alter(origin="schedule days, backfill 3")
    return at(12, request)


@way
def redrive_that_no_backfill_decided(history: History) -> Named:
    entry = next(each for each in everything(history, e.TaskRedriven) if each.event.origin)  # type: ignore[attr-defined]
    return at(12, history.insert(entry, entry))


# --- the test ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_each_tampering_is_named(name: str) -> None:
    history = History(original())
    wanted = WAYS[name](history)
    first = history.first_violation()
    assert (first.invariant, first.task_id, first.place) == wanted, first
