"""What a child costs stays within its bounds: transactions, records, bytes, calls."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamsched.runtime import metrics
from streamsched.runtime.totals import Totals
from tests.guard.bounds import CALLS, EMITS, SPLIT_CALLS, SPLIT_WRITES, WRITES, check
from tests.guard.costs import CHILDREN, Costs

ON_ONE_VERSION = pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11),
    reason="calls are counted on CPython 3.11: the bounds are its own",
)
BY = f"""
name: pieces
split: {{by: "jobs:pieces", args: {{n: {CHILDREN}}}}}
child: {{handler: "jobs:work", args: {{piece: "${{child.item}}"}}}}
"""


@pytest.fixture(scope="module")
def costs() -> Costs:
    return Costs()


@pytest.fixture(scope="module")
def watched_costs() -> Costs:
    """Live through the same with a sink of metrics, as with --http-port."""
    metrics.use(Totals())
    try:
        return Costs()
    finally:
        metrics.use(None)


@pytest.fixture(scope="module")
def split_costs(tmp_path_factory: pytest.TempPathFactory) -> Costs:
    """Live through a task whose split child finds as many children, in pages of 5,000."""
    template: Path = tmp_path_factory.mktemp("split") / "by.yaml"
    template.write_text(BY)
    return Costs(template, {})


@pytest.mark.parametrize("figure", WRITES)
def test_what_is_written(costs: Costs, figure: str) -> None:
    check(figure, WRITES[figure], costs.figures[figure])


@ON_ONE_VERSION
@pytest.mark.parametrize("figure", CALLS)
def test_what_is_called(costs: Costs, figure: str) -> None:
    check(figure, CALLS[figure], costs.figures[figure], costs.callers(figure.rpartition(" ")[2]))


@ON_ONE_VERSION
@pytest.mark.parametrize("who", ["scheduler", "worker"])
def test_metrics_add_at_most_three_percent_to_what_is_called(costs: Costs, watched_costs: Costs, who: str) -> None:
    figure = f"calls a child: {who}"
    assert watched_costs.figures[figure] <= 1.03 * costs.figures[figure], watched_costs.callers(who)


@pytest.mark.parametrize("figure", SPLIT_WRITES)
def test_what_is_written_with_a_split_child(split_costs: Costs, figure: str) -> None:
    check(figure, SPLIT_WRITES[figure], split_costs.figures[figure])


@ON_ONE_VERSION
@pytest.mark.parametrize("figure", SPLIT_CALLS)
def test_what_is_called_with_a_split_child(split_costs: Costs, figure: str) -> None:
    check(figure, SPLIT_CALLS[figure], split_costs.figures[figure], split_costs.callers(figure.rpartition(" ")[2]))


RECORDS = 10


@pytest.fixture(scope="module")
def emitting(costs: Costs) -> tuple[Costs, dict[str, float]]:
    found = Costs(emits=RECORDS)
    more = found.figures["calls a child: worker"] - costs.figures["calls a child: worker"]
    return found, {
        "transactions of workers that emit": found.figures["transactions of workers"],
        "partitions a transaction that emits": found.figures["partitions a transaction of workers"],
        "calls a record: worker": more / RECORDS,
    }


@ON_ONE_VERSION
@pytest.mark.parametrize("figure", EMITS)
def test_what_emitting_costs(emitting: tuple[Costs, dict[str, float]], figure: str) -> None:
    costs, figures = emitting
    check(figure, EMITS[figure], figures[figure], costs.callers("worker"))
