"""Histories by the hundred: the real nodes over the memory log, struck by everything that can go wrong.

More of them: ``make soak HISTORIES=100000 FIRST=5000``; one again: ``python -m tests.simulation SEED``.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation import history as histories
from tests.simulation import runner
from tests.simulation.faults import KINDS, Fault
from tests.simulation.runner import attempt, run
from tests.simulation.scenario import scenario, without_pages, without_redrives, without_schedules
from tests.simulation.shrink import shrink
from tests.simulation.world import World

HISTORIES = 500
FOUND = [
    (561, None, "a worker that read no further, for it held enough, could not make its place shorter, and stood still"),
    (
        75,
        {"runs": 16, "renewed": 1, "outcomes": 1},
        "room was made for one commit, and used up by the next move, for ever",
    ),
    (22748, None, "a partition was handed on before what it held was counted: one child took worker after worker down"),
    (40682, None, "moving records up to make room isolated the stop markers between them even more, for ever"),
    (80756, None, "outcomes that went alone were followed by the start of their children"),
]
"""Seeds (and limits, where they are not the seed's own) that once found a fault of the product, and which.

They told of tasks alone then.
"""
FOUND_OF_SCHEDULES = [
    (1, "a schedule made again after its deletion moved on past times that nobody had decided about"),
    (4, "a schedule changed after its last run fired the times since"),
    (7229, "records that were to be counted as recovered moved up to make room, uncounted, for ever"),
]
"""Seeds that once found a fault in a history with schedules, before anything went on after its end."""
FOUND_OF_REDRIVES = [
    (36, "a schedule was not told of a task that went on and was never planned before"),
    (94, "what a backfill fired became a time of the schedule, which waited for its end for ever"),
    (953, "a backfill had a part that held for no time: nobody could read it, and its client waited for ever"),
    (7_001_167, "a partition was read again from its committed position for every record that was set aside in it"),
]
"""The same of histories in which tasks, and times, are gone through once more. No task had a split child then."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let the nodes keep their warnings to themselves: there are thousands."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_histories() -> None:
    report = run(range(1, HISTORIES + 1), processes=os.cpu_count() or 1)
    assert report.failure is None, report.failure
    assert report.histories == HISTORIES
    assert not [kind for kind in KINDS if not report.coverage[kind]], "kinds of faults that never struck"


@pytest.mark.parametrize(("seed", "limits", "what"), FOUND)
def test_what_was_found_once(seed: int, limits: dict[str, int] | None, what: str) -> None:
    plan = without_schedules(scenario(seed))
    plan = plan if limits is None else replace(plan, limits=limits)
    report = attempt(seed, plan)
    assert report.failure is None, (what, report.failure)


@pytest.mark.parametrize(("seed", "what"), FOUND_OF_SCHEDULES)
def test_what_was_found_of_schedules_once(seed: int, what: str) -> None:
    assert scenario(seed).schedules
    report = attempt(seed, without_redrives(scenario(seed)))
    assert report.failure is None, (what, report.failure)


@pytest.mark.parametrize(("seed", "what"), FOUND_OF_REDRIVES)
def test_what_was_found_of_redrives_once(seed: int, what: str) -> None:
    report = attempt(seed, without_pages(scenario(seed)))
    assert report.failure is None, (what, report.failure)


@pytest.mark.slow
def test_a_seed_makes_one_history() -> None:
    say = "from tests.simulation.history import *; from tests.simulation.scenario import *; import sys;"
    say += "world = history(971, scenario(971)); live(world); print(world.story, world.ends())"
    told = [
        subprocess.run(
            [sys.executable, "-c", say], env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, check=True
        ).stdout
        for salt in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0]) > 1_000


def test_faults_told_again_strike_alike() -> None:
    plan = scenario(971)
    first = histories.history(971, plan)
    histories.live(first)
    again = histories.history(971, plan, [Fault.parse(str(fault)) for fault in first.dice.struck])
    histories.live(again)
    assert first.dice.struck
    assert (first.story, first.ends()) == (again.story, again.ends())


@pytest.mark.slow
def test_a_failing_history_is_told_as_short_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(world: World) -> list[str]:
        return ["two were killed"] if world.happened["killed"] >= 2 else []

    monkeypatch.setattr(runner, "judge", judge)
    kinds = frozenset({"killed", "node joins", "drain", "transaction refused", "handler fails"})
    plan = replace(scenario(1), kinds=kinds, factor=4.0, turns=300, limits={"spread": 20})
    failure = attempt(1, plan).failure
    assert failure is not None
    short = shrink(failure, seconds=float("inf"))
    assert [fault.kind for fault in short.script] == ["killed", "killed"]
    assert short.plan.turns < failure.plan.turns
    assert attempt(1, short.plan, short.script).failure == short
