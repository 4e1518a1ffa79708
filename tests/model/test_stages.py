"""The real fold and ``owed`` in every order of events: two work children, of which one may fail, and a reduce.

Events are folded at once. The task may be cancelled, redriven twice in each way, lose its partition, and each kind of
child may fail; a dispatch is of all children that may be dispatched, or of one. The plan is pure, or a split child
finds the work children, a page for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final, NamedTuple

import pytest

from streamsched.domain import events as e
from streamsched.domain.evolve import evolve
from streamsched.domain.owed import Action, owed
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.policy import FailurePolicy, RetryPolicy
from streamsched.domain.stages import seal
from streamsched.domain.task import Load, Task
from tests.model.explore import Explored, Model, explore
from tests.support.journals import request, template

WORK: Final = 2
"""How many work children there are in the end."""
LATER: Final = 1 << 40
HEAD: Final = (bytes(16), 1_000, "me", "task")
LIVE: Final = (ChildState.RUNNING, ChildState.STOPPING)
ENDS: Final = {
    Phase.SUCCEEDING: e.TaskSucceeded,
    Phase.FAILING: e.TaskFailed,
    Phase.CANCELLING: e.TaskCancelled,
}


class Budget(NamedTuple):
    """What may still befall the task."""

    cancels: int = 1
    redrives: int = 2
    resets: int = 1
    work_fails: int = 1
    reduce_fails: int = 1
    checkpoints: int = 1
    split_fails: int = 0
    returns: int = 0


class State:
    """The folded task, and what its reduce has read; equal to others by what the fold goes by."""

    def __init__(self, task: Task, budget: Budget, read: tuple[tuple[int, int], ...] = (), fault: str = "") -> None:
        self.task, self.budget, self.read, self.fault = task, budget, read, fault
        children = [(task.state_of(child), task.ordinal_of(child)) for child in range(task.children)]
        held = task.detail_of(task.work_end).state
        found = task.detail_of(0) if task.split else None
        self._key = (
            task.phase,
            task.bound,
            task.work,
            None if found is None else (found.sequence, found.state),
            task.redrive,
            task.first_undispatched,
            *children,
            held,
            budget,
            read,
            fault,
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._key == other._key

    def told(self, cls: type[Any], *fields: Any, read: Any = None, fault: str = "", spent: str = "") -> State:
        """Return the state after an event."""
        same = (self.task.template, self.task.request)
        task = deepcopy(self.task, {id(each): each for each in same})
        head = HEAD[:3] if cls is e.PartitionReset else HEAD
        evolve(task, cls(*head, *fields), task.load)
        budget = self.budget._replace(**{spent: getattr(self.budget, spent) - 1}) if spent else self.budget
        return State(task, budget, self.read if read is None else read, self.fault or fault)

    @property
    def stand(self) -> tuple[tuple[int, int], ...]:
        """The results that stand: the work children that succeeded, and by which dispatch."""
        task = self.task
        return tuple((c, task.ordinal_of(c)) for c in work_of(task) if task.state_of(c) is ChildState.SUCCEEDED)


def work_of(task: Task) -> range:
    return range(task.split, task.work_end)


def is_reduce(task: Task, child: int) -> bool:
    return child >= task.work_end


def decide(state: State) -> Iterator[State]:
    task = state.task
    action = owed(task, LATER)
    if action is Action.PLAN:
        split = bool(state.budget.split_fails)
        yield state.told(e.TaskPlanned, 0, 0 if split else WORK, "{}", "", 0, 1, split)
    elif action is Action.DISPATCH:
        due = [(child, task.ordinal_of(child) + 1) for child in task.due_children(LATER, 9)]
        due += [(child, 1) for child in range(task.first_undispatched, task.bound)]
        for chosen in [due, due[:1]] if len(due) > 1 else [due]:
            yield dispatch(state, chosen)
    elif action is Action.STOP:
        running = [child for child in task.live_children() if task.state_of(child) is ChildState.RUNNING]
        yield state.told(e.ChildrenStopping, tuple(e.Release(c, c, task.ordinal_of(c), 0) for c in running), "", 0)
    elif action is Action.CANCEL:
        yield state.told(e.ChildrenCancelled, tuple(task.idle_spans()), "", 0)
    elif action is Action.END:
        wrong = (
            "it succeeded over other results" if task.phase is Phase.SUCCEEDING and state.read != state.stand else ""
        )
        yield state.told(ENDS[task.phase], task.redrive, "", 0, fault=wrong)


def dispatch(state: State, chosen: list[tuple[int, int]]) -> State:
    task, read, fault = state.task, None, ""
    if task.split and chosen[0][0] == 0 and task.detail_of(0).state not in (None, str(task.work)):
        fault = "the split child goes on from another state than its pages"
    if task.split and chosen[0][0] == 0 and task.detail_of(0).state is None and task.work:
        fault = "the split child begins anew behind its pages"
    if any(is_reduce(task, child) for child, _ in chosen):
        read = state.stand
        if any(task.state_of(child) < ChildState.SUCCEEDED for child in range(task.work_end)):
            fault = "the reduce runs before every child has ended"
        known = task.detail_of(task.work_end).state
        if known is not None and known != json.dumps(read):
            fault = "the reduce goes on from a checkpoint over other results"
    after = state.told(
        e.ChildrenDispatched, tuple(e.Release(c, c, ordinal, 0) for c, ordinal in chosen), 0, read=read, fault=fault
    )
    if not all(after.task.is_current(*each) for each in chosen):
        after.fault = after.fault or f"{chosen} could not be dispatched"
    return after


def work(state: State) -> Iterator[State]:
    """Let live children end, fail, stop, or checkpoint."""
    task, budget = state.task, state.budget
    for child in task.live_children():
        sequence = task.detail_of(child).sequence
        live = (child, task.ordinal_of(child), 1, 1)
        splits, reduces = task.split and not child, is_reduce(task, child)
        if splits and task.work < WORK:
            page = (0, str(task.work + 1), 0, *live, sequence + 1, task.work_end, 1, "0")
            yield state.told(e.TaskPlanProgressed, *page)
        else:
            yield state.told(e.ChildCompleted, *live, 1, sequence, None)
        if task.state_of(child) is ChildState.STOPPING:
            yield state.told(e.ChildCancelled, *live, 1, sequence, task.detail_of(child).state, "")
        if splits and budget.returns:
            yield state.told(e.ChildReturned, *live, sequence, task.detail_of(child).state, 0, "", spent="returns")
        kind = "split_fails" if splits else "reduce_fails" if reduces else "work_fails"
        if getattr(budget, kind) > splits:  # the one that is left says that there is a split child
            failure = (1, sequence, task.detail_of(child).state, "error", "E", "", "", False, 0)
            yield state.told(e.ChildFailed, *live, *failure, spent=kind)
        if reduces and budget.checkpoints:
            yield state.told(
                e.ChildCheckpointed, *live, sequence + 1, json.dumps(state.read), 0, None, spent="checkpoints"
            )


def people(state: State) -> Iterator[State]:
    task, budget = state.task, state.budget
    if budget.cancels and task.phase is Phase.RUNNING:
        yield state.told(e.TaskCancelRequested, task.redrive, "", spent="cancels")
    if budget.resets and task.live:
        yield state.told(e.PartitionReset, 0, spent="resets")
    if budget.redrives and task.terminal:
        for scope in ("failed", "all"):
            for restart in (False, True):
                yield state.told(e.TaskRedriven, task.redrive + 1, scope, restart, "", "", spent="redrives")


def fault(state: State) -> str:
    task = state.task
    counts = [0] * 7
    for child in range(task.children):
        counts[task.state_of(child)] += 1
    if (counts[4], counts[5], counts[6], counts[1] + counts[2]) != (
        task.succeeded, task.failed, task.cancelled, task.live,
    ):  # fmt: skip
        return f"it counts otherwise than {counts}"
    if task.terminal and task.ended < task.children:
        return "it ended before its children"
    if task.phase is Phase.SUCCEEDING and task.work != WORK:
        return "it succeeds with another number of children than there are"
    return state.fault


def explored(budget: Budget) -> Explored:
    once = RetryPolicy(max_attempts=1)
    first = request(template(retry=once, reduce=once, failure=FailurePolicy(count=1)))
    task = evolve(None, first, Load())
    assert task is not None
    return explore(
        Model(
            initial=State(task, budget),
            actors=[{"the scheduler": decide, "a worker": work, "people": people}],
            active=lambda state: (0,),
            fault=fault,
            done=lambda state: state.task.terminal,
        )
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stages_explored_in_full() -> None:
    found = explored(Budget())
    assert not found.fault, found.story
    assert found.states > 5_000


SMALL: Final = Budget(redrives=1, resets=0, reduce_fails=0)


def test_stages_with_one_redrive() -> None:
    found = explored(SMALL)
    assert not found.fault, found.story


def test_a_held_reduce_that_is_due_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def do_again(task: Task, child: int, *, restart: bool) -> None:
        real(task, child, restart=restart)
        task._queue(child)

    real = Task.do_again
    monkeypatch.setattr(Task, "do_again", do_again)
    assert explored(SMALL).fault == "the reduce runs before every child has ended"


def test_a_held_reduce_that_is_forgotten_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "_held", lambda task: [])
    assert explored(SMALL).fault == "no end can be reached from here"


def test_a_reduce_that_keeps_its_checkpoint_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Task.do_again
    monkeypatch.setattr(Task, "do_again", lambda task, child, restart: real(task, child, restart=False))
    assert explored(SMALL).fault == "the reduce goes on from a checkpoint over other results"


SPLIT: Final = Budget(redrives=1, resets=0, reduce_fails=0, checkpoints=0, work_fails=0, split_fails=2)


def test_a_split_child_with_one_redrive() -> None:
    found = explored(SPLIT)
    assert not found.fault, found.story


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_split_child_explored_in_full() -> None:
    found = explored(Budget(redrives=1, checkpoints=0, split_fails=2, returns=1))
    assert not found.fault, found.story
    assert found.states > 5_000


def test_a_page_that_is_void_in_a_closing_task_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Task.add_page
    closing = (Phase.CANCELLING, Phase.FAILING)
    monkeypatch.setattr(Task, "add_page", lambda task, *page: None if task.phase in closing else real(task, *page))
    assert "split child" in explored(SPLIT).fault


def test_a_seal_that_is_void_in_a_closing_task_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def seal_running(task: Task) -> None:
        if task.phase is Phase.RUNNING:
            seal(task)

    monkeypatch.setattr("streamsched.domain.evolve.seal", seal_running)
    assert explored(SPLIT).fault == "it succeeded over other results"


def test_a_splitter_that_begins_anew_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def do_again(task: Task, child: int, *, restart: bool) -> None:
        real(task, child, restart=restart or not child)

    real = Task.do_again
    monkeypatch.setattr(Task, "do_again", do_again)
    assert explored(SPLIT).fault == "the split child begins anew behind its pages"
