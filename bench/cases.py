"""All cases by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from bench import (
    checkpoints,
    cold,
    crowd,
    fairness,
    folding,
    http_page,
    http_status,
    http_streams,
    latency,
    metrics,
    recovery,
    resources,
    schedules,
    sleeping,
    startup,
    takeover,
    throughput,
    topics,
)
from bench.cluster import Bench
from bench.figures import Figures


class Case(NamedTuple):
    """What measures a case, and whether the quick run has it."""

    measure: Callable[[Bench], Iterator[Figures]]
    quick: bool = True


CASES: Final[dict[str, Case]] = {
    "limit": Case(throughput.bare_protocol),
    "noop_1000": Case(partial(throughput.noop, children=1_000)),
    "noop_10000": Case(partial(throughput.noop, children=10_000)),
    "noop_100000": Case(partial(throughput.noop, children=100_000)),
    "noop_1000000": Case(partial(throughput.noop, children=1_000_000), quick=False),
    "embedded_noop_10000": Case(partial(throughput.embedded_noop, children=10_000)),
    "embedded_noop_100000": Case(partial(throughput.embedded_noop, children=100_000), quick=False),
    "single": Case(latency.single),
    "cold": Case(cold.cold),
    "tasks_1000": Case(partial(crowd.at_once, tasks=1_000)),
    "many_owners": Case(crowd.many_owners),
    "fairness": Case(fairness.fairness, quick=False),
    "checkpoints": Case(checkpoints.coalesced),
    "checkpoints_durable": Case(checkpoints.durable),
    "sleeping": Case(sleeping.sleeping),
    "recovery": Case(recovery.recovery),
    "recovery_busy": Case(partial(recovery.recovery, busy=True), quick=False),
    "two_killed": Case(recovery.two_killed, quick=False),
    "hand_over": Case(recovery.hand_over, quick=False),
    "topic_to_topic": Case(topics.topic_to_topic, quick=False),
    "takeover": Case(takeover.takeover, quick=False),
    "schedules_10000": Case(partial(schedules.lateness, schedules=10_000), quick=False),
    "schedule_week": Case(schedules.week),
    "startup": Case(startup.startup),
    "fold": Case(folding.fold),
    "idle": Case(resources.idle),
    "http_status": Case(http_status.http_status, quick=False),
    "http_status_elsewhere": Case(http_status.http_status_elsewhere, quick=False),
    "http_status_embedded": Case(http_status.http_status_embedded, quick=False),
    "http_page": Case(http_page.http_page, quick=False),
    "http_streams": Case(http_streams.http_streams, quick=False),
    "metrics": Case(metrics.metrics, quick=False),
}
