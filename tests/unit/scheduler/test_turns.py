"""What a task gets in one round: children that are due again, then new ones, in releases that its fold takes."""

from __future__ import annotations

import pytest

from streamsched.domain import events as e
from streamsched.domain.selector import parse
from streamsched.scheduler import turns
from streamsched.scheduler.turns import turn_of
from tests.unit.domain.test_split import Split


def revived() -> Split:
    """Return a task that has revived children 1 and 2, and new ones behind them, 3 and 4."""
    story = Split(fan_in=0).page(1, 1, 2)
    story.tell(e.TaskCancelRequested, 0, "enough").tell(e.ChildCancelled, 0, 1, 1, 1, 900, 1, '{"n":2}', "enough")
    story.tell(e.ChildrenCancelled, (e.Span(1, 2),), "", 0).tell(e.TaskCancelled, 0, "", 0)
    story.tell(e.TaskRedriven, 1, "all", False, "", "", parse("state=cancelled"))
    story.tell(e.ChildrenSelected, 1, 3, (e.Span(1, 2),), 0)
    story.dispatch(0, 0, 2).page(2, 3, 2, ordinal=2)
    return story


def test_children_of_new_pages_are_never_released_together_with_revived_ones_before_them() -> None:
    story = revived()
    turn = turn_of(story.task, 2_000)
    turn.take(4, partition=7)
    assert turn.releases == [e.Release(1, 1, 1, 7), e.Release(2, 2, 1, 7), e.Release(3, 4, 1, 7)]
    void = story.task.void
    story.tell(e.ChildrenDispatched, tuple(turn.releases), 0)
    assert (story.task.void, story.task.live) == (void, 5)


def test_so_many_are_dispatched_again_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    assert turn_of(revived().task, 2_000).due == [1, 2]
    monkeypatch.setattr(turns, "AGAIN", 1)
    assert turn_of(revived().task, 2_000).due == [1]
