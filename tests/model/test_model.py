"""Claim, pending set and owed decisions, explored in full; and what breaks them, so that the models are tested too."""

from __future__ import annotations

from random import Random

import pytest

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.owed import owed
from streamsched.domain.policy import RUN_ALL, FailurePolicy
from streamsched.domain.task import Load
from tests.model.explore import explore
from tests.model.owed import owed_model
from tests.model.pending import pending_model
from tests.model.task import OUTCOMES, Event, Fold, Task
from tests.support.journals import request, template


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pending_set_explored_in_full() -> None:
    explored = explore(pending_model())
    assert not explored.fault, explored.story
    assert explored.states > 50_000
    assert explored.ends


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_owed_decisions_explored_in_full() -> None:
    explored = explore(owed_model())
    assert not explored.fault, explored.story
    assert explored.states > 200_000
    assert explored.ends


CLAIM = ("unstable read believed", "claim not committed")


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    [
        *CLAIM, "settled ignored", "outcome outside", "checkpoint outside", "marker before its child",
        "marker before the end", "offsets left out", "counter not raised", "witness misread", "abort not restored",
    ],
)  # fmt: skip
def test_pending_set_notices(broken: str) -> None:
    assert explore(pending_model([broken])).fault


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    [
        *CLAIM, "two in flight", "decided before the end", "ordinal not compared", "late dispatch unbelieved",
        "end beside live", "failures not judged",
    ],
)  # fmt: skip
def test_owed_decisions_notice(broken: str) -> None:
    assert explore(owed_model([broken])).fault


# --- the model's fold is the real one ---------------------------------------------------------------------------------

ACTIONS = {"plan": "PLAN", "dispatch": "DISPATCH", "stop": "STOP", "rest": "CANCEL", "end": "END"}
STATES = {"waiting": 0, "running": 1, "stopping": 2, "due": 3, "succeeded": 4, "failed": 5, "cancelled": 6}


@pytest.mark.parametrize("seed", range(300))
def test_the_model_folds_and_owes_as_the_real_code_does(seed: int) -> None:
    rng, fold, small = Random(seed), Fold(), Task()
    first = request(template(failure=FailurePolicy(on=RUN_ALL)))
    real = evolve(None, first, Load())
    assert real is not None
    for number in range(1, 30):
        event = _next(rng, fold, small)
        small = fold.evolve(small, event)
        evolve(real, _real(event, number), real.load)
        assert real.phase == small.phase or (small.phase == "over" and real.terminal)
        assert [(int(real.state_of(child)), real.ordinal_of(child)) for child in range(real.children)] == [
            (STATES[child.state], child.ordinal) for child in small.children
        ]
        action = owed(real, 1 << 60)
        assert {ACTIONS[decision[0][0]] for decision in fold.owed(small)} == ({action.name} if action else set())


def _next(rng: Random, fold: Fold, task: Task) -> Event:
    """Make up what comes next: mostly what is owed, or an outcome, be it one that is void."""
    decisions = list(fold.owed(task))
    dice = rng.random()
    if decisions and dice < 0.5:
        return rng.choice(decisions)[0]
    if dice < 0.94:
        return (rng.choice(OUTCOMES), (rng.randrange(2), rng.randint(1, 3)))
    return (rng.choice(("cancel", "reset")), ())


def _real(event: Event, number: int) -> e.Event:
    kind, what = event
    head = (number.to_bytes(16), 1_000, "me", "task")
    if kind in OUTCOMES:
        child, ordinal = what
        run = (*head, child, ordinal, 1, 1)
        if kind == "done":
            return e.ChildCompleted(*run, 1_000, 0, "1")
        if kind == "failed":
            return e.ChildFailed(*run, 1_000, 0, None, "error", "Error", "", "", False, None)
        return e.ChildReturned(*run, 0, None, 0, "") if kind == "back" else e.ChildCancelled(*run, 1_000, 0, None, "")
    if kind in ("dispatch", "stop"):
        releases = tuple(e.Release(child, child, ordinal, 0) for child, ordinal in what)
        return (
            e.ChildrenDispatched(*head, releases, 0)
            if kind == "dispatch"
            else e.ChildrenStopping(*head, releases, "", 0)
        )
    if kind == "rest":
        return e.ChildrenCancelled(*head, tuple(e.Span(child, child) for child in what), "", 0)
    if kind == "end":
        ends = {"succeeding": e.TaskSucceeded, "failing": e.TaskFailed, "cancelling": e.TaskCancelled}
        return ends[what](*head, 0, "", 0)
    if kind == "plan":
        return e.TaskPlanned(*head, 0, 2, "{}", "", 0)
    return e.TaskCancelRequested(*head, 0, "") if kind == "cancel" else e.PartitionReset(*head[:3], 0)
