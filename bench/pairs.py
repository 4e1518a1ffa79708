"""Another checkout against this one, on one broker, in turn: ``python -m bench.pairs FORMER [--rounds N]``.

Each has an installation of its own, with one scheduler, one worker with two slots, and a client, all of its code. In
each round both do the same, the first one last in the next; a pair of them has the same neighbours and the same broker.
With ``--scraped`` the nodes of this checkout tell their metrics, once a second; this checkout as the other one, ``.``,
then shows what metrics cost. With ``--cold`` each task is the first one of an installation on a broker of its own: what
users meet.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import IO, Final, NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from bench.cluster import TEMPLATES, Bench, BenchError, Site
from bench.metrics import PORT, scraping
from tools.broker import ROOT

CASES: Final = {"noop": 10_000, "single": 50, "tasks": 300}
"""How many children one task has, how many tasks of one child go one after the other, and how many at once."""
COLD: Final = {"noop": 1_000, "single": 1}
"""The same for the first task of an installation."""


class Took(NamedTuple):
    """Seconds of one case, and those of a processor that the nodes used for it."""

    wall: float
    processor: float


Run = Callable[[str, int], Took]
"""Runs a case once."""


class Side:
    """One of the two checkouts."""

    def __init__(self, site: Site, client: subprocess.Popen[str]) -> None:
        self._site = site
        self._client = client

    def run(self, case: str, count: int) -> Took:
        """Run a case once."""
        before = self._processor()
        _stream(self._client.stdin).write(f"{case} {count}\n")
        _stream(self._client.stdin).flush()
        told = _stream(self._client.stdout).readline()
        if not told:
            raise BenchError(f"a client failed: {_stream(self._client.stderr).read()[-500:]}")
        return Took(float(told), self._processor() - before)

    def _processor(self) -> float:
        seconds = 0.0
        for process in (process for node in self._site.nodes for process in node.tree()):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds += times.user + times.system
        return seconds


def main() -> int:
    """Compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.pairs", description=__doc__)
    parser.add_argument("former", type=Path, help="the folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="pairs of each case (20)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--scraped", action="store_true", help="ask the nodes of this checkout for their metrics")
    kinds.add_argument("--cold", action="store_true", help="the first task of a new installation on a new broker")
    options = parser.parse_args()
    if not (options.former / "src" / "streamsched").is_dir():
        parser.error(f"{options.former} is not a checkout: it has no src/streamsched")
    console = Console()
    with tempfile.TemporaryDirectory(prefix="streamsched-pairs-") as folder, ExitStack() as stack:
        bench = Bench(Path(folder), quick=False)
        stack.callback(bench.close)
        former, current = _first(bench, options.former) if options.cold else _warm(bench, stack, options)
        table = Table("case", "figure", "former", "now", "now of former, %", "middle half, %", title="pairs")
        for case, count in (COLD if options.cold else CASES).items():
            pairs = list(_pairs(partial(former, case, count), partial(current, case, count), options.rounds))
            for figure in Took._fields:
                before, now = ([getattr(side, figure) for side in sides] for sides in zip(*pairs, strict=True))
                ratios = sorted(100 * b / a for a, b in zip(before, now, strict=True))
                low, middle, high = statistics.quantiles(ratios, n=4)
                seconds = [f"{statistics.median(each):.4f} s" for each in (before, now)]
                table.add_row(f"{case} {count:,}", figure, *seconds, f"{middle:.1f}", f"{low:.1f} to {high:.1f}")
        console.print(table)
    return 0


def _warm(bench: Bench, stack: ExitStack, options: argparse.Namespace) -> tuple[Run, Run]:
    """Return what runs a case in either checkout, each of which has run it before, on one broker."""
    address = bench.broker.address
    former = stack.enter_context(_side(bench, address, options.former.resolve(), scraped=False))
    current = stack.enter_context(_side(bench, address, ROOT, scraped=options.scraped))
    for side in (former, current):
        for case, count in CASES.items():
            side.run(case, count)
    return former.run, current.run


def _first(bench: Bench, former: Path) -> tuple[Run, Run]:
    """Return what runs a case as the first task of either checkout, on a broker of its own."""

    def run(checkout: Path, case: str, count: int) -> Took:
        with bench.new_broker() as broker, _side(bench, broker.address, checkout, scraped=False) as side:
            return side.run(case, count)

    return partial(run, former.resolve()), partial(run, ROOT)


def _pairs(former: Callable[[], Took], current: Callable[[], Took], rounds: int) -> Iterator[tuple[Took, Took]]:
    for number in range(rounds):
        if number % 2:
            yield former(), current()
        else:
            now = current()
            yield former(), now


@contextmanager
def _side(bench: Bench, address: str, checkout: Path, *, scraped: bool) -> Iterator[Side]:
    environment = {"PYTHONPATH": str(checkout / "src"), **(PORT if scraped else {})}
    with (
        bench.new_site(address, environment=environment) as site,
        scraping(site) if scraped else nullcontext(),
    ):
        command = [sys.executable, "-m", "bench.pairs_client", str(TEMPLATES / "noop.yaml")]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=ROOT, env=site.environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        ) as client:
            try:
                yield Side(site, client)
            finally:
                _stream(client.stdin).close()
                client.wait(30)


def _stream(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise AssertionError("it was made with pipes")
    return stream


if __name__ == "__main__":
    sys.exit(main())
