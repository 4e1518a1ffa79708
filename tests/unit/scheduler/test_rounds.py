"""The scheduler's rounds: bounded, whatever has piled up."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.domain import evolve
from streamsched.domain.ids import EventIds
from streamsched.domain.owed import owed
from streamsched.domain.param import Param
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.template import ChildSpec, Template
from streamsched.log.codec import Codec
from streamsched.log.memory import MemoryLog
from streamsched.log.topics import Topics
from streamsched.runtime import metrics
from streamsched.runtime.clock import Clock, SystemClock
from streamsched.runtime.commit_metadata import INITIAL
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from streamsched.scheduler import tasks
from streamsched.scheduler.decider import REFUSALS
from streamsched.scheduler.node import Scheduler
from streamsched.testing.clock import VirtualClock
from streamsched.view.store import MemoryStore
from streamsched.view.view import View

TEMPLATE = Template(
    name="t",
    params={"n": Param(type="integer")},
    split=RangeSplit(first=1, last="${n}", size=1),
    child=ChildSpec(handler="m:f"),
)


class Office:
    """A scheduler without workers."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.topics = Topics(event_partitions=1, child_partitions=1)
        self.codec = Codec()
        clock = clock or SystemClock()
        self.log = MemoryLog(clock=clock.now)
        self.log.create_topics(self.topics.specs())
        self.log.commit_initial(self.topics.scheduler_group, self.topics.journal(), INITIAL.encode())
        self.records = Records(self.codec, self.topics)
        self.me = Identity("me", "me", clock, EventIds())
        self.view = View(MemoryStore(), self.codec)

    def submit(self, *task_ids: str, children: int = 1) -> None:
        for task_id in task_ids:
            request = self.me.sign(
                e.TaskRequested, task_id=task_id, template_name="t", template_version="1",
                template=TEMPLATE.to_json(), params=json.dumps({"n": children}), priority=0, origin="test",
                traceparent=None,
            )  # fmt: skip
            self.log.append([self.records.journal(request, task_id)])

    def scheduler(self) -> Scheduler:
        return Scheduler(
            log=self.log, topics=self.topics, codec=self.codec, view=self.view,
            me=Identity("s", "s", self.me.clock), pause=lambda seconds: None,
        )  # fmt: skip

    def rounds(self, scheduler: Scheduler, turns: int) -> list[Counter[str]]:
        """Let it work; count the new events of each turn."""
        reader = self.log.reader()
        reader.assign(self.log.end(self.topics.journal()))
        found = []
        for _ in range(turns):
            scheduler.step(0.0)
            records = reader.poll(100_000, 0.0)
            found.append(Counter(type(self.codec.decode(record)).__name__ for record in records))
        return found


def test_a_pile_of_requests_is_planned_in_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "DECISIONS", 10)
    office = Office()
    office.submit(*map(str, range(55)))
    planned = [each["TaskPlanned"] for each in office.rounds(office.scheduler(), 12)]
    assert max(planned) == 10
    assert sum(planned) == 55


def test_a_task_whose_decisions_the_fold_refuses_waits_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    office = Office(clock)
    scheduler = office.scheduler()
    office.submit("refused", "fine")
    rules: dict[Any, Any] = evolve._APPLY
    plan = rules[e.TaskPlanned]
    monkeypatch.setitem(rules, e.TaskPlanned, lambda task, event: task.task_id == "fine" and plan(task, event))
    monkeypatch.setattr(metrics, "_sink", recorded := metrics.Recorded())

    def plans(seconds: float = 0.0) -> int:
        made = office.rounds(scheduler, 30)
        for _ in range(round(2 * seconds)):  # more at once would look as if the node had been frozen
            clock.advance(0.5)
            made += office.rounds(scheduler, 3)
        return sum(made, Counter[str]())["TaskPlanned"]

    assert plans() == REFUSALS + 1
    assert office.view.active["fine"].phase == "running"
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "task refused stands still: its TaskPlanned had no effect" in record.message
    assert [plans(seconds) for seconds in (0.5, 0.5, 1.5, 0.5, 4, 8, 16, 32)] == [0, 1, 0, 1, 1, 1, 1, 1]
    assert [plans(60) for _ in range(20)] == [1] * 20, "it does not wait longer than a minute"
    assert recorded.values["streamsched_decisions_refused_total",] == 27
    office.submit("late")
    assert plans() == REFUSALS, "each counts for itself"
    monkeypatch.undo()
    assert plans(60) == 2
    assert {task.phase for task in office.view.active.values()} == {"running"}


def test_tasks_that_nobody_can_run_cost_nothing_until_an_announcement_wakes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office()
    scheduler = office.scheduler()
    looks = Counter[str]()
    monkeypatch.setattr(tasks, "owed", lambda task, now: looks.update([task.task_id]) or owed(task, now))
    office.submit(*map(str, range(20)))

    def beats(modules: tuple[str, ...]) -> None:
        beat = office.me.sign(
            e.NodeBeat, node_id="w", name="w", role="worker", version="1", state="running", member_id="m",
            transactional_id="t", slots=9, free=9, pending=0, partitions=(0,), running=(), loop_age=0, modules=modules,
        )  # fmt: skip
        office.log.append([office.records.beat(beat, "w")])

    beats(("other",))
    office.rounds(scheduler, 10)
    looks.clear()
    for _ in range(10):
        beats(("other",))
        assert not sum(office.rounds(scheduler, 2), Counter[str]())
    assert not looks, "nobody looks at them"
    beats(("other", "m"))
    assert sum(office.rounds(scheduler, 5), Counter[str]())["ChildrenDispatched"] == 20


def test_a_hungry_task_that_was_cancelled_is_not_fed_before_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    office.submit("hungry")
    scheduler = office.scheduler()
    office.rounds(scheduler, 5)
    monkeypatch.setattr(tasks, "DECISIONS", 1)
    office.submit("one", "two", "three")
    cancel = office.me.sign(e.TaskCancelRequested, task_id="hungry", redrive=0, reason="")
    office.log.append([office.records.journal(cancel, "hungry")])
    beat = office.me.sign(
        e.NodeBeat, node_id="w", name="w", role="worker", version="1", state="running", member_id="m",
        transactional_id="t", slots=9, free=9, pending=0, partitions=(0,), running=(), loop_age=0,
    )  # fmt: skip
    office.log.append([office.records.beat(beat, "w")])
    monkeypatch.setattr(tasks, "ENDING_S", 0.0)
    office.rounds(scheduler, 20)
    task = office.view.task("hungry")
    assert task is not None
    assert task.phase == "cancelled"
    assert task.ordinal_of(0) == 0, "never dispatched"
