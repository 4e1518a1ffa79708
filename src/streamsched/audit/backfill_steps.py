"""A decision about a backfill, held against the schedule that its maker had folded (invariant 11).

How the task of a time stood is not asked here: that lies in another partition (``ticks`` matches what became of it).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from streamsched.audit.report import Fault
from streamsched.domain import events as e
from streamsched.domain.backfill import EXAMINED, Backfill
from streamsched.domain.calendar.moment import write as utc
from streamsched.domain.schedule import Schedule

OUTCOMES: Final = frozenset({"fired", "redriven", "left"})


def judge_backfill_step(schedule: Schedule, event: e.BackfillDecided) -> Fault | None:
    """Go through all that it says, time by time."""
    backfill = schedule.backfill
    if backfill is None or backfill.number != event.backfill or backfill.cancelled:
        return Fault(11, None, f"an active backfill {event.backfill}", f"{len(event.ticks)} outcomes of its times")
    if not event.ticks:
        return Fault(11, None, "times with their outcomes", "a decision without any")
    times = sum(run.count for run in event.ticks)
    if times > EXAMINED:  # they are gone through one by one, and held
        return Fault(11, None, f"at most {EXAMINED:,} times in one decision", f"{times:,} of them")
    started = sum(run.count for run in event.ticks if run.outcome != "left")
    if started > backfill.room:
        return Fault(11, None, f"room for {backfill.room} tasks of backfill {event.backfill}", f"{started} of them")
    return _judge_times(schedule, backfill, event)


def _judge_times(schedule: Schedule, backfill: Backfill, event: e.BackfillDecided) -> Fault | None:
    times = (nominal for nominal, _ in backfill.times())
    last = 0
    for run in event.ticks:
        found = _take(times, run.count)
        if run.outcome not in OUTCOMES or (run.outcome != "left" and run.count != 1) or not found:
            return Fault(11, None, f"an outcome of a time of backfill {event.backfill}", _named(run))
        if (min(found), max(found), len(found)) != (run.first, run.last, run.count):
            return Fault(11, None, f"its next times, from {utc(found[0])} on", _named(run))
        if (run.redrive > 0) != (run.outcome == "redriven"):
            return Fault(11, None, "a redrive of what is redriven, and of nothing else", _named(run))
        for nominal in found:
            if not schedule.is_free(nominal):
                return Fault(11, None, f"{utc(nominal)} to be left to the schedule, whose own time it is", _named(run))
        last = found[-1]
    if last != event.upto:
        return Fault(11, None, f"all up to {utc(last)}, its last time", f"up to {event.upto}")
    return None


def _take(times: Iterator[int], count: int) -> list[int]:
    return list(islice(times, count))


def _named(run: e.Refill) -> str:
    return f"{run.outcome} {utc(run.first)}" if run.count == 1 else f"{run.count} times {run.outcome}"
