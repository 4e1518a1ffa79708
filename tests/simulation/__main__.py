"""``python -m tests.simulation``: as many histories as asked for, or one again by its seed."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.runner import Failure, Report, run

OUT: Final = Console(markup=False, highlight=False, soft_wrap=True)


def main() -> int:
    """Run what was asked for; 1 where a history broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="live through this one history")
    parser.add_argument("--histories", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-shrink", action="store_true", help="print a failing history as it is")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.histories) if asked.seed is None else [asked.seed]
    processes = min(asked.processes, len(seeds))
    columns = (TextColumn("histories"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("histories", total=len(seeds))
        report = run(seeds, processes=processes, on_progress=lambda count: progress.advance(bar, count))
    tell(report)
    if report.failure is None:
        return 0
    tell_failure(report.failure)
    return 1


def tell(report: Report) -> None:
    """Print what was done."""
    rate = report.histories / report.seconds if report.seconds else 0.0
    found = "1 violation" if report.failure else "0 violations"
    OUT.print(f"{report.histories:,} histories in {report.seconds:.1f} s ({rate:.1f}/s): {found}")


def tell_failure(failure: Failure) -> None:
    """Print a failing history and how to see it again."""
    OUT.print(f"\nseed {failure.seed}:", *failure.faults, sep="\n  ")
    OUT.print("\nstory:", *failure.story, sep="\n  ")
    OUT.print(f"\nagain: python -m tests.simulation {failure.seed}")


if __name__ == "__main__":
    sys.exit(main())
