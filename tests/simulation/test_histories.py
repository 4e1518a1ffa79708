"""A few hundred histories, each from its seed.

Other seeds: ``STREAMSCHED_SEEDS=1000-2000 pytest tests/simulation``; one seed again: ``STREAMSCHED_SEEDS=1234-1234``.
"""

from __future__ import annotations

import os

import pytest

from streamsched.domain.events import ChildCreated
from streamsched.runtime import tracker
from streamsched.worker import settlement
from tests.simulation.checker import check
from tests.simulation.harness import World, fold, history

FIRST, _, LAST = os.environ.get("STREAMSCHED_SEEDS", "1-200").partition("-")
SEEDS = range(int(FIRST), int(LAST or FIRST) + 1)

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("seed", SEEDS)
def test_history(seed: int) -> None:
    judge(history(seed), seed)


@pytest.mark.parametrize("seed", SEEDS[::4])
def test_history_with_little_room_for_settled_offsets(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "RUNS_LIMIT", 16)
    monkeypatch.setattr(settlement, "SPREAD", 20)
    monkeypatch.setattr(settlement, "RENEWED", 3)
    judge(history(seed), seed)


def judge(world: World, seed: int) -> None:
    """Check what is in the log, and that the fold counts as the checker does."""
    created = [event for _, event in world.work() if isinstance(event, ChildCreated)]
    verdict = check(world.journal(), created, world.pending())
    view = fold(world)
    for task_id, completed in verdict.completed.items():
        task = view.task(task_id)
        if task is None or task.succeeded != completed:
            verdict.faults.append(f"{task_id}: the fold counts {task and task.succeeded} successes, not {completed}")
    again = f"STREAMSCHED_SEEDS={seed} pytest tests/simulation"
    assert not verdict.faults, "\n".join([*verdict.faults, "again:", again, *world.story])
