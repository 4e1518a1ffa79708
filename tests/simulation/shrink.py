"""From a failing history to the shortest one that fails in the same way, as far as some seconds go."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from tests.simulation.faults import Fault
from tests.simulation.runner import Failure, attempt
from tests.simulation.scenario import Scenario

SECONDS: Final = 20.0
WORDS: Final = 7
_NUMBERS: Final = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")


def shrink(failure: Failure, seconds: float = SECONDS) -> Failure:
    """Tell the story with less: fewer turns, tasks and children, no limits, and no fault that it can do without."""
    search = _Search(failure, time.monotonic() + seconds)
    for _ in range(2):
        before = search.best
        search.faults()
        search.sizes()
        if search.best is before:
            break
    return search.best


def alike(failure: Failure) -> str:
    """Say what two failures must share to be the same one: the words of the first fault, without its numbers."""
    first = next((fault for fault in reversed(failure.faults) if not fault.startswith(" ")), "")
    if "Traceback" not in failure.faults[0]:
        first = failure.faults[0]
    words = _NUMBERS.sub("", first).replace("(", " ").split()
    return " ".join(words[:WORDS])


class _Search:
    """The best that was found so far, and the time that is left."""

    def __init__(self, failure: Failure, deadline: float) -> None:
        self._like = alike(failure)
        self._deadline = deadline
        self.best = failure
        self._try(failure.plan, failure.script)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._deadline

    def sizes(self) -> None:
        """Make the history smaller, one size after another."""
        for plan in _smaller(self.best.plan):
            merged = _merge(self.best.plan, plan)
            if merged != self.best.plan:
                self._try(merged, self.best.script)

    def faults(self) -> None:
        """Leave faults out, in ever smaller portions."""
        portion = len(self.best.script)
        while portion and not self.over:
            at = 0
            while at < len(self.best.script) and not self.over:
                script = self.best.script
                if not self._try(self.best.plan, script[:at] + script[at + portion :]):
                    at += portion
            portion //= 2

    def _try(self, plan: Scenario, script: Sequence[Fault]) -> bool:
        if self.over:
            return False
        found = attempt(self.best.seed, plan, script).failure
        if found is None or alike(found) != self._like:
            return False
        self.best = found
        return True


def _smaller(plan: Scenario) -> Iterator[dict[str, Any]]:
    yield from ({"turns": plan.turns * part // 16} for part in (12, 8, 6, 4, 3, 2, 1))
    yield from ({"schedules": schedules} for schedules in range(plan.schedules))
    yield from ({"tasks": tasks} for tasks in range(plan.tasks - 1, 0, -1))
    yield from ({"children": children} for children in (8, 5, 3, 2, 1))
    yield from ({"limits": {key: value for key, value in plan.limits.items() if key != name}} for name in plan.limits)


def _merge(plan: Scenario, change: dict[str, Any]) -> Scenario:
    """Apply a change that makes the history smaller; limits that were left out already stay so."""
    limits = change.get("limits")
    if isinstance(limits, dict):
        return replace(plan, limits={name: value for name, value in plan.limits.items() if name in limits})
    ((name, value),) = change.items()
    assert isinstance(value, int)
    return replace(plan, **{name: min(value, getattr(plan, name))})
