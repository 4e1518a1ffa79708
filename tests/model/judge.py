"""What a committed journal has to be, checked by counting alone: without phases, and without what is owed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

from tests.model.task import CHILDREN, OUTCOMES, Dispatches, Event


class Judged(NamedTuple):
    """What a journal says to one who only counts: for each child its live ordinal, the last one, and its ending."""

    planned: bool = False
    over: bool = False
    live: tuple[int, ...] = (0,) * CHILDREN
    last: tuple[int, ...] = (0,) * CHILDREN
    ended: tuple[str, ...] = ("",) * CHILDREN
    told: frozenset[tuple[int, int]] = frozenset()
    running: frozenset[tuple[int, int]] = frozenset()
    """Dispatches that some worker still has."""
    fault: str = ""


@cache
def judge(seen: Judged, event: Event) -> Judged:
    """Judge the next event of a committed journal."""
    kind, what = event
    if seen.fault:
        return seen
    if kind in OUTCOMES:
        return _ended(seen._replace(running=seen.running - {what}), kind, *what)
    rule = _RULES.get(kind)
    return rule(seen, what) if rule else seen


def _planned(seen: Judged, what: Any) -> Judged:
    return seen._replace(planned=True, fault="planned twice" if seen.planned else "")


def _dispatched(seen: Judged, dispatches: Dispatches) -> Judged:
    for index, ordinal in dispatches:
        if seen.over or seen.live[index] or seen.ended[index] or ordinal != seen.last[index] + 1:
            return seen._replace(fault=f"child {index} dispatched with ordinal {ordinal}: {seen}")
        seen = seen._replace(live=_put(seen.live, index, ordinal), last=_put(seen.last, index, ordinal))
    return seen._replace(running=seen.running | set(dispatches))


def _told(seen: Judged, dispatches: Dispatches) -> Judged:
    return seen._replace(told=seen.told | set(dispatches))


def _rest(seen: Judged, indexes: tuple[int, ...]) -> Judged:
    for index in indexes:
        if seen.live[index] or seen.ended[index]:
            return seen._replace(fault=f"child {index} cancelled: {seen}")
        seen = seen._replace(ended=_put(seen.ended, index, "cancelled"))
    return seen


def _reset(seen: Judged, what: Any) -> Judged:
    for index, ordinal in enumerate(seen.live):
        seen = _back(seen, index, ordinal) if ordinal else seen
    return seen


def _over(seen: Judged, phase: str) -> Judged:
    if seen.over or any(seen.live) or (seen.planned and not all(seen.ended)):
        return seen._replace(fault=f"ended: {seen}")
    if (phase == "succeeding" and set(seen.ended) != {"succeeded"}) or (
        phase == "failing" and "failed" not in seen.ended
    ):
        return seen._replace(fault=f"{phase}: {seen}")
    return seen._replace(over=True)


def _ended(seen: Judged, kind: str, index: int, ordinal: int) -> Judged:
    if seen.live[index] != ordinal:
        return seen
    if kind == "back":
        return _back(seen, index, ordinal)
    ending = {"done": "succeeded", "failed": "failed"}.get(kind, "cancelled")
    return seen._replace(live=_put(seen.live, index, 0), ended=_put(seen.ended, index, ending))


def _back(seen: Judged, index: int, ordinal: int) -> Judged:
    ending = "cancelled" if (index, ordinal) in seen.told else ""
    return seen._replace(live=_put(seen.live, index, 0), ended=_put(seen.ended, index, ending))


def _put(values: tuple[Any, ...], index: int, value: Any) -> tuple[Any, ...]:
    return (*values[:index], value, *values[index + 1 :])


_RULES: Final[dict[str, Callable[[Judged, Any], Judged]]] = {
    "plan": _planned,
    "dispatch": _dispatched,
    "stop": _told,
    "rest": _rest,
    "reset": _reset,
    "end": _over,
}
