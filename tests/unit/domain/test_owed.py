"""What a task owes, phase by phase."""

from __future__ import annotations

from streamsched.domain import events as e
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import Phase
from tests.unit.domain.test_evolve import ONCE, Story


def test_a_request_owes_a_plan_until_it_was_made_or_refused() -> None:
    story = Story(-1)
    assert owed(story.task, 0) is Action.PLAN
    assert owed(story.tell(e.TaskPlanProgressed, 0, "{}", 0).task, 0) is Action.PLAN
    assert owed(story.tell(e.TaskRefused, bytes(16), "no", 0).task, 0) is None


def test_a_running_task_owes_dispatches_while_children_wait() -> None:
    story = Story(2)
    assert owed(story.task, 0) is Action.DISPATCH
    assert owed(story.dispatch(0, 0).task, 0) is Action.DISPATCH
    assert owed(story.dispatch(1, 1).task, 0) is None
    story.fail(0, delay=500)
    assert owed(story.task, 1_499) is None
    assert owed(story.task, 1_500) is Action.DISPATCH


def test_a_cancelled_task_owes_stops_then_the_rest_then_its_end() -> None:
    story = Story(3).dispatch(0, 1).tell(e.TaskCancelRequested, 0, "enough")
    assert owed(story.task, 0) is Action.STOP
    story.stop(0).stop(1)
    assert owed(story.task, 0) is Action.CANCEL
    story.tell(e.ChildrenCancelled, (e.Span(2, 2),), "", 0)
    assert owed(story.task, 0) is None
    story.complete(0).complete(1)
    assert owed(story.task, 0) is Action.END
    story.tell(e.TaskCancelled, 0, "", 0)
    assert (owed(story.task, 0), story.task.phase) == (None, Phase.CANCELLED)


def test_a_dispatch_that_lands_after_the_door_was_closed_is_stopped() -> None:
    story = Story(2).tell(e.TaskCancelRequested, 0, "enough").dispatch(0, 1)
    assert owed(story.task, 0) is Action.STOP


def test_a_failing_task_does_not_wait_for_a_retry() -> None:
    story = Story(2, retry=ONCE).dispatch(0, 1).fail(0)
    assert owed(story.task, 0) is Action.STOP
    assert owed(story.fail(1).task, 0) is Action.END


def test_an_empty_task_owes_its_end() -> None:
    assert owed(Story(0).task, 0) is Action.END
