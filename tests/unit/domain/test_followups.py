"""The table of follow-ups: what is written beside an event can be told again from what was written."""

from __future__ import annotations

from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.domain.followups import AGREED, FOLLOWUPS, Followup, as_followup, followups
from streamsched.domain.task import Load, Task

SIGNED = (b"i" * 16, 1, "me")
TICK = "s@1970-01-01T00:00:00Z"


def task(task_id: str, redrive: int = 0) -> Task:
    made = Task(e.TaskRequested(*SIGNED, task_id, "t", "1", "{}", "{}", 0, "", None), Load())
    made.redrive = redrive
    return made


def test_the_agreed_fields_are_fields_of_their_events() -> None:
    for kind, names in AGREED.items():
        assert set(names) <= set(kind.__struct_fields__) - {"event_id", "at", "by"}


@pytest.mark.parametrize("kind", [e.TaskSucceeded, e.TaskFailed, e.TaskCancelled, e.TaskRefused])
def test_the_end_of_a_tick_is_written_to_its_schedule(kind: type[Any]) -> None:
    refused = kind is e.TaskRefused
    event = kind(*SIGNED, TICK, *((b"r", "", 1) if refused else (2, "", 1)))
    (found,) = followups(task(TICK, redrive=2), event)
    outcome = kind.__name__.removeprefix("Task").lower()
    assert found == Followup(e.TickEnded, ("s", TICK, outcome, 2))
    assert as_followup(e.TickEnded(*SIGNED, **found.fields)) == found
    assert found.key == "s"
    plain = kind(*SIGNED, "plain", *((b"r", "", 1) if refused else (2, "", 1)))
    assert followups(task("plain"), plain) == ()


def test_only_the_first_dispatch_of_a_redrive_reopens_a_tick() -> None:
    event = e.ChildrenDispatched(*SIGNED, TICK, (e.Release(0, 0, 1, 0),), 1)
    assert followups(task(TICK), event) == ()
    redriven = task(TICK, redrive=1)
    assert followups(redriven, event) == (Followup(e.TickReopened, ("s", TICK, 1)),)
    redriven.reopened = True
    assert followups(redriven, event) == ()


def test_what_fires_is_requested_and_what_is_redriven_is_redriven() -> None:
    ticks = (e.Ticks("tick", 0, 0, 1, "fired"), e.Ticks("tick", 1_000, 2_000, 2, "missed"))
    assert followups(None, e.TicksDecided(*SIGNED, "s", 2_000, ticks, 1)) == (
        Followup(e.TaskRequested, (TICK, "schedule s")),
    )
    refills = (e.Refill(0, 0, 1, "redriven", 3), e.Refill(1_000, 1_000, 1, "left", 0))
    (found,) = followups(None, e.BackfillDecided(*SIGNED, "s", 2, 1_000, refills, 1))
    assert found == Followup(e.TaskRedriven, (TICK, 3, "schedule s, backfill 2"))


@pytest.mark.parametrize("origin", ["", "submit", "schedule other"])
def test_what_people_ask_for_is_no_follow_up(origin: str) -> None:
    assert as_followup(e.TaskRequested(*SIGNED, TICK, "t", "1", "{}", "{}", 0, origin, None)) is None
    assert as_followup(e.TaskRedriven(*SIGNED, TICK, 1, "all", False, origin, "")) is None
    assert as_followup(e.TaskRequested(*SIGNED, "plain", "t", "1", "{}", "{}", 0, "schedule s", None)) is None


def test_events_without_a_rule_have_no_follow_up() -> None:
    assert e.ChildCompleted not in FOLLOWUPS
    assert followups(None, e.PartitionReset(*SIGNED, 1)) == ()
