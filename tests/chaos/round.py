"""One round: one fault on fresh topics, judged when all is over."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

from tests.chaos.kinds import Kind
from tests.chaos.site import Site, Stuck, delete_topics, site
from tests.support.evidence import Violation
from tools.broker import Broker
from tools.cluster import Cluster

CALM_S: Final = 0.6
"""A busy installation is struck after so many seconds at most."""


@dataclass
class Result:
    """What a round has shown. ``folder`` is kept if a promise was broken."""

    kind: str
    protocol: str
    folder: Path
    stock: bool = False
    recovery: float | None = None
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)

    def count(self, *promises: str) -> int:
        """Count the violations of these promises."""
        return sum(violation.promise in promises for violation in self.violations)


def play(kind: Kind, broker: Broker | Cluster, folder: Path, *, protocol: str, seed: str) -> Result:
    """Play a round in this folder, whose name is the prefix of its topics."""
    folder.mkdir(parents=True)
    result = Result(kind.name, protocol, folder)
    random = Random(seed)
    begun = time.monotonic()
    try:
        setting = replace(kind.setting, protocol=protocol)
        with site(broker, folder, setting=setting, random=random, prepare=kind.prepare) as here:
            result.notes = here.notes
            time.sleep(random.random() * CALM_S)
            for violation in _strike_and_judge(kind, here, result):
                result.violations.append(violation)  # one by one: the next may fail
    except (Stuck, AssertionError) as stuck:  # a topic that does not come to its end, too
        result.violations.append(Violation("stuck", str(stuck)))
    result.seconds = time.monotonic() - begun
    if not result.violations:
        delete_topics(broker, folder.name)
        shutil.rmtree(folder)
    return result


def _strike_and_judge(kind: Kind, here: Site, result: Result) -> Iterator[Violation]:
    struck = time.monotonic()
    try:
        result.recovery = kind.strike(here)
        here.until(lambda: here.over, "both tasks have ended")
    except Stuck as stuck:
        yield Violation("stuck", str(stuck))
    yield from here.stop()
    here.watch.write(here.nodes.folder / "journal.txt", struck)
    yield from here.judge()
