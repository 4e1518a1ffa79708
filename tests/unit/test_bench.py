"""The pure parts of the benchmark: percentiles, medians and spread, ratios, what the document must have."""

from __future__ import annotations

import pytest

from bench.figures import REQUIRED, add_ratios, missing, percentile, series, summary


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_a_value_that_was_measured(share: float, wanted: float) -> None:
    assert percentile(list(range(100, 0, -1)), share) == wanted


def test_percentile_of_few_values() -> None:
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([1.0, 2.0], 0.5) == 1.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_summary_has_median_and_spread_of_each_figure() -> None:
    joined = summary([{"a_ms": 3.0}, {"a_ms": 1.0}, {"a_ms": 2.0, "b_ms": 9.0}])
    assert joined["a_ms"] == 2.0
    assert joined["spread"] == {"a_ms": [1.0, 3.0], "b_ms": [9.0, 9.0]}
    assert joined["repetitions"] == 3


def test_summary_of_a_case_that_failed_at_once() -> None:
    assert summary([]) == {"spread": {}, "repetitions": 0}


def test_ratios_are_of_the_same_run_and_only_where_the_protocol_is_the_same() -> None:
    cases = {name: summary([{"children_per_s": rate}]) for name, rate in _RATES.items()}
    add_ratios(cases)
    assert cases["noop_10000"]["ratio_to_limit"] == 0.25
    assert "ratio_to_limit" not in cases["embedded_noop_10000"]
    alone = {"noop_10000": summary([{"children_per_s": 1.0}])}
    add_ratios(alone)
    assert "ratio_to_limit" not in alone["noop_10000"]


def test_a_whole_document_misses_nothing() -> None:
    cases = {name: summary([{"children_per_s": rate}]) for name, rate in _RATES.items()}
    cases["single"] = summary([{"p50_ms": 1.0, "p99_ms": 2.0}])
    add_ratios(cases)
    assert missing({"cases": cases}) == []
    del cases["single"]["p99_ms"]
    del cases["limit"]
    assert missing({"cases": cases}) == ["cases.limit.children_per_s", "cases.single.p99_ms"]


def test_an_empty_document_misses_all() -> None:
    assert len(missing({})) == sum(map(len, REQUIRED.values()))


def test_series_by_the_number_in_the_name() -> None:
    cases = {f"noop_{n}": summary([{"children_per_s": n / 2}, {"children_per_s": n}]) for n in (1000, 100)}
    cases["embedded_noop_100"] = summary([{"children_per_s": 5.0}])
    assert series(cases, "noop_{}", "children_per_s") == [(100, 75, 50, 100), (1000, 750, 500, 1000)]
    workers = {"sleeping": summary([{"workers_16_per_s": 3.0, "workers_2_per_s": 1.0, "other": 1.0}])}
    assert series(workers, "sleeping", "workers_{}_per_s") == [(2, 1, 1, 1), (16, 3, 3, 3)]


_RATES = {"limit": 40_000.0, "noop_10000": 10_000.0, "embedded_noop_10000": 20_000.0}
