"""Pause, resume, terminate, and the told levels: section 1 of the design, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import pytest

from streamsched.domain import events as e
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import ChildState, Hold, Phase, Told
from tests.unit.domain.test_evolve import ONCE, Story

MODES = ("return", "yield", "cancel", "kill")
BACK: tuple[Any, ...] = (e.ChildReturned, 0, 1, 1, 1, 0, None, 0, "drain")
NEVER = 1 << 60


class Held(Story):
    """A task that people pause, resume and end."""

    def pause(self, *, now: bool = False, redrive: int = 0) -> Self:
        return self.tell(e.TaskPaused, redrive, True, now, "wait")

    def resume(self) -> Self:
        return self.tell(e.TaskPaused, 0, False, False, "go on")

    def cancel(self, *, kill: bool = False, redrive: int = 0) -> Self:
        return self.tell(e.TaskCancelRequested, redrive, "enough", kill)

    def told(self, mode: str, child: int = 0, ordinal: int = 1) -> Self:
        return self.tell(e.ChildrenStopping, (e.Release(child, child, ordinal, 7),), "why", 0, mode)

    @property
    def owes(self) -> Action | None:
        return owed(self.task, NEVER)


# --- hold -----------------------------------------------------------------------------------------------------------


def test_a_paused_task_dispatches_nothing_until_it_is_resumed() -> None:
    story = Held(2).pause()
    assert (story.owes, story.task.hold, story.task.hold_reason) == (None, Hold.FINISH, "wait")
    story.resume()
    assert (story.owes, story.task.hold, story.task.hold_reason) == (Action.DISPATCH, Hold.NONE, "")


def test_planning_goes_on_while_it_is_paused() -> None:
    story = Held(-1).pause()
    assert story.owes is Action.PLAN
    story.tell(e.TaskPlanned, 0, 2, "{}", "", 0)
    assert story.task.phase is Phase.RUNNING
    assert owed(story.task, NEVER) is None


def test_a_pause_is_void_for_another_redrive_without_a_change_closing_or_at_the_end() -> None:
    story = Held(1).pause(redrive=1)
    assert (story.task.hold, story.task.void) == (Hold.NONE, 1)
    assert story.resume().task.void == 2
    assert story.pause().pause().task.void == 3
    assert story.pause(now=True).task.hold is Hold.NOW
    assert story.pause().task.hold is Hold.FINISH
    story.cancel()
    assert story.pause().resume().task.void == 5
    story.tell(e.ChildrenCancelled, (e.Span(0, 0),), "", 0).tell(e.TaskCancelled, 0, "", 0)
    assert story.pause().task.void == 6


@pytest.mark.parametrize("ending", ["last child", "failure", "cancel"])
def test_the_hold_ends_when_the_phase_closes_and_a_redrive_does_not_begin_paused(ending: str) -> None:
    story = Held(2, retry=ONCE).dispatch(0, 1).complete(0).pause(now=True)
    if ending == "last child":
        story.complete(1)
    elif ending == "failure":
        story.fail(1)
    else:
        story.cancel()
    assert (story.task.hold, story.task.hold_reason) == (Hold.NONE, "")
    if ending != "last child":
        story.told("cancel", 1).tell(*BACK[:1], 1, *BACK[2:])
        end = e.TaskFailed if ending == "failure" else e.TaskCancelled
        story.tell(end, 0, "", 0).tell(e.TaskRedriven, 1, "failed", False, "", "")
        assert (story.task.phase, story.owes) == (Phase.RUNNING, Action.DISPATCH)


def test_a_dispatch_in_flight_when_the_pause_lands_is_believed_and_then_told() -> None:
    story = Held(2).pause().dispatch(0, 1)
    assert (story.task.live, story.owes) == (2, Action.STOP)
    story.told("return", 0).told("return", 1)
    assert story.owes is None


# --- told levels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_level_says_what_becomes_of_what_is_returned_or_may_be_tried_again(mode: str) -> None:
    state = ChildState.DUE if mode in ("return", "yield") else ChildState.CANCELLED
    assert Held().dispatch(0, 2).told(mode).tell(*BACK).states()[0] is state
    assert Held().dispatch(0, 2).told(mode).fail(0).states()[0] is state
    story = Held().dispatch(0, 2).told(mode).complete(0)
    assert story.states()[0] is ChildState.SUCCEEDED
    assert not any(story.task.told)


def test_no_attempt_is_used_up_by_a_pause() -> None:
    story = Held(1).dispatch(0, 0).pause(now=True).told("yield").tell(*BACK).resume()
    assert (story.task.detail_of(0).attempt, story.owes) == (1, Action.DISPATCH)


def test_a_level_rises_and_never_falls() -> None:
    story = Held(1).dispatch(0, 0)
    for mode, told in (("return", 1), ("kill", 4), ("cancel", 4), ("yield", 4)):
        story.told(mode)
        assert story.task.told_of(0) == told
        assert story.task.told[1:] == [level <= told for level in (1, 2, 3, 4)]
    assert story.task.void == 2


def test_each_higher_level_is_owed_until_it_is_told() -> None:
    story = Held(1).dispatch(0, 0)
    wanted = []
    steps: tuple[Callable[[], object], ...] = (
        story.pause, lambda: story.pause(now=True), story.cancel, lambda: story.cancel(kill=True),
    )  # fmt: skip
    for step in steps:
        step()
        assert story.owes is Action.STOP
        wanted.append(story.task.wanted)
        story.told(story.task.wanted.name.lower())
        assert story.owes is None
    assert wanted == [Told.RETURN, Told.YIELD, Told.CANCEL, Told.KILL]


def test_a_lower_hold_asks_nothing_more_of_what_was_told() -> None:
    story = Held(1).dispatch(0, 0).pause(now=True).told("yield").pause()
    assert (story.task.wanted, story.owes) == (Told.RETURN, None)


def test_what_was_told_to_return_and_is_dispatched_again_was_told_nothing() -> None:
    story = Held(1).dispatch(0, 0).pause().told("return").tell(*BACK).resume().dispatch(0, 0, ordinal=2)
    assert (story.task.told_of(0), story.task.told) == (Told.NOTHING, [0] * 5)


# --- terminate ------------------------------------------------------------------------------------------------------


def test_kill_counts_in_any_closing_phase_once_and_ends_with_the_terminal_event() -> None:
    for fails in (False, True):
        story = Held(2, retry=ONCE).dispatch(0, 1)
        story.fail(1) if fails else story.cancel()
        phase, reason = story.task.phase, story.task.reason
        story.cancel(kill=True)
        assert (story.task.phase, story.task.reason, story.task.wanted) == (phase, reason, Told.KILL)
        assert story.task.void == 0
        assert story.cancel(kill=True).cancel().cancel(kill=True, redrive=1).task.void == 3
        story.told("kill").told("kill", 1).tell(*BACK)
        story.tell(*BACK[:1], 1, *BACK[2:]).tell(e.TaskCancelled, 0, "", 0).tell(e.TaskFailed, 0, "", 0)
        assert (story.task.terminal, story.task.kill, story.task.wanted) == (True, False, Told.NOTHING)


def test_kill_of_a_running_task_closes_it_at_the_highest_level() -> None:
    story = Held(1).dispatch(0, 0).cancel(kill=True)
    assert (story.task.phase, story.task.wanted, story.owes) == (Phase.CANCELLING, Told.KILL, Action.STOP)
