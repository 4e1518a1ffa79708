"""Visits every state that a model can come to: breadth first, so that the way to a fault is the shortest one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)


@dataclass(frozen=True)
class Model(Generic[S]):
    """A beginning, a table of actions, and what must hold.

    An action gives the states to which it may lead from a state: none where it is not possible.
    """

    initial: S
    actors: Sequence[Mapping[str, Callable[[S], Iterable[S]]]]
    """The actions of each who can act."""
    active: Callable[[S], Iterable[int]]
    """Who of them may have something to do."""
    fault: Callable[[S], str]
    """What is wrong with a state; empty when nothing is."""
    done: Callable[[S], bool]
    """Whether a state is an end that every history has to be able to reach."""
    brief: Callable[[S], S] = lambda state: state
    """Leaves out what is of no interest any more."""


@dataclass(frozen=True)
class Explored:
    """What was found: how many states and steps, and the shortest way to a fault if there is one."""

    states: int
    steps: int
    ends: int
    fault: str
    way: tuple[str, ...]

    @property
    def story(self) -> str:
        return "\n".join([f"{self.fault}, after", *(f"  {step}" for step in self.way)])


def explore(model: Model[S]) -> Explored:
    """Visit all states; ends at the first fault. A state from which no end can be reached is a fault."""
    known: dict[S, int] = {model.initial: 0}
    states = [model.initial]
    came: list[tuple[int, str]] = [(0, "")]
    backwards: list[list[int]] = [[]]
    ends: list[int] = []
    steps = 0
    for number, state in enumerate(states):  # grows while it is walked
        if fault := model.fault(state):
            return Explored(len(states), steps, len(ends), fault, _way(came, number))
        if model.done(state):
            ends.append(number)
        for name, action in chain.from_iterable(model.actors[who].items() for who in model.active(state)):
            for after in map(model.brief, action(state)):
                steps += 1
                found = known.get(after)
                if found is None:
                    found = known[after] = len(states)
                    states.append(after)
                    came.append((number, name))
                    backwards.append([])
                backwards[found].append(number)
    lost = _cannot_end(backwards, ends)
    fault = "no end can be reached from here" if lost is not None else ""
    return Explored(len(states), steps, len(ends), fault, _way(came, lost or 0))


def _cannot_end(backwards: list[list[int]], ends: list[int]) -> int | None:
    """Find the first state that leads to no end."""
    reached = bytearray(len(backwards))
    queue = list(ends)
    for number in ends:
        reached[number] = 1
    while queue:
        for before in backwards[queue.pop()]:
            if not reached[before]:
                reached[before] = 1
                queue.append(before)
    lost = reached.find(0)
    return None if lost < 0 else lost


def _way(came: list[tuple[int, str]], number: int) -> tuple[str, ...]:
    way: list[str] = []
    while number:
        number, name = came[number]
        way.append(name)
    return tuple(reversed(way))
