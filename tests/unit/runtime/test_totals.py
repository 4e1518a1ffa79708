"""The totals: what counters, gauges and histograms have come to."""

from __future__ import annotations

from bisect import bisect_left
from threading import Thread

from hypothesis import given
from hypothesis import strategies as st

from streamsched.runtime import metrics
from streamsched.runtime.totals import BOUNDS_S, Totals


def values_of(totals: Totals, metric: metrics.Metric) -> dict[tuple[str, ...], float]:
    return {labels: value for each, labels, value in totals.values() if each is metric}


def buckets_of(totals: Totals, metric: metrics.Metric) -> dict[tuple[str, ...], tuple[list[float], float]]:
    return {
        labels: ([count for _, count in buckets], total)
        for each, labels, buckets, total in totals.spreads()
        if each is metric
    }


def test_what_may_be_counted_is_there_from_the_start() -> None:
    totals = Totals()
    assert values_of(totals, metrics.CLAIMS) == {(): 0}
    assert values_of(totals, metrics.DEAD_LETTERS) == {("events",): 0, ("children",): 0}
    assert values_of(totals, metrics.LAG) == {}, "a gauge that nobody set is not 0"
    assert buckets_of(totals, metrics.COMMIT_SECONDS) == {(): ([0] * (len(BOUNDS_S) + 1), 0)}


def test_each_kind() -> None:
    totals = Totals()
    metrics.use(totals)
    try:
        metrics.CLAIMS.add(2)
        metrics.CLAIMS.add(1)
        metrics.LAG.set(7)
        metrics.LAG.set(3)
        metrics.COMMIT_SECONDS.observe(0.005)
        metrics.COMMIT_SECONDS.observe(1e9)
    finally:
        metrics.use(None)
    assert values_of(totals, metrics.CLAIMS) == {(): 3}
    assert values_of(totals, metrics.LAG) == {(): 3}
    ((counts, total),) = buckets_of(totals, metrics.COMMIT_SECONDS).values()
    assert (counts, total) == ([1] * len(BOUNDS_S) + [2], 0.005 + 1e9)


@given(st.lists(st.lists(st.floats(0, 10_000) | st.sampled_from(BOUNDS_S)), max_size=3))
def test_a_histogram_counts_each_value_once_in_its_bucket(batches: list[list[float]]) -> None:
    totals = Totals()
    wanted = [0] * (len(BOUNDS_S) + 1)
    for batch in batches:
        totals.record_all(metrics.RUN_SECONDS, batch, ())
        for value in batch:
            wanted[bisect_left(BOUNDS_S, value)] += 1
    ((counts, _),) = buckets_of(totals, metrics.RUN_SECONDS).values()
    assert counts == [sum(wanted[: number + 1]) for number in range(len(wanted))]


def test_threads_lose_nothing() -> None:
    totals = Totals()

    def count() -> None:
        for _ in range(2_000):
            totals.record(metrics.CLAIMS, 1, ())

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values_of(totals, metrics.CLAIMS) == {(): 8_000}
