"""Rounds of faults against real nodes and a real broker: ``python -m tests.chaos --rounds 20``.

Exit code 0: every promise was kept; 1: one was broken, and the evidence is kept; 3: no broker; 130: interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.chaos.kinds import KINDS, Kind
from tests.chaos.round import Result, play
from tests.chaos.surroundings import SmallDisk
from tests.chaos.table import summary, table
from tools.broker import Broker, BrokerError
from tools.cluster import Cluster

PROTOCOLS = ("classic", "consumer")


class Arena:
    """The brokers of the rounds, a lone one and a cluster; those that a promise was broken on are not used again."""

    def __init__(self, folder: Path, *, stock: bool) -> None:
        self._folder = folder
        self._stock = stock
        self._running: dict[bool, Broker | Cluster] = {}
        self._started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for broker in self._running.values():
            broker.stop()

    def play(self, kind: Kind, name: str, protocol: str, seed: str) -> Result:
        """Play one round."""
        broker = self._running.get(kind.cluster) or self._start(kind)
        result = play(kind, broker, self._folder / name, protocol=protocol, seed=seed)
        result.stock = self._stock
        if result.violations:
            self._running.pop(kind.cluster).stop()
        elif isinstance(broker, Cluster):
            broker.await_in_step()
        return result

    def _start(self, kind: Kind) -> Broker | Cluster:
        self._started += 1
        folder = self._folder / f"brokers-{self._started}"
        broker = (Cluster if kind.cluster else Broker)(folder, stock_timeouts=self._stock)
        broker.start()
        self._running[kind.cluster] = broker
        return broker


def agenda(kinds: list[Kind], protocols: list[str], rounds: int, random: Random) -> list[tuple[Kind, str]]:
    """Choose the rounds: every kind in turn, in an order by chance, the group protocols in turn for each kind."""
    chosen: list[tuple[Kind, str]] = []
    turn = random.randrange(len(protocols))
    while len(chosen) < rounds:
        order = [(kind, protocols[(turn + index) % len(protocols)]) for index, kind in enumerate(kinds)]
        chosen += random.sample(order, len(order))
        turn += 1
    return chosen[:rounds]


def main() -> int:
    """Play the rounds; the exit code tells of violations."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, metavar="N")
    parser.add_argument(
        "--kinds", help="a,b,... (default: all); one with schedules takes three minutes", metavar="NAMES"
    )
    parser.add_argument("--protocols", default=",".join(PROTOCOLS), help="group protocols, in turn", metavar="NAMES")
    parser.add_argument("--seed", default=str(time.time_ns()), help="chooses the order, the victims and the moments")
    parser.add_argument("--stock", action="store_true", help="with the time-outs of a stock broker")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds and the summary there")
    parser.add_argument("--list", action="store_true", help="list the kinds")
    options = parser.parse_args()
    if options.list:
        print(*KINDS, sep="\n")  # noqa: T201
        return 0
    names = options.kinds.split(",") if options.kinds else list(KINDS)
    protocols = options.protocols.split(",")
    if unknown := [*(set(names) - set(KINDS)), *(set(protocols) - set(PROTOCOLS))]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join((*KINDS, *PROTOCOLS))}")
    if not options.kinds and not SmallDisk.possible():
        print("chaos: disks-full is left out: mounting a small disk takes root", file=sys.stderr)  # noqa: T201
        names = [name for name in names if not KINDS[name].disks]
    plan = agenda([KINDS[name] for name in names], protocols, options.rounds, Random(options.seed))
    return _run(plan, options)


def _run(plan: list[tuple[Kind, str]], options: argparse.Namespace) -> int:
    console = Console(stderr=True)
    console.print(f"chaos: {len(plan)} rounds, --seed {options.seed}{' --stock' if options.stock else ''}")
    folder = Path(tempfile.mkdtemp(prefix="streamsched-chaos-"))
    results: list[Result] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    try:
        with Arena(folder, stock=options.stock) as arena, Progress(*columns, console=console) as progress:
            bar = progress.add_task("", total=len(plan))
            for index, (kind, protocol) in enumerate(plan):
                progress.update(bar, description=f"{kind.name} ({protocol})")
                result = arena.play(kind, f"chaos-{os.getpid()}-{index}", protocol, f"{options.seed}:{index}")
                results.append(result)
                _tell(console, index, result)
                progress.advance(bar)
    except KeyboardInterrupt:
        console.print("interrupted")
    except BrokerError as error:
        console.print(f"chaos: {error}")
        return 3
    broken = any(result.violations for result in results)
    Console().print(table(results))
    if options.json:
        rounds = [{**vars(result), "folder": str(result.folder)} for result in results]
        options.json.write_text(json.dumps({"seed": options.seed, "summary": summary(results), "rounds": rounds}))
    if broken:
        console.print(f"evidence: {folder}", style="red", soft_wrap=True)
    else:
        shutil.rmtree(folder)
    return 1 if broken else 0 if len(results) == len(plan) else 130


def _tell(console: Console, index: int, result: Result) -> None:
    recovery = "" if result.recovery is None else f", recovered in {result.recovery:.2f} s"
    verdict = "[red]broken[/]" if result.violations else "[green]kept[/]"
    console.print(f"{index:4} {result.kind} ({result.protocol}): {verdict}{recovery}, {result.seconds:.0f} s in all")
    for violation in result.violations[:10]:
        console.print(f"     {violation.promise}: {violation.evidence}", style="red", markup=False)
    if result.violations:
        console.print(f"     {result.folder}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
