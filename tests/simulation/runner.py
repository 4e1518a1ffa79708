"""Runs histories, one seed after another or in several processes, up to the first that is not as it must be."""

from __future__ import annotations

import gc
import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final

from tests.simulation.faults import Fault
from tests.simulation.history import history, judge, live
from tests.simulation.scenario import Scenario, limited, scenario

BLOCK: Final = 25
"""Histories that a process lives through before it tells of them."""
COLLECT: Final = 5
"""Histories between two collections of garbage."""


@dataclass(frozen=True)
class Failure:
    """A history that broke a promise."""

    seed: int
    faults: tuple[str, ...]
    story: tuple[str, ...]
    plan: Scenario
    script: tuple[Fault, ...]


@dataclass
class Report:
    """What became of some histories: how often each kind of fault befell them, and the first that failed."""

    histories: int = 0
    seconds: float = 0.0
    coverage: Counter[str] = field(default_factory=Counter)
    failure: Failure | None = None

    def add(self, other: Report) -> None:
        """Count another report in."""
        self.histories += other.histories
        self.coverage += other.coverage
        self.failure = self.failure or other.failure


def attempt(seed: int, plan: Scenario | None = None, script: Sequence[Fault] | None = None) -> Report:
    """Live through one history and judge it."""
    plan = plan or scenario(seed)
    report = Report(histories=1)
    world = history(seed, plan, script)
    try:
        with limited(plan.limits):
            live(world)
            faults = judge(world)
    except Exception:
        faults = [*world.faults, *traceback.format_exc().splitlines()[-12:]]
    report.coverage = world.happened
    if faults:
        report.failure = Failure(seed, tuple(faults), tuple(world.story), plan, tuple(world.dice.struck))
    return report


def run(
    seeds: Sequence[int], *, processes: int = 1, on_progress: Callable[[int], None] = lambda histories: None
) -> Report:
    """Live through the histories of these seeds until one fails; ``on_progress`` hears how many were done."""
    begun = time.monotonic()
    report = Report()
    blocks = [seeds[at : at + BLOCK] for at in range(0, len(seeds), BLOCK)]
    for done in _in_turn(blocks) if processes == 1 else _side_by_side(blocks, processes):
        report.add(done)
        on_progress(done.histories)
        if report.failure:
            break
    report.seconds = time.monotonic() - begun
    return report


def _block(seeds: Sequence[int]) -> Report:
    """Live through a few histories; what they leave in memory is collected between them, which saves a fifth."""
    logging.disable(logging.CRITICAL)
    report = Report()
    collects = gc.isenabled()
    gc.disable()
    try:
        for number, seed in enumerate(seeds):
            if number % COLLECT == 0:
                gc.collect()
            report.add(attempt(seed))
            if report.failure:
                break
    finally:
        if collects:
            gc.enable()
    return report


def _in_turn(blocks: Sequence[Sequence[int]]) -> Iterator[Report]:
    return map(_block, blocks)


def _side_by_side(blocks: Sequence[Sequence[int]], processes: int) -> Iterator[Report]:
    """Keep every process busy, with few blocks waiting, so that a failure ends all soon."""
    waiting = iter(blocks)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running: set[Future[Report]] = set()
        try:
            while True:
                for seeds in waiting:
                    running.add(pool.submit(_block, seeds))
                    if len(running) >= 2 * processes:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()
