"""Whatever stands in a journal, in whatever order: the fold's counters, phases, endings and what is owed hold."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import CLOSING, LIVE, OPEN, TERMINAL, TRANSITIONS, ChildState, Phase, Told
from streamsched.domain.task import Load, Task
from tests.support.journals import journals

ENDED = (ChildState.SUCCEEDED, ChildState.FAILED, ChildState.CANCELLED)
FOREVER = 1 << 60


def snapshot(task: Task) -> object:
    """Everything of a task that the journal decides, but for what it counted as void."""
    plain = (
        "phase",
        "reason",
        "plan",
        "children",
        "work_end",
        "bound",
        "first_undispatched",
        "live",
        "told",
        "hold",
        "hold_reason",
        "kill",
        "succeeded",
        "failed",
        "cancelled",
    )
    return [getattr(task, name) for name in plain], task.table.tobytes(), dict(task.details), task.next_due()


def recount(task: Task) -> None:
    states = [task.state_of(child) for child in range(task.children)]
    assert task.bound in (task.work_end, task.children)
    assert task.work_end == task.split + task.work
    assert task.children == task.work_end + (task.fan_in if task.sealed and task.plan else 0)
    assert task.pages.tolist() == sorted(set(task.pages))
    assert task.live == sum(state in LIVE for state in states)
    assert task.told[1:] == [sum(LIVE.get(state, 0) >= level for state in states) for level in list(Told)[1:]]
    assert not task.hold or task.phase in OPEN
    assert not (task.kill and task.phase not in CLOSING)
    assert task.succeeded == states.count(ChildState.SUCCEEDED)
    assert task.failed == states.count(ChildState.FAILED)
    assert task.cancelled == states.count(ChildState.CANCELLED)
    known = [(task.detail_of(child), state) for child, state in enumerate(states)]
    assert all(detail.final for detail, state in known if state is ChildState.FAILED)
    ended = Counter(detail.group for detail, _ in known if detail.final)
    assert {key: group.ended for key, group in task.failures.items() if group.ended} == ended
    assert list(task.live_children()) == [child for child, state in enumerate(states) if state in LIVE]
    assert sum(task.live_chunks.values()) == task.live
    assert sorted(task.begun_children()) == list(filter(task.has_begun, task.live_children()))
    for partition in range(3):
        there = [child for child in task.live_children() if task.partition_of(child) == partition]
        assert task.load[partition] == len(there)
    idle = {child for span in task.idle_spans() for child in range(span.first, span.last + 1)}
    assert idle == {child for child, state in enumerate(states) if state in (ChildState.WAITING, ChildState.DUE)}
    due = task.due_children(FOREVER, 100)
    assert sorted(due) == [child for child, state in enumerate(states) if state is ChildState.DUE]


def ending(task: Task) -> object:
    """What is said of a task's ending once it is certain; None before that."""
    if task.finished_at is None:
        assert task.verdict is task.phase
        return None
    assert task.verdict in TERMINAL
    return task.verdict, task.reason, task.finished_at, task.children, task.succeeded, task.failed, task.cancelled


def speaks(task: Task) -> None:
    """A task is silent only at its end, or while a worker still has a child that it was told all about."""
    action = owed(task, FOREVER)
    if task.phase in TERMINAL:
        assert action is None
    elif task.phase is Phase.RUNNING:
        assert action is not None or task.live or task.hold
        assert action is not Action.DISPATCH or not task.hold
    elif task.phase in CLOSING:
        assert action is not None or (task.live and task.live == task.told[task.wanted])
    else:
        assert action is not None


@given(journals())
@settings(max_examples=150)
def test_every_step_of_every_journal(journal: list[e.Event]) -> None:
    task: Task | None = None
    load = Load()
    for event in journal:
        before = task and (task.phase, [task.state_of(child) for child in range(task.children)], task.void)
        certain = task and ending(task)
        task = evolve(task, event, load)
        assert task is not None
        recount(task)
        speaks(task)
        assert isinstance(event, e.TaskRedriven) or certain in (None, ending(task))
        if before:
            phase, states, void = before
            assert task.phase == phase or task.phase in TRANSITIONS[phase]
            for child, state in enumerate(states):
                assert isinstance(event, e.TaskRedriven) or state not in ENDED or task.state_of(child) is state
            assert task.void in (void, void + 1)
            if task.phase in TERMINAL and phase is not task.phase:
                assert not task.live
                assert not task.idle or task.phase is Phase.REFUSED


@given(journals())
@settings(max_examples=75)
def test_a_journal_that_repeats_itself_folds_to_the_same(journal: list[e.Event]) -> None:
    once: Task | None = None
    twice: Task | None = None
    decisions = (
        e.TaskRequested,
        e.TaskPlanned,
        e.TaskRefused,
        e.TaskRedriven,
        e.ChildrenDispatched,
        e.ChildrenStopping,
    )
    outcomes = (
        e.ChildCompleted, e.ChildFailed, e.ChildCancelled, e.ChildReturned, e.ChildCheckpointed, e.TaskPlanProgressed
    )  # fmt: skip
    for event in journal:
        once = evolve(once, event, Load())
        twice = evolve(twice, event, Load())
        if isinstance(event, (*decisions, *outcomes, e.TaskRedriven)):
            void = twice.void if twice else 0
            twice = evolve(twice, event, Load())
            assert twice is not None
            assert twice.void == void + 1
    assert once is not None
    assert twice is not None
    assert snapshot(once) == snapshot(twice)
