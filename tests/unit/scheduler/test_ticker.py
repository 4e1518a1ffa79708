"""Schedules in the scheduler's loop: a tick and its task in one transaction, once, whoever decides."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.domain.overlap import SchedulePolicy
from streamsched.log.port import TransactionAborted
from streamsched.runtime.identity import Identity
from streamsched.scheduler.node import Scheduler
from streamsched.view.store import MemoryStore, Store
from streamsched.view.view import View
from tests.support import worker_case
from tests.unit.scheduler.test_rounds import TEMPLATE, Office

SECOND = '{"interval":[{"every":"1s"}]}'
BAD = "{"


class Clockwork(Office):
    """An office whose clock is moved by hand, with a schedule each second."""

    def __init__(self) -> None:
        self.clock = worker_case.TestClock()
        super().__init__(self.clock)
        self.store: Store = MemoryStore()

    def schedule(
        self, template: str = TEMPLATE.to_json(), params: str = '{"n":"${tick.nominal:epoch}"}', **policy: Any
    ) -> None:
        rules = SchedulePolicy(**policy).to_json()
        self.tell(e.ScheduleSet, 0, SECOND, rules, "t", "1", template, params, 0)

    def tell(self, cls: type[Any], *fields: Any) -> None:
        event = cls(self.me.ids(), self.clock.now(), "me", "s", *fields)
        self.log.append([self.records.journal(event, "s")])

    def start(self, name: str = "s") -> Scheduler:
        return Scheduler(
            log=self.log, topics=self.topics, codec=self.codec, view=View(self.store, self.codec),
            me=Identity(name, name, self.clock), pause=lambda seconds: None,
        )  # fmt: skip

    def run(self, scheduler: Scheduler, seconds: float) -> None:
        """Let it work for so many seconds."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            scheduler.step(0.0)

    def events(self, cls: type[Any]) -> list[Any]:
        reader = self.log.reader()
        reader.assign(self.log.start(self.topics.journal()))
        found = [self.codec.decode(record) for record in reader.poll(100_000, 0.0)]
        return [event for event in found if isinstance(event, cls)]


def test_each_tick_is_one_task_with_the_values_of_its_time() -> None:
    office = Clockwork()
    office.schedule(overlap="allow_all")
    office.run(office.start(), 5.5)
    requests = office.events(e.TaskRequested)
    assert len(requests) == 5
    nominals = [run.first for event in office.events(e.TicksDecided) for run in event.ticks]
    assert [request.params for request in requests] == [f'{{"n":{nominal // 1000}}}' for nominal in nominals]
    assert {request.origin for request in requests} == {"schedule s"}
    assert len(office.events(e.TaskPlanned)) == 5


def test_the_end_of_its_task_is_told_to_the_schedule() -> None:
    office = Clockwork()
    office.schedule(template=BAD)
    scheduler = office.start()
    office.run(scheduler, 3.5)
    ended = office.events(e.TickEnded)
    assert [event.outcome for event in ended] == ["refused"] * 3
    assert [event.task_id for event in ended] == [request.task_id for request in office.events(e.TaskRequested)]
    assert scheduler.view.schedules["s"].running == {}
    assert scheduler.view.schedules["s"].counts == {"fired": 3}, "none met a task that still ran"


def test_a_task_that_was_never_planned_before_its_redrive_is_told_to_the_schedule_too() -> None:
    office = Clockwork()
    office.schedule()
    scheduler = office.start()
    while not office.events(e.TaskRequested):
        office.run(scheduler, 0.1)
    task_id = office.events(e.TaskRequested)[0].task_id
    cancel = office.me.sign(e.TaskCancelRequested, task_id=task_id, redrive=0, reason="")
    office.log.append([office.records.journal(cancel, task_id)])
    office.run(scheduler, 0.3)
    assert [(event.task_id, event.outcome) for event in office.events(e.TickEnded)] == [(task_id, "cancelled")]
    redriven = office.me.sign(
        e.TaskRedriven, task_id=task_id, redrive=1, scope="failed", restart=False, origin="", reason=""
    )
    beat = office.me.sign(
        e.NodeBeat, node_id="w", name="w", role="worker", version="1", state="running", member_id="m",
        transactional_id="t", slots=9, free=9, pending=0, partitions=(0,), running=(), loop_age=0,
    )  # fmt: skip
    office.log.append([office.records.journal(redriven, task_id), office.records.beat(beat, "w")])
    office.run(scheduler, 0.3)
    assert task_id in {event.task_id for event in office.events(e.ChildrenDispatched)}
    assert [(event.task_id, event.redrive) for event in office.events(e.TickReopened)] == [(task_id, 1)]


def test_an_aborted_decision_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Clockwork()
    office.schedule(overlap="allow_all")
    scheduler = office.start()
    office.run(scheduler, 0.5)
    commit = scheduler._ownership.commit
    refused: list[bool] = []

    def refuse_first(*args: Any, **options: Any) -> Any:
        if not refused and any(append.key == b"s" for append in args[0]):
            refused.append(True)
            raise TransactionAborted("not now")
        return commit(*args, **options)

    monkeypatch.setattr(scheduler._ownership, "commit", refuse_first)
    office.run(scheduler, 3)
    assert refused
    assert len(office.events(e.TaskRequested)) == 3


def test_another_scheduler_goes_on_from_the_view_or_from_nothing() -> None:
    office = Clockwork()
    office.schedule(overlap="buffer_all")
    first = office.start()
    office.run(first, 2.5)
    office.tell(e.SchedulePaused, True, "a note")
    office.run(first, 0.5)
    first.view.flush()
    kept, told = View(office.store, office.codec).schedules["s"], first.view.schedules["s"]
    for name in ("version", "cursor", "note", "running", "waiting", "counts", "paused", "left", "timeline", "state"):
        assert getattr(kept, name) == getattr(told, name), name
    first.stop()
    second = office.start("other")
    office.tell(e.SchedulePaused, False, "")
    office.run(second, 5)
    fates = Counter(run.outcome for event in office.events(e.TicksDecided) for run in event.ticks)
    assert (fates["fired"], fates["suppressed"]) == (1, 1)
    assert len(office.events(e.TaskRequested)) == 1


def test_a_time_that_came_while_nobody_ran_is_made_up_for_or_missed() -> None:
    office = Clockwork()
    office.schedule(overlap="allow_all", catchup_window_ms=10_000, max_catchup_runs=4)
    office.clock.advance(60)
    scheduler = office.start()
    office.run(scheduler, 0.5)
    assert scheduler.view.schedules["s"].counts == {"missed": 56, "fired": 4}


@pytest.mark.parametrize("params", ['{"n":"${tick.nominal}"', "[" * 100_000 + '"${"', '{"n":"${tick.noon}"}', '["${"]'])
def test_parameters_that_nobody_wrote_by_our_means_refuse_the_task_and_stop_no_scheduler(params: str) -> None:
    office = Clockwork()
    office.schedule(params=params)
    office.run(office.start(), 1.5)
    assert len(office.events(e.TaskRefused)) == 1
    assert [event.outcome for event in office.events(e.TickEnded)] == ["refused"]
