"""``python -m bench``: measure on a real broker of its own, and write bench/results."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench import figures, machine, plot, report
from bench.cases import CASES
from bench.cluster import Bench

RESULTS: Final = Path(__file__).parent / "results"


def main() -> int:
    """Run the cases that were asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each case once, and smaller, within two minutes")
    parser.add_argument(
        "--case", action="append", choices=CASES, metavar="NAME", help=f"only this; may be repeated: {', '.join(CASES)}"
    )
    parser.add_argument("--repeat", type=int, metavar="N", help="how often each case is measured")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = options.case or [name for name, case in CASES.items() if case.quick or not options.quick]
    console = Console()
    document: dict[str, Any] = {"quick": options.quick, **machine.describe(), "cases": {}}
    with tempfile.TemporaryDirectory(prefix="streamsched-bench-") as folder:
        bench = Bench(Path(folder), quick=options.quick, repeats=options.repeat)
        measured: dict[str, list[figures.Figures]] = {}
        try:
            # The limit once more at the end: if it has moved, so did the machine.
            for name in [*names, *(name for name in names if name == "limit")]:
                case = _measure(bench, name, measured.setdefault(name, []), console)
                document["cases"][name] = {**document["cases"].get(name, {}), **case}
        except KeyboardInterrupt:
            console.print("interrupted; nothing is written")
            return 130
        finally:
            bench.close()
    figures.add_ratios(document["cases"])
    document["busy_after"] = machine.busy()
    path = RESULTS / ("partial.json" if options.case else "latest.json")
    report.write(document, path)
    report.show(console, document)
    console.print(f"written: {path.name} in bench/results; {plot.draw(document, path.with_suffix('.png'))}")
    failed = any("error" in case for case in document["cases"].values())
    return 1 if failed or (not options.case and figures.missing(document)) else 0


def _measure(bench: Bench, name: str, runs: list[figures.Figures], console: Console) -> dict[str, Any]:
    """Run one case and add to its repetitions; one that fails leaves its error and the others go on."""
    begun = time.monotonic()
    error = ""
    try:
        runs.extend(CASES[name].measure(bench))
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    case = {**figures.summary(runs), "took_s": round(time.monotonic() - begun, 1)}
    first = next((f"{figure} {report.number(case[figure])}" for figure in case["spread"]), "")
    console.print(f"{name}: {error or first} ({case['took_s']} s)", style="red" if error else None, highlight=False)
    return {**case, "error": error} if error else case


if __name__ == "__main__":
    sys.exit(main())
