"""How long the children of a task waited and ran: histograms, and which of those that run take longest beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final

from streamsched.domain.events import RunningChild
from streamsched.domain.phases import ENDED
from streamsched.domain.task import Task
from streamsched.queries.documents import Document, Time, Timestamp
from streamsched.queries.status import running_of, work_counts

if TYPE_CHECKING:
    from streamsched.view.view import View

SAMPLE: Final = 5_000
"""Children that are measured at most."""
TOGETHER: Final = 100
"""Children in a row that a sample takes."""
SHOWN: Final = 20


class Bucket(Document, frozen=True):
    """Children that waited or ran for from ``from_ms`` up to, not including, ``to_ms`` milliseconds."""

    from_ms: int
    to_ms: int
    count: int


class Spread(Document, frozen=True):
    """Quantiles and a histogram of the times of ``measured`` children, in milliseconds.

    If ``measured`` is 0, the quantiles are None. Each bucket of the histogram is twice as wide as the one before it.
    """

    measured: int
    p50: int | None
    p90: int | None
    p99: int | None
    max: int | None
    buckets: tuple[Bucket, ...]


class Durations(Spread, frozen=True):
    """How long the last attempts of ended work children ran.

    ``measured`` of ``ended`` children were looked at, evenly spread where those are fewer. ``waits`` is how long those
    among them that were dispatched only once had waited, from dispatch to start.
    """

    task_id: str
    ended: int
    waits: Spread


class Straggler(Document, frozen=True):
    """A child that runs: for how long, and how that compares with the median of those that have ended.

    ``progress`` is what its handler has told, from 0 to 1, and ``eta`` when it would end at that rate.
    """

    child: int
    attempt: int
    worker: str | None
    started_at: Timestamp
    elapsed_ms: int
    times_median: float | None
    progress: float | None
    eta: Timestamp | None


class Stragglers(Document, frozen=True):
    """The work children that have run longest, those first. ``running``: how many run in all."""

    task_id: str
    median_ms: int | None
    running: int
    items: tuple[Straggler, ...]


def durations_of(view: View, task: Task) -> Durations:
    """Measure the work children of a task."""
    sample = list(_sample(view, task))
    runs = _spread([run for run, _ in sample])
    waits = _spread([wait for _, wait in sample if wait is not None])
    return Durations(*runs, task_id=task.task_id, ended=work_counts(task).ended, waits=Spread(*waits))


def stragglers_of(view: View, task: Task, running: Mapping[int, RunningChild], now: int) -> Stragglers:
    """Return the work children of a task that have run longest. ``running`` is what workers tell of them."""
    found = []
    for child in filter(task.is_work, running_of(task, running)):
        source = task.detail_of(child) if task.has_begun(child) else running.get(child)
        if source is not None and source.started_at is not None:
            found.append((source.started_at, child))
    found.sort()
    median = _quantile(sorted(run for run, _ in _sample(view, task)), 0.5)
    items = tuple(_straggler(task, child, at, running.get(child), median, now) for at, child in found[:SHOWN])
    return Stragglers(task.task_id, median, len(found), items)


def _straggler(
    task: Task, child: int, started: int, told: RunningChild | None, median: int | None, now: int
) -> Straggler:
    elapsed, detail = max(0, now - started), task.detail_of(child)
    share = told.done / told.total if told is not None and told.total > 0 and 0 <= told.done <= told.total else None
    return Straggler(
        child=task.index_of(child),
        attempt=detail.attempt,
        worker=detail.worker,
        started_at=Time.at(started),
        elapsed_ms=elapsed,
        times_median=round(elapsed / median, 2) if median else None,
        progress=None if share is None else round(share, 4),
        eta=Time.at(started + min(round(elapsed / share), 1 << 46)) if share else None,
    )


def _sample(view: View, task: Task) -> Iterator[tuple[int, int | None]]:
    """Yield for how many milliseconds a child ran and had waited: all, or some in rows that are evenly spread."""
    rows = max(1, SAMPLE // TOGETHER)
    step = max(TOGETHER, -(-task.work // rows))
    for begin in range(0, task.work, step):
        first = begin + task.split
        dispatches, upto, since = view.dispatches(task.task_id, first), -1, 0
        for child, detail in islice(view.details(task.task_id, first), TOGETHER):
            if child >= min(first + step, task.work_end):
                break
            while upto < child:
                upto, since = next(dispatches, (task.cells, 0))
            if detail.started_at is not None and detail.finished_at is not None and task.state_of(child) in ENDED:
                known = since and task.ordinal_of(child) == 1
                waited = max(0, detail.started_at - since) if known else None
                yield max(0, detail.finished_at - detail.started_at), waited


def _spread(times: list[int]) -> tuple[int, int | None, int | None, int | None, int | None, tuple[Bucket, ...]]:
    """Return how many they are, their quantiles, and in which buckets they fall."""
    times.sort()
    counts = Counter(map(int.bit_length, times))
    buckets = tuple(Bucket(1 << bits - 1 if bits else 0, 1 << bits, count) for bits, count in sorted(counts.items()))
    p50, p90, p99, most = (_quantile(times, share) for share in (0.5, 0.9, 0.99, 1.0))
    return len(times), p50, p90, p99, most, buckets


def _quantile(ordered: list[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
