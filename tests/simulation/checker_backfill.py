"""The checker's model of a backfill: its times in its order, each of them once, and how many tasks it may have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from streamsched.domain import events as e
from tests.simulation.checker_times import Wait, interval_of, task_of


class Asked(NamedTuple):
    """What a schedule, or its backfill, asks for: a new task, or (``redrive``) that one goes on."""

    task_id: str
    origin: str
    redrive: int = 0
    scope: str = ""


@dataclass
class Refilling:
    """A backfill as some of its events left it."""

    request: e.BackfillRequested
    times: list[int]
    passed: int = 0
    cancelled: bool = False
    tasks: dict[str, int] = field(default_factory=dict)
    """Those it asked for, with their redrives."""

    @classmethod
    def of(cls, request: e.BackfillRequested) -> Refilling:
        """Begin one."""
        times = [at for part in request.parts for at in _times(part)]
        return cls(request, times[::-1] if request.newest_first else times)

    def unfinished(self, ended: Mapping[str, int]) -> set[str]:
        """Tell which of its tasks go on; ``ended`` says up to which redrive each task of the schedule has ended."""
        return {task_id for task_id, redrive in self.tasks.items() if ended.get(task_id, -1) < redrive}

    def done(self, ended: Mapping[str, int]) -> bool:
        """Tell whether nothing more comes of it."""
        return not self.unfinished(ended) and (self.cancelled or self.passed >= len(self.times))

    def take(self, event: e.BackfillDecided) -> None:
        """Go through these times."""
        for run in event.ticks:
            self.passed += run.count
            if run.outcome != "left":
                self.tasks[task_of(event.schedule_id, ("tick", run.first))] = run.redrive

    def asked(self, event: e.BackfillDecided) -> Iterator[Asked]:
        """Walk what a decision asks of tasks."""
        origin = f"schedule {event.schedule_id}, backfill {event.backfill}"
        scope = "all" if self.request.reprocess == "all" else "failed"
        for run in event.ticks:
            task_id = task_of(event.schedule_id, ("tick", run.first))
            if run.outcome == "fired":
                yield Asked(task_id, origin)
            elif run.outcome == "redriven":
                yield Asked(task_id, origin, run.redrive, scope)

    def faults(
        self,
        event: e.BackfillDecided,
        *,
        ended: Mapping[str, int],
        is_free: Callable[[int], bool],
        waiting: Collection[Wait],
        known: Collection[str],
    ) -> Iterator[str]:
        """Go through a decision, time by time, from the state at its basis, and tell what is wrong with it.

        ``known``: the tasks that were asked for before.
        """
        at, last = self.passed, None
        active = len(self.unfinished(ended))
        for run in event.ticks:
            times = self.times[at : at + run.count]
            at += run.count
            if len(times) < run.count or (min(times), max(times)) != (run.first, run.last):
                yield f"{run} should be of {times}"
                return
            last = times[-1]
            if not all(map(is_free, times)):
                yield f"{run}, of which the schedule has to decide"
            for moment in times:
                there = task_of(event.schedule_id, ("tick", moment)) in known
                meant = there or (run.outcome == "left" and ("tick", moment) in waiting)
                if meant == (run.outcome == "fired"):
                    yield f"{moment}: {run.outcome}, with {'a' if there else 'no'} task"
            if run.outcome != "left":
                active += 1
                if run.count != 1 or (run.outcome == "redriven") != (run.redrive > 0):
                    yield f"{run} is not of one time and one redrive"
            if run.outcome == "redriven" and self.request.reprocess == "missing":
                yield f"{run} by a backfill of missing times"
        if event.upto != last:
            yield f"{event} should tell of times up to {last}"
        if self.cancelled or event.backfill != self.request.backfill:
            yield f"{event} of {self.request.backfill}, {'cancelled' if self.cancelled else 'active'}"
        if active > self.request.max_active and active > len(self.unfinished(ended)):
            yield f"{event} makes it {active} tasks at once, of {self.request.max_active}"


def _times(part: e.BackfillPart) -> range:
    every, phase = interval_of(part.spec)
    return range(part.first + (phase - part.first) % every, part.last + 1, every)
