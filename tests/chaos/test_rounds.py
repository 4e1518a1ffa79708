"""A bounded choice of chaos rounds; ``-m long`` plays one of every other kind, ``make chaos`` as many as asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.chaos.__main__ import agenda
from tests.chaos.kinds import KINDS, Kind
from tests.chaos.round import Result, play
from tests.chaos.surroundings import SmallDisk
from tests.chaos.table import summary
from tests.support import brokers
from tests.support.evidence import Violation
from tools.broker import Broker
from tools.cluster import Cluster

ALWAYS = [
    ("worker-killed-in-transaction", "classic"),
    ("worker-frozen", "consumer"),
    ("scheduler-killed", "consumer"),
    ("broker-killed", "classic"),
    ("disks-full", "classic"),
]
REST = [
    pytest.param(name, ("classic", "consumer")[index % 2], marks=pytest.mark.long)
    for index, name in enumerate(KINDS)
    if name not in dict(ALWAYS) and not KINDS[name].cluster
]
KILLS = ("worker-node-killed", "worker-killed", "worker-killed-in-transaction", "scheduler-killed")


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that rounds may kill, stop and freeze."""
    brokers.broker()  # skips, or fails, where there can be none
    with Broker(tmp_path_factory.mktemp("chaos")) as broker:
        yield broker


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "protocol"), [*ALWAYS, *REST])
def test_every_promise_is_kept(name: str, protocol: str, lone: Broker, tmp_path: Path) -> None:
    if KINDS[name].disks and not SmallDisk.possible():
        pytest.skip("mounting a small disk takes root")
    _play(name, lone, tmp_path, protocol)


@pytest.mark.long
@pytest.mark.parametrize("name", [kind.name for kind in KINDS.values() if kind.cluster])
def test_a_cluster_loses_one_broker(name: str, tmp_path: Path) -> None:
    brokers.broker()
    with Cluster(tmp_path / "brokers") as cluster:
        _play(name, cluster, tmp_path, "classic")


@pytest.mark.long
def test_kills_with_the_time_outs_of_a_stock_broker(tmp_path: Path) -> None:
    brokers.broker()
    with Broker(tmp_path / "broker", stock_timeouts=True) as broker:
        for name in KILLS:
            _play(name, broker, tmp_path, "classic")


def _play(name: str, broker: Broker | Cluster, folder: Path, protocol: str) -> None:
    result = play(KINDS[name], broker, folder / f"chaos-{name}", protocol=protocol, seed=name)
    assert result.violations == [], f"see {result.folder}"


@pytest.mark.unit
def test_every_kind_has_its_turn_under_every_protocol() -> None:
    kinds = list(KINDS.values())
    chosen = agenda(kinds, ["classic", "consumer"], 2 * len(kinds), Random(1))
    assert {(kind.name, protocol) for kind, protocol in chosen} == {
        (k.name, p) for k in kinds for p in ("classic", "consumer")
    }
    first: list[Kind] = [kind for kind, _ in chosen[: len(kinds)]]
    assert sorted(kind.name for kind in first) == sorted(KINDS)


@pytest.mark.unit
def test_the_summary_counts_rounds_violations_and_seconds() -> None:
    broken = [Violation("lost", ""), Violation("stuck", ""), Violation("late", ""), Violation("audit", "")]
    results = [
        Result("one", "classic", Path(), recovery=1.0),
        Result("one", "classic", Path(), recovery=4.0, violations=broken),
        Result("one", "classic", Path(), stock=True),
    ]
    rows = summary(results)
    assert [(row["group"], row["rounds"]) for row in rows] == [("classic", 2), ("classic, stock", 1)]
    assert [rows[0][name] for name in ("lost", "doubled", "repeated", "other")] == [2, 1, 0, 1]
    assert [rows[0][name] for name in ("min", "median", "max")] == [1.0, 2.5, 4.0]
    assert rows[1]["median"] is None
