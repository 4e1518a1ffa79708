"""Redrives by selector (design-life.md 7): who runs again, what waits meanwhile, and what counts afterwards."""

from __future__ import annotations

import pytest

from streamsched.domain import events as e
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.policy import FailurePolicy
from streamsched.domain.selector import parse
from tests.unit.domain.test_evolve import ONCE, Story

SUCCEEDED, FAILED, CANCELLED, WAITING = (
    ChildState.SUCCEEDED, ChildState.FAILED, ChildState.CANCELLED, ChildState.WAITING,
)  # fmt: skip


def ended(tolerate: int = 3) -> Story:
    """Return a task with children succeeded, failed, failed, failed."""
    story = Story(4, retry=ONCE, failure=FailurePolicy(count=tolerate)).dispatch(0, 3)
    story.complete(0).fail(1, sequence=3, state='"there"').fail(2).fail(3)
    return story.tell(e.TaskSucceeded, 0, "", 0)


def redrive(story: Story, where: str = "state=failed", scope: str = "failed", number: int = 1) -> Story:
    return story.tell(e.TaskRedriven, number, scope, False, "", "", parse(where))


def select(story: Story, upto: int, *spans: tuple[int, int], number: int = 1) -> Story:
    return story.tell(e.ChildrenSelected, number, upto, tuple(e.Span(*span) for span in spans), 0)


def cancelled() -> Story:
    """Return a task that was cancelled behind its first child."""
    story = Story(6, retry=ONCE).dispatch(0, 0).complete(0).tell(e.TaskCancelRequested, 0, "enough")
    return story.tell(e.ChildrenCancelled, (e.Span(1, 5),), "", 0).tell(e.TaskCancelled, 0, "", 0)


def test_a_tolerated_task_selects_before_it_dispatches() -> None:
    story = redrive(ended())
    assert (story.task.phase, owed(story.task, 0)) == (Phase.RUNNING, Action.SELECT)
    select(story, 2, (1, 1))
    assert owed(story.task, 0) is Action.SELECT, "no dispatch before the selection is over"
    select(story, 4, (3, 3))
    assert story.states() == [SUCCEEDED, WAITING, FAILED, WAITING]
    assert (owed(story.task, 0), story.task.due_children(0, 9)) == (Action.DISPATCH, [1, 3])
    assert (story.task.failed, story.task.left_failed) == (1, 1)
    story.dispatch(1, 1, 2)
    assert (story.task.details[1].state, story.task.details[1].attempt) == ('"there"', 1)
    story.dispatch(3, 3, 2).complete(1, 2).complete(3, 2)
    assert story.task.phase is Phase.SUCCEEDING


def test_a_cursor_never_goes_back_and_a_child_is_judged_once() -> None:
    story = select(redrive(ended()), 2)
    for upto in (0, 1, 2, 5):
        void = story.task.void
        assert select(story, upto, (1, 3)).task.void == void + 1
    assert select(story, 4, (1, 3)).states() == [SUCCEEDED, FAILED, WAITING, WAITING]
    void = story.task.void
    assert select(story, 4, (1, 1)).task.void == void + 1, "the selection is over"
    assert story.states()[1] is FAILED


@pytest.mark.parametrize(("scope", "first"), [("failed", SUCCEEDED), ("all", WAITING)])
def test_what_succeeded_runs_again_only_with_all(scope: str, first: ChildState) -> None:
    assert select(redrive(ended(), "index>=0", scope), 4, (0, 3)).states() == [first, WAITING, WAITING, WAITING]


def test_a_selection_ends_with_its_phase() -> None:
    story = select(redrive(ended()), 2, (1, 1)).tell(e.TaskCancelRequested, 1, "enough")
    assert (story.task.selector, owed(story.task, 0)) == (None, Action.CANCEL)
    assert list(story.task.idle_spans()) == [e.Span(1, 1)]
    void = story.task.void
    assert select(story, 4, (2, 3)).task.void == void + 1
    story.tell(e.ChildrenCancelled, (e.Span(1, 1),), "", 0).tell(e.TaskCancelled, 1, "", 0)
    assert story.states() == [SUCCEEDED, CANCELLED, FAILED, FAILED]
    assert story.task.next_due() is None
    select(redrive(story, "state=cancelled", number=2), 4, (1, 1), number=2).dispatch(1, 1, 2)
    assert story.task.details[1].state == '"there"', "it had not begun meanwhile"


def test_only_its_own_redrive_selects() -> None:
    story = redrive(ended())
    assert select(story, 4, (1, 3), number=2).task.void == 1
    assert story.task.selector is not None


def test_what_is_left_out_does_not_fail_fast_but_counts_in_the_end() -> None:
    story = ended()
    story.task.template = Story(4, retry=ONCE, failure=FailurePolicy(count=1)).task.template  # lowered since
    select(redrive(story), 4, (1, 1)).dispatch(1, 1, 2)
    story.fail(1, 2)
    assert story.task.phase is Phase.FAILING
    assert story.task.reason == "3 of 4 children did not succeed, 2 of them were left out of the redrive"


def test_too_many_new_failures_fail_fast() -> None:
    story = ended()
    story.task.template = Story(4, retry=ONCE, failure=FailurePolicy(count=0)).task.template
    select(redrive(story), 4, (1, 2)).dispatch(1, 2, 2).fail(1, 2)
    assert story.task.phase is Phase.FAILING
    assert story.task.live == 1


def test_children_that_were_never_dispatched_are_selected_too() -> None:
    story = select(redrive(cancelled(), "index=2..3"), 6, (2, 3))
    assert story.states() == [SUCCEEDED, CANCELLED, WAITING, WAITING, CANCELLED, CANCELLED]
    assert (story.task.idle, story.task.cancelled) == (2, 3)
    story.dispatch(2, 3).complete(2).complete(3)
    assert story.task.phase is Phase.FAILING
    assert story.task.reason == "3 of 6 children did not succeed, 3 of them were left out of the redrive"


def test_a_selection_of_nothing_ends_as_what_is_left_out_says() -> None:
    assert select(redrive(ended()), 4).task.phase is Phase.SUCCEEDING
    assert select(redrive(cancelled()), 6).task.phase is Phase.FAILING


def test_a_task_without_work_children_has_nothing_to_select() -> None:
    story = Story(-1).tell(e.TaskCancelRequested, 0, "enough").tell(e.TaskCancelled, 0, "", 0)
    assert redrive(story).task.phase is Phase.CANCELLED
