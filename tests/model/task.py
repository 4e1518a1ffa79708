"""The rules of ``evolve`` and ``owed`` in small, for a task of two children; tested against the real ones.

It runs all its children, and bears no failure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

Event = tuple[Any, ...]
Dispatches = tuple[tuple[int, int], ...]
"""Child and ordinal of each."""
CHILDREN: Final = 2
OUTCOMES: Final = ("done", "back", "stopped", "failed")
CLOSING: Final = ("succeeding", "failing", "cancelling")
OPEN: Final = ("requested", "running")


class Child(NamedTuple):
    """``waiting``, ``running``, ``stopping``, ``due``, ``succeeded``, ``failed``, ``cancelled``; its last ordinal."""

    state: str = "waiting"
    ordinal: int = 0

    @property
    def live(self) -> bool:
        return self.state in ("running", "stopping")

    @property
    def idle(self) -> bool:
        return self.state in ("waiting", "due")


class Task(NamedTuple):
    """The folded state."""

    phase: str = "requested"
    children: tuple[Child, ...] = ()


class Fold:
    """What each event does to a task, and what a task owes; with what is broken on purpose."""

    def __init__(self, broken: Collection[str] = ()) -> None:
        self._broken = broken
        self.evolve = cache(self._evolve)
        self._rules: dict[str, Callable[[Task, Any], Task]] = {
            "plan": self._plan,
            "dispatch": self._dispatch,
            "stop": self._stop,
            "rest": self._rest,
            "reset": self._reset,
            "cancel": lambda task, what: task._replace(phase="cancelling") if task.phase in OPEN else task,
            "end": lambda task, what: task._replace(phase="over") if task.phase == what else task,
            "done": lambda task, what: self._outcome(task, what, "succeeded"),
            "stopped": lambda task, what: self._outcome(task, what, "cancelled"),
            "back": lambda task, what: self._outcome(task, what, "due"),
            "failed": lambda task, what: self._outcome(task, what, "failed"),
        }

    def _evolve(self, task: Task, event: Event) -> Task:
        kind, what = event
        if task.phase == "over":
            return task
        task = self._rules[kind](task, what)
        states = {child.state for child in task.children}
        if task.phase != "running" or not states <= {"succeeded", "failed", "cancelled"}:
            return task
        judged = "failed" in states and "failures not judged" not in self._broken
        return task._replace(phase="failing" if judged else "succeeding")

    def _plan(self, task: Task, what: Any) -> Task:
        if task.children:
            return task
        return Task("running" if task.phase == "requested" else task.phase, (Child(),) * CHILDREN)

    def _dispatch(self, task: Task, dispatches: Dispatches) -> Task:
        if task.phase == "cancelling" and "late dispatch unbelieved" in self._broken:
            return task
        for index, ordinal in dispatches:
            child = task.children[index] if task.children else Child("")
            if child.idle and child.ordinal == ordinal - 1:
                task = _set(task, index, "running", ordinal)
        return task

    def _stop(self, task: Task, dispatches: Dispatches) -> Task:
        for index, ordinal in dispatches:
            if self._current(task, index, ordinal):
                task = _set(task, index, "stopping")
        return task

    def _rest(self, task: Task, indexes: tuple[int, ...]) -> Task:
        for index in indexes:
            if task.children[index].idle:
                task = _set(task, index, "cancelled")
        return task

    def _reset(self, task: Task, what: Any) -> Task:
        for index, child in enumerate(task.children):
            if child.live:
                task = self._outcome(task, (index, child.ordinal), "due")
        return task

    def _outcome(self, task: Task, dispatch: tuple[int, int], state: str) -> Task:
        index, ordinal = dispatch
        if not self._current(task, index, ordinal):
            return task
        stopping = task.children[index].state == "stopping"
        return _set(task, index, "cancelled" if stopping and state == "due" else state)

    def _current(self, task: Task, index: int, ordinal: int) -> bool:
        child = task.children[index] if task.children else Child()
        return child.live and (child.ordinal == ordinal or "ordinal not compared" in self._broken)

    def owed(self, task: Task) -> Iterator[tuple[Event, ...]]:
        """Give the decisions that would pay what is owed: a dispatch may be of all children or of one."""
        if task.phase == "requested":
            yield (("plan", ()),)
            yield from ((("plan", ()), event) for event in self._dispatches((Child(),) * CHILDREN))
        elif task.phase == "running":
            yield from ((event,) for event in self._dispatches(task.children))
        elif task.phase in CLOSING:
            told = tuple(
                (index, child.ordinal) for index, child in enumerate(task.children) if child.state == "running"
            )
            rest = tuple(index for index, child in enumerate(task.children) if child.idle)
            if told:
                yield (("stop", told),)
            elif rest:
                yield (("rest", rest),)
            elif "end beside live" in self._broken or not any(child.live for child in task.children):
                yield (("end", task.phase),)

    def _dispatches(self, children: tuple[Child, ...]) -> Iterator[Event]:
        idle = tuple((index, child.ordinal + 1) for index, child in enumerate(children) if child.idle)
        for count in {len(idle), min(1, len(idle))} - {0}:
            yield ("dispatch", idle[:count])


def _set(task: Task, index: int, state: str, ordinal: int | None = None) -> Task:
    child = Child(state, task.children[index].ordinal if ordinal is None else ordinal)
    return task._replace(children=(*task.children[:index], child, *task.children[index + 1 :]))
