"""Another checkout against this one, on one broker, in turn: ``python -m bench.pairs FORMER [--rounds N] [--scraped]``.

Each has an installation of its own, with one scheduler, one worker with two slots, and a client, all of its code. In
each round both do the same, the first one last in the next; a pair of them has the same neighbours and the same broker.
With ``--scraped`` the nodes of this checkout tell their metrics, once a second; this checkout as the other one, ``.``,
then shows what metrics cost.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
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


class Took(NamedTuple):
    """Seconds of one case, and those of a processor that the nodes used for it."""

    wall: float
    processor: float


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
    parser.add_argument("--scraped", action="store_true", help="ask the nodes of this checkout for their metrics")
    options = parser.parse_args()
    if not (options.former / "src" / "streamsched").is_dir():
        parser.error(f"{options.former} is not a checkout: it has no src/streamsched")
    console = Console()
    with tempfile.TemporaryDirectory(prefix="streamsched-pairs-") as folder, ExitStack() as stack:
        bench = Bench(Path(folder), quick=False)
        stack.callback(bench.close)
        former = stack.enter_context(_side(bench, options.former.resolve(), scraped=False))
        current = stack.enter_context(_side(bench, ROOT, scraped=options.scraped))
        table = Table("case", "figure", "former", "now", "now of former, %", "middle half, %", title="pairs")
        for case, count in CASES.items():
            former.run(case, count)
            current.run(case, count)
            pairs = list(_pairs(former, current, case, count, options.rounds))
            for figure in Took._fields:
                before, now = ([getattr(side, figure) for side in sides] for sides in zip(*pairs, strict=True))
                ratios = sorted(100 * b / a for a, b in zip(before, now, strict=True))
                low, middle, high = statistics.quantiles(ratios, n=4)
                seconds = [f"{statistics.median(each):.4f} s" for each in (before, now)]
                table.add_row(f"{case} {count:,}", figure, *seconds, f"{middle:.1f}", f"{low:.1f} to {high:.1f}")
        console.print(table)
    return 0


def _pairs(former: Side, current: Side, case: str, count: int, rounds: int) -> Iterator[tuple[Took, Took]]:
    for number in range(rounds):
        if number % 2:
            yield former.run(case, count), current.run(case, count)
        else:
            now = current.run(case, count)
            yield former.run(case, count), now


@contextmanager
def _side(bench: Bench, checkout: Path, *, scraped: bool) -> Iterator[Side]:
    environment = {"PYTHONPATH": str(checkout / "src"), **(PORT if scraped else {})}
    with (
        bench.new_site(bench.broker.address, environment=environment) as site,
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
