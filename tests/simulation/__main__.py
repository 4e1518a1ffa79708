"""Live through simulated histories: as many as asked for, or one again by its seed."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import replace
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.simulation.faults import KINDS, Fault
from tests.simulation.runner import Failure, Report, attempt, run
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.shrink import shrink

OUT: Final = Console(markup=False, highlight=False, soft_wrap=True)


def main() -> int:
    """Run what was asked for; 1 where a history broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="live through this one history")
    parser.add_argument("--histories", type=int, default=1_000, help="how many, without a seed (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-shrink", action="store_true", help="print a failing history as it is")
    shorter = parser.add_argument_group("one history, told with less (as a failure prints it)")
    shorter.add_argument("--turns", type=int)
    shorter.add_argument("--tasks", type=int)
    shorter.add_argument("--children", type=int)
    shorter.add_argument("--schedules", type=int)
    shorter.add_argument("--limits", help="NAME=VALUE;…, in place of those of the seed")
    shorter.add_argument("--faults", help="WHO@NTH KIND AMOUNT;…, in place of the dice of the seed")
    asked = parser.parse_args()
    report = _many(asked) if asked.seed is None else _one(asked)
    tell(report)
    if report.failure is None:
        return 0
    tell_failure(report.failure, shrunk=None if asked.no_shrink or asked.faults else shrink(report.failure))
    return 1


def _many(asked: argparse.Namespace) -> Report:
    seeds = range(asked.first, asked.first + asked.histories)
    columns = (
        TextColumn("histories"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]:.0f}/s"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("histories", total=len(seeds), rate=0.0)

        def advance(count: int) -> None:
            progress.advance(bar, count)
            task = progress.tasks[0]
            progress.update(bar, rate=task.completed / (task.elapsed or 1.0))

        return run(seeds, processes=max(1, min(asked.processes, len(seeds))), on_progress=advance)


def _one(asked: argparse.Namespace) -> Report:
    logging.disable(logging.CRITICAL)
    plan = scenario(asked.seed)
    sizes = {name: getattr(asked, name) for name in ("turns", "tasks", "children", "schedules")}
    plan = replace(plan, **{name: value for name, value in sizes.items() if value is not None})
    if asked.limits is not None:
        pairs = (pair.split("=") for pair in asked.limits.split(";") if pair)
        plan = replace(plan, limits={name: int(value) for name, value in pairs})
    script = None if asked.faults is None else [Fault.parse(text) for text in asked.faults.split(";") if text]
    return attempt(asked.seed, plan, script)


def tell(report: Report) -> None:
    """Print what was done, and how often each kind of fault struck."""
    for kind in (*KINDS, *sorted(report.coverage.keys() - set(KINDS))):
        OUT.print(f"{report.coverage[kind]:>11,}  {kind}")
    rate = report.histories / report.seconds if report.seconds else 0.0
    found = "1 violation" if report.failure else "0 violations"
    OUT.print(f"{report.histories:,} histories in {report.seconds:.1f} s ({rate:.1f}/s): {found}")


def tell_failure(failure: Failure, shrunk: Failure | None) -> None:
    """Print a failing history, as short as it was found, and how to see it again."""
    shown = shrunk or failure
    OUT.print(f"\nseed {failure.seed}:", *shown.faults[:20], sep="\n  ")
    OUT.print("\nstory:", *shown.story, sep="\n  ")
    OUT.print(f"\nagain: python -m tests.simulation {failure.seed}")
    if shrunk is not None:
        OUT.print(f"this short: python -m tests.simulation {failure.seed} {options(shrunk.plan, shrunk.script)}")


def options(plan: Scenario, script: tuple[Fault, ...]) -> str:
    """Write the options that tell a history exactly so."""
    limits = ";".join(f"{name}={value}" for name, value in plan.limits.items())
    faults = ";".join(map(str, script))
    return (
        f"--turns {plan.turns} --tasks {plan.tasks} --children {plan.children} --schedules {plan.schedules} "
        f"--limits '{limits}' --faults '{faults}'"
    )


if __name__ == "__main__":
    sys.exit(main())
