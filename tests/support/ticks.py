"""An independent reader of schedules: what became of each time and of its task, from topics and files alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from streamsched.domain import events as e
from tests.support.evidence import Job, Violation, read_notes, violations

SECOND: Final = 1000


@dataclass(frozen=True)
class Secondly:
    """A schedule of each second, whose tasks may run beside each other; made once, and paused in the end.

    Args:
        schedule_id: the schedule. The handlers note each time in a folder of its own, called by its seconds since 1970.
        latest: of the times that are found late only the latest so many are to be fired; 0 is all.
        away: the milliseconds between which no scheduler was there.

    """

    schedule_id: str
    latest: int = 0
    away: tuple[int, int] = (0, 0)

    def task_id(self, nominal: int) -> str:
        """Name the task of one of its times."""
        return f"{self.schedule_id}@{datetime.fromtimestamp(nominal / SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"


def fates(events: Sequence[e.Event], schedule: Secondly) -> list[tuple[int, str]]:
    """List the times that were decided about, in the order in which they were, with their outcomes."""
    decided = (event for event in events if isinstance(event, e.TicksDecided))
    return [fate for event in decided if event.schedule_id == schedule.schedule_id for fate in _spelled(event)]


def tick_violations(events: Sequence[e.Event], notes: Path, schedule: Secondly) -> Iterator[Violation]:
    """Find the promises that a schedule, or one of its tasks, broke."""
    mine = [event for event in events if getattr(event, "schedule_id", None) == schedule.schedule_id]
    told: dict[int, list[str]] = defaultdict(list)
    for nominal, outcome in fates(mine, schedule):
        told[nominal].append(outcome)
    yield from _check_times(mine, told, schedule)
    yield from _check_policy(mine, schedule)
    yield from _check_tasks(events, {nominal for nominal in told if "fired" in told[nominal]}, notes, schedule)


def _spelled(event: e.TicksDecided) -> Iterator[tuple[int, str]]:
    for run in event.ticks:
        for nth in range(run.count):
            yield run.first + nth * SECOND, run.outcome


def _check_times(mine: list[Any], told: dict[int, list[str]], schedule: Secondly) -> Iterator[Violation]:
    """Each second from when it was made until it was paused, or longer, has one fate, and there is no other time."""
    made = [event.at for event in mine if isinstance(event, e.ScheduleSet)]
    if len(made) != 1:
        yield Violation("doubled" if made else "lost", f"{schedule.schedule_id} was made {len(made)} times")
        return
    paused = [event.at for event in mine if isinstance(event, e.SchedulePaused)]
    due = range((made[0] // SECOND + 1) * SECOND, max([*told, *paused, made[0]]) + 1, SECOND)
    for nominal in sorted({*due, *told}):
        outcomes = told.get(nominal, [])
        if nominal not in due or len(outcomes) != 1:
            what = f"{schedule.task_id(nominal)} has {len(outcomes)} fates: {outcomes}"
            yield Violation("doubled" if outcomes else "lost", what)


def _check_policy(mine: list[Any], schedule: Secondly) -> Iterator[Violation]:
    """What is due is fired, but for the latest few only if it is found late, and not where the schedule was paused.

    The first decision behind a pause may have been made before that was read; the audit knows by its basis.
    """
    paused_after = 1 << 62
    upto = 0
    is_read = True
    for event in mine:
        if isinstance(event, e.SchedulePaused):
            paused_after = max(event.at, upto)  # a time that has its fate keeps it
            is_read = False
        if not isinstance(event, e.TicksDecided):
            continue
        upto = event.upto
        found = list(_spelled(event))
        for left, (nominal, outcome) in zip(range(len(found), 0, -1), found, strict=True):
            wanted = "fired"
            if nominal > paused_after and (is_read or outcome == "suppressed"):
                wanted = "suppressed"
            elif schedule.latest and (left > schedule.latest or _missed_away(nominal, schedule)):
                wanted = "missed"
            if outcome != wanted:
                yield Violation("policy", f"{schedule.task_id(nominal)} is {outcome}, not {wanted}: {event}")
        is_read = True


def _missed_away(nominal: int, schedule: Secondly) -> bool:
    begun, over = schedule.away
    return begun < nominal <= over - schedule.latest * SECOND


def _check_tasks(events: Sequence[e.Event], fired: set[int], notes: Path, schedule: Secondly) -> Iterator[Violation]:
    """A time that fired is one task, which ran once, and the schedule was told of its end; no other time is any."""
    histories: dict[str, list[e.Event]] = defaultdict(list)
    for event in events:
        task_id = getattr(event, "task_id", "")
        if task_id.startswith(f"{schedule.schedule_id}@"):
            histories[task_id].append(event)
    tasks = {schedule.task_id(nominal): nominal for nominal in fired}
    for task_id in sorted({*tasks, *histories}):
        history = histories[task_id]
        requests = sum(isinstance(event, e.TaskRequested) for event in history)
        if requests != (task_id in tasks):
            what = f"{task_id} was {'' if task_id in tasks else 'not '}fired, and requested {requests} times"
            yield Violation("doubled" if requests else "lost", what)
        if task_id in tasks:
            ends = [event.outcome for event in history if isinstance(event, e.TickEnded)]
            if ends != ["succeeded"]:
                what = f"{schedule.schedule_id} was told of the end of {task_id} by {ends or 'nothing'}"
                yield Violation("doubled" if len(ends) > 1 else "lost", what)
            ran = read_notes(notes / str(tasks[task_id] // SECOND))
            yield from violations(history, ran, Job(task_id, children=1, steps=1))
    for folder in sorted(notes.glob("*")):
        if int(folder.name) * SECOND not in fired:
            yield Violation("doubled", f"{schedule.task_id(int(folder.name) * SECOND)} ran, and was not fired")
