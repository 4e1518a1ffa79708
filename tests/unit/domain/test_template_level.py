"""Templates of a newer language: what uses nothing new stays as it was, and a node stops at what it cannot read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from streamsched.commands.backfills import WantedBackfill
from streamsched.commands.request import make_request, want
from streamsched.domain import events as e
from streamsched.domain.events import Rate
from streamsched.domain.fairness import Fairness
from streamsched.domain.policy import FAIL_FAST, RUN_ALL, FailurePolicy
from streamsched.domain.splitters.by import BySplit
from streamsched.domain.splitters.grid import GridSplit
from streamsched.domain.template import LEVEL, Command, Param, Template, version
from streamsched.log.codec import UnknownSchema
from tests.support.mini_cluster import TEMPLATE, MiniCluster
from tests.support.samples import Sample
from tests.unit.commands.schedule_case import ScheduleCase

NEW = Template(name=TEMPLATE.name, split=TEMPLATE.split, child=TEMPLATE.child, failure=FailurePolicy(on=RUN_ALL))
GRID = Template(name="grid", split=GridSplit(axes={"a": [1, 2]}), child=TEMPLATE.child.__class__(handler="a:b"))
CALLING = Template(
    name="calling",
    params={"n": Param(type="integer")},
    split=GridSplit(axes={"a": {"first": 1, "last": "${max(n, 5)}"}}),
    child=TEMPLATE.child.__class__(handler="a:b"),
)
WARM = Template(name="w", split=TEMPLATE.split, child=replace(TEMPLATE.child, setup="a:warm", memory_bytes=2**30))
TOTAL = Template(name="t", split=TEMPLATE.split, child=TEMPLATE.child, reduce=GRID.child)
PROGRAM = Template(name="p", split=TEMPLATE.split, child=TEMPLATE.child.__class__(command=Command(words=["./x"])))
PLACED = Template(name="placed", split=TEMPLATE.split, child=TEMPLATE.child, queue="gpu")
NEEDY = Template(name="n", split=TEMPLATE.split, child=replace(TEMPLATE.child, needs=(("a", "1"), ("b", "2"))))
NAMED = Template(name="n", split=TEMPLATE.split, child=TEMPLATE.child, labels={"team": "data"})
LIMITED = Template(
    name="n", split=TEMPLATE.split, child=TEMPLATE.child, deadline_ms=60_000, parallelism=5, rate=Rate(3, 10_000)
)
FAIR = Template(name="f", split=TEMPLATE.split, child=TEMPLATE.child, fairness=Fairness(weight=2))
BY = Template(name="by", split=BySplit(function="a:pieces"), child=GRID.child)
OLD_MARKS = {"TaskRequested": "725ace89372271de", "ScheduleSet": "b6e9354a708e4f06"}


@pytest.fixture(scope="module")
def mini() -> MiniCluster:
    return MiniCluster()


def record(mini: MiniCluster, event: Any, key: str) -> Sample:
    append = mini.records.journal(event, key)
    return Sample(append.value, append.topic, append.partition, key=append.key, headers=tuple(append.headers))


def test_canonical_json_leaves_out_what_is_at_its_default() -> None:
    assert json.loads(TEMPLATE.to_json())["failure"] == {"count": None, "percent": None}
    assert json.loads(NEW.to_json())["failure"] == {"count": None, "percent": None, "on": RUN_ALL}
    assert Template.from_json(NEW.to_json()) == NEW
    assert Template.from_json(TEMPLATE.to_json()).failure.on == FAIL_FAST
    assert version(NEW) != version(TEMPLATE)
    lived = (PLACED, NEEDY, NAMED, LIMITED, FAIR)
    levels = [each.level for each in (TEMPLATE, NEW, GRID, CALLING, TOTAL, PROGRAM, BY, WARM, *lived)]
    assert (levels, LEVEL) == ([0, 1, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4], 4)
    assert "queue" not in json.loads(TEMPLATE.to_json())
    assert json.loads(PLACED.to_json())["queue"] == "gpu"
    assert json.loads(NEEDY.to_json())["child"]["needs"] == {"a": "1", "b": "2"}
    assert [Template.from_json(each.to_json()) for each in (PLACED, NEEDY)] == [PLACED, NEEDY]
    assert "labels" not in json.loads(TEMPLATE.to_json())
    assert Template.from_json(NAMED.to_json()) == NAMED
    said = {"deadline_ms": 60_000, "parallelism": 5, "rate": "3/10s"}
    assert {name: json.loads(LIMITED.to_json())[name] for name in said} == said
    assert not said.keys() & json.loads(TEMPLATE.to_json()).keys()
    assert Template.from_json(LIMITED.to_json()) == LIMITED
    assert json.loads(FAIR.to_json())["fairness"] == {"key": "", "weight": 2}
    assert Template.from_json(FAIR.to_json()) == FAIR
    assert "fairness" not in json.loads(TEMPLATE.to_json())
    later = {"setup", "memory_bytes"}
    assert set(json.loads(WARM.to_json())["child"]) == {*json.loads(TEMPLATE.to_json())["child"], *later}
    assert Template.from_json(WARM.to_json()) == WARM
    assert WARM.handlers == (TEMPLATE.child.handler, "a:warm")
    assert "reduce" not in json.loads(TEMPLATE.to_json())
    assert Template.from_json(TOTAL.to_json()) == TOTAL
    assert "command" not in json.loads(TEMPLATE.to_json())["child"]
    assert Template.from_json(PROGRAM.to_json()) == PROGRAM


def test_a_request_of_the_former_language_is_written_as_before(mini: MiniCluster) -> None:
    plain = make_request(mini.me, want(TEMPLATE, {}, task_id="t"), "test")
    assert mini.codec.encode(plain)[2:10].hex() == OLD_MARKS["TaskRequested"]
    new = make_request(mini.me, want(NEW, {}, task_id="t"), "test")
    assert new.level == 1
    assert mini.codec.encode(new)[2:10].hex() != OLD_MARKS["TaskRequested"]
    assert mini.event_reader().journal(record(mini, new, "t")) == new


def events(mini: MiniCluster, level: int) -> list[tuple[Any, str]]:
    body: dict[str, Any] = {
        "spec": "{}", "template_name": "t", "template_version": "1", "template": NEW.to_json(), "params": "{}",
        "priority": 0,
    }  # fmt: skip
    part = e.BackfillPart(first=1, last=2, **body)
    return [
        (structs.replace(mini.request("t"), level=level), "t"),
        (mini.me.sign(e.ScheduleSet, schedule_id="s", expected=0, policy="{}", level=level, **body), "s"),
        (
            mini.me.sign(
                e.BackfillRequested, schedule_id="s", backfill=1, reprocess="missing", max_active=1,
                newest_first=False, parts=(part, structs.replace(part, first=3, last=4, level=level)), note="",
            ),
            "s",
        ),
    ]  # fmt: skip


def test_a_node_stops_at_a_template_above_its_language(mini: MiniCluster) -> None:
    for event, key in events(mini, LEVEL):
        assert mini.event_reader().journal(record(mini, event, key)) == event
    for event, key in events(mini, LEVEL + 1):
        with pytest.raises(
            UnknownSchema, match=f"a template of level {LEVEL + 1}, above the {LEVEL} that this version reads.*upgrade"
        ):
            mini.event_reader().journal(record(mini, event, key))


def test_schedules_and_backfills_hand_the_level_on(tmp_path: Path) -> None:
    office = ScheduleCase(tmp_path)
    job = tmp_path / "job.yaml"
    job.write_text(job.read_text() + "failure: {on: run_all}\n")
    client, scheduler = office.client(), office.scheduler()
    client.create_schedule(office.want("interval: 10s\noverlap: allow_all\ntemplate: job.yaml\nparams: {n: 0}\n"))
    now = office.clock.now()
    office.run(scheduler, 15)
    client.backfill("nightly", WantedBackfill(start=now - 30_000, end=now))
    office.run(scheduler, 15)
    told = [event for _, event in client.history() if isinstance(event, e.TaskRequested | e.ScheduleSet)]
    assert len(told) >= 4
    assert {event.level for event in told} == {1}
    assert {type(event) for event in told} == {e.TaskRequested, e.ScheduleSet}
