"""What a child costs stays within its bounds: transactions, records, bytes, calls."""

from __future__ import annotations

import sys

import pytest

from tests.guard.bounds import CALLS, WRITES, check
from tests.guard.costs import Costs


@pytest.fixture(scope="module")
def costs() -> Costs:
    return Costs()


@pytest.mark.parametrize("figure", WRITES)
def test_what_is_written(costs: Costs, figure: str) -> None:
    check(figure, WRITES[figure], costs.figures[figure])


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11),
    reason="calls are counted on CPython 3.11: the bounds are its own",
)
@pytest.mark.parametrize("figure", CALLS)
def test_what_is_called(costs: Costs, figure: str) -> None:
    check(figure, CALLS[figure], costs.figures[figure], costs.callers(figure.rpartition(" ")[2]))
