"""Schedules of each second whose schedulers are killed again and again, and then all stay away for a while."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from streamsched.domain import events as e
from tests.chaos.node import Node
from tests.chaos.site import Site
from tests.support.evidence import Violation
from tests.support.ticks import Secondly, fates, tick_violations

FILE: Final = """
interval: 1s
overlap: allow_all
max_catchup_runs: {latest}
params: {{folder: "{folder}/${{tick.nominal:epoch}}"}}
template:
  name: second
  params:
    folder: {{type: string}}
  split:
    range: {{first: 1, last: 1, size: 1}}
  child:
    handler: tests.support.handlers:steps
    args: {{count: 1, seconds: 0.0, folder: "${{folder}}"}}
"""


@dataclass(frozen=True)
class Kills:
    """For how many seconds schedulers are killed, every how many one, and for how many there is none after that."""

    seconds: int
    every: int
    away: int


TWO_MINUTES: Final = Kills(seconds=120, every=15, away=30)


def kill_schedulers(timing: Kills) -> Callable[[Site], float]:
    """Kill all of a scheduler that decides, while another one stands by, in turn; then all of them.

    Returns the longest time until every schedule went on after one of them was killed.
    """

    def strike(site: Site) -> float:
        schedules = _Schedules(site)
        schedules.make(Secondly("all"), Secondly("latest", latest=3))
        begun = time.monotonic()
        takeovers: list[float] = []
        for number in range(1, timing.seconds // timing.every + 1):
            time.sleep(max(0.0, begun + number * timing.every - time.monotonic()))
            takeovers.append(schedules.kill_one())
        schedules.stay_away(timing.away)
        schedules.pause()
        return max(takeovers)

    return strike


class _Schedules:
    """The schedules of one round. From the beginning, they are judged at its end."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._made: list[Secondly] = []
        site.judges.append(self._judge)

    def make(self, *schedules: Secondly) -> None:
        """Create them, and wait until each has had a time."""
        for schedule in schedules:
            folder = self._site.nodes.folder
            file = folder / f"{schedule.schedule_id}.yaml"
            notes = folder / "notes" / schedule.schedule_id
            file.write_text(FILE.format(latest=schedule.latest, folder=notes))
            self._made.append(schedule)
            self._site.tell("schedule", "create", str(file))
        self._site.until(lambda: all(map(self._decisions, self._made)), "each schedule has had a time")

    def kill_one(self) -> float:
        """Kill one that decides; returns the seconds until all schedules go on."""
        site = self._site
        victim = site.node(self._decisions(site.random.choice(self._made))[-1].by)
        begun = time.monotonic()
        self._kill(victim)
        site.start_scheduler()
        return max(site.recovered(begun, self._decided(each, victim), "all schedules go on") for each in self._made)

    def stay_away(self, seconds: float) -> None:
        """Kill them all, and start others after so many seconds; wait until those have caught up."""
        site = self._site
        for node in site.schedulers():
            self._kill(node)
        alone = _now()
        time.sleep(seconds)
        back = _now()
        self._made = [replace(schedule, away=(alone, back)) for schedule in self._made]
        site.await_ready([site.start_scheduler(), site.start_scheduler()])
        self._await_decided(_now())

    def pause(self) -> None:
        """Pause them; wait until that has shown, and all of their tasks have ended."""
        for schedule in self._made:
            self._site.tell("schedule", "pause", schedule.schedule_id)
        self._await_decided(_now())
        self._site.until(lambda: all(map(self._over, self._made)), "the schedules are told of the ends of all tasks")

    def _kill(self, node: Node) -> None:
        self._site.killed.add(node.name)
        node.strike(signal.SIGKILL, whole=True)
        node.process.wait(10)

    def _await_decided(self, moment: int) -> None:
        self._site.until(
            lambda: all(self._decisions(schedule)[-1].upto > moment for schedule in self._made),
            "later times of all schedules are decided",
        )

    def _of(self, schedule: Secondly) -> list[Any]:
        seen = [each.event for each in list(self._site.watch.seen)]
        return [event for event in seen if getattr(event, "schedule_id", None) == schedule.schedule_id]

    def _decisions(self, schedule: Secondly) -> list[e.TicksDecided]:
        return [event for event in self._of(schedule) if isinstance(event, e.TicksDecided)]

    def _decided(self, schedule: Secondly, victim: Node) -> Callable[[Any], bool]:
        def decision(event: Any) -> bool:
            mine = isinstance(event, e.TicksDecided) and event.schedule_id == schedule.schedule_id
            return mine and event.by != victim.name

        return decision

    def _over(self, schedule: Secondly) -> bool:
        mine = self._of(schedule)
        fired = {schedule.task_id(nominal) for nominal, fate in fates(mine, schedule) if fate == "fired"}
        return fired <= {event.task_id for event in mine if isinstance(event, e.TickEnded)}

    def _judge(self, journal: Sequence[e.Event]) -> Iterator[Violation]:
        """Hold the schedules against the promises, from topics and files; then what the product tells of them."""
        for schedule in self._made:
            yield from tick_violations(journal, self._site.nodes.folder / "notes" / schedule.schedule_id, schedule)
            yield from self._check_shown(fates(journal, schedule), schedule)

    def _check_shown(self, told: list[tuple[int, str]], schedule: Secondly) -> Iterator[Violation]:
        name = schedule.schedule_id
        self._site.notes[name] = dict(Counter(fate for _, fate in told))
        done = self._site.nodes.run("schedule", "ticks", name, "--json")
        ticks = [json.loads(line) for line in done.stdout.splitlines()]
        shown = [(tick["nominal"], tick["outcome"], tick["task_outcome"]) for tick in ticks]
        wanted = [
            (schedule.task_id(at).removeprefix(f"{name}@"), fate, "succeeded" if fate == "fired" else None)
            for at, fate in told
        ]
        if done.returncode != 0 or shown != wanted:
            differ = sorted({*shown} ^ {*wanted}, key=str)
            yield Violation("ledger", f"ticks {name}: exit code {done.returncode}, {differ[:10]}, {done.stderr}")


def _now() -> int:
    return time.time_ns() // 1_000_000
