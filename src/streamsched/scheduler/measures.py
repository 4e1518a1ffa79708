"""What a scheduler's decisions add to its metrics, once a transaction with them was written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamsched.domain import events as e
from streamsched.domain.schedule import Schedule
from streamsched.runtime import metrics
from streamsched.scheduler.decisions import Decision

_OUTCOMES: Final[dict[type[e.Event], str]] = {
    e.TaskSucceeded: "succeeded",
    e.TaskFailed: "failed",
    e.TaskCancelled: "cancelled",
    e.TaskRefused: "refused",
}


def note(decisions: Iterable[Decision]) -> None:
    """Take note of decisions; without a sink they are not looked at."""
    if not metrics.in_use():
        return
    number = 0
    for decision in decisions:
        number += 1
        last = decision.events[-1]
        if (outcome := _OUTCOMES.get(type(last))) is not None:
            metrics.TASKS_ENDED.add(1, outcome)
        elif isinstance(last, e.TicksDecided):
            _note_ticks(decision.state, last)
    metrics.DECISIONS.add(number)


def _note_ticks(schedule: Schedule, decided: e.TicksDecided) -> None:
    for ticks in decided.ticks:
        metrics.TICKS.add(ticks.count, ticks.outcome)
    waited = {(tick.kind, tick.nominal) for tick in schedule.waiting}  # they are fired late on purpose
    spec = schedule.now.rules.spec
    metrics.TICK_DELAY_SECONDS.observe_all(
        [
            max(0, decided.at - spec.due(schedule.schedule_id, ticks.first)) / 1000
            for ticks in decided.ticks
            if ticks.outcome == "fired" and ticks.kind == "tick" and ("tick", ticks.first) not in waited
        ]
    )
