"""``python -m tests.mutants``: try every mutant out from seed 1 on, and print what caught it."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.mutants.mutant import HISTORIES, mutants, note, try_out

OUT: Final = Console(markup=False, highlight=False, width=200)
SAID: Final = 90
"""Characters of what the checker said."""


def main() -> int:
    """Print the table; 1 where a mutant lives on."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="these mutants only")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--histories", type=int, default=HISTORIES, help="give up after so many")
    parser.add_argument("--processes", type=int, help="how many side by side; as many as there are cores")
    parser.add_argument("--note", action="store_true", help="let the tests try the seeds that caught them first")
    asked = parser.parse_args()
    chosen = [mutant for mutant in mutants() if not asked.names or mutant.name in asked.names]
    table = Table("mutant", "what it breaks", "caught by", "histories", "what the checker said")
    alive, found = 0, {}
    for mutant, trial in try_out(chosen, first=asked.first, histories=asked.histories, processes=asked.processes):
        if trial.seed is None:
            alive += 1
        else:
            found[mutant.name] = trial.seed
        caught, lived = ("nothing", trial.passed) if trial.seed is None else (f"seed {trial.seed}", trial.passed + 1)
        table.add_row(mutant.name, mutant.breaks, caught, str(lived), trial.fault[:SAID])
    if asked.note:
        note(found)
    OUT.print(table)
    OUT.print(f"{len(chosen)} mutants, {alive} of them not caught")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
