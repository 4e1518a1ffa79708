"""``python -m tests.mutants``: try every mutant out from seed 1 on, and print what caught it."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.mutants.mutant import HISTORIES, Mutant, Trial, catch, mutants, note, trial, try_out

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
    parser.add_argument(
        "--note", action="store_true",
        help="try the seed that caught it last first, and keep the one that did: the tests try it first",
    )  # fmt: skip
    asked = parser.parse_args()
    chosen = [mutant for mutant in mutants() if not asked.names or mutant.name in asked.names]
    table = Table("mutant", "what it breaks", "caught by", "histories", "what the checker said")
    alive, found = 0, {}

    def how(mutant: Mutant) -> Trial:
        if asked.note:
            return catch(mutant, first=asked.first, histories=asked.histories)
        return trial(mutant.patch, first=asked.first, histories=asked.histories)

    for mutant, tried in try_out(chosen, how, processes=asked.processes):
        if tried.seed is None:
            alive += 1
        else:
            found[mutant.name] = tried.seed
        caught, lived = ("nothing", tried.passed) if tried.seed is None else (f"seed {tried.seed}", tried.passed + 1)
        table.add_row(mutant.name, mutant.breaks, caught, str(lived), tried.fault[:SAID])
    if asked.note:
        note(found)
    OUT.print(table)
    OUT.print(f"{len(chosen)} mutants, {alive} of them not caught")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
