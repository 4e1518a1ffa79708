"""What handlers of a history emit: two topics of users, what befalls them, and what they must hold in the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from streamsched.log.core import Connection
from streamsched.log.core.partitions import Partition
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Record, TopicFacts, TopicMismatch, TopicPartition, TopicSpec, TransactionAborted
from streamsched.worker import jobs
from streamsched.worker.jobs import Emitted
from streamsched.worker.outlet import Outlet
from tests.support.clock import MachineClock

ONE: Final = "out-one"
THREE: Final = "out-three"
TOPICS: Final = {ONE: TopicFacts(1, 2 * 1024 * 1024), THREE: TopicFacts(3, 2 * 1024 * 1024)}


class Places(dict[TopicPartition, Partition]):
    """The partitions of a cluster, of which a topic may be sick or gone for a while."""

    def __init__(self, known: Mapping[TopicPartition, Partition]) -> None:
        super().__init__(known)
        self.sick: set[str] = set()
        self.gone: set[str] = set()

    def get(self, place: TopicPartition, default: Partition | None = None) -> Partition | None:  # type: ignore[override]
        if place.topic in self.sick:
            raise TransactionAborted(f"topic {place.topic} has too few replicas")
        return default if place.topic in self.gone else super().get(place, default)

    def mend(self) -> None:
        self.sick.clear()
        self.gone.clear()


def make_topics(cluster: MemoryCluster, log: Connection) -> Places:
    """Make the topics, and what may befall them."""
    log.create_topics([TopicSpec(topic, facts.partitions, {}) for topic, facts in TOPICS.items()])
    places = Places(cluster.partitions_by_place)
    cluster.partitions_by_place = places  # type: ignore[misc]
    return places


def outlet(prefix: str, clock: MachineClock, places: Places | None) -> Outlet:
    """Make the outlet of a worker, which knows the topics."""

    def look(topic: str) -> Callable[[], TopicFacts]:
        def get() -> TopicFacts:
            if places is not None and topic in places.gone:
                raise TopicMismatch(f"there is no topic {topic}")
            return TOPICS[topic]

        return get

    made = Outlet(patterns=("out-*",), prefix=prefix, look=look, now=clock.monotonic)
    gone = set() if places is None else places.gone.copy()
    if places is not None:
        places.gone.clear()
    for topic in TOPICS:
        made.ask(topic)
    if places is not None:
        places.gone |= gone
    return made


def record_of(job: jobs.Job, number: int) -> Emitted | None:
    """Make the record of a unit of work; one child of three emits none."""
    if job.child % 3 == 2:
        return None
    topic = (ONE, THREE)[job.child % 3]
    value = f"{job.task_id} {job.child} {job.token >> 32} {number}".encode()
    return Emitted(topic, number % TOPICS[topic].partitions, b"key", value)


class Span(NamedTuple):
    """The units of work that a dispatch has made durable; ``excused``: another's word ended it before its worker's."""

    first: int
    end: int
    excused: bool = False


def read(log: Connection) -> list[Record]:
    """Read what the topics hold."""
    places = [TopicPartition(topic, number) for topic, facts in TOPICS.items() for number in range(facts.partitions)]
    reader = log.reader()
    reader.assign(log.start(places))
    found: list[Record] = []
    while records := reader.poll(10_000, 0.0):
        found += records
    return found


def check(records: Iterable[Record], spans: Mapping[tuple[str, int, int], Span]) -> list[str]:
    """Each topic holds, of each dispatch, the records of the units that are durable: once, in order, and no others."""
    found: defaultdict[tuple[str, int, int], defaultdict[tuple[str, int], list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for record in records:
        name, *numbers = (record.value or b"").decode().rsplit(" ", 3)
        index, dispatched, number = map(int, numbers)
        found[name, index, dispatched][record.topic, record.partition].append(number)
    faults = [f"{each} emitted {dict(places)}, and never was" for each, places in found.items() if each not in spans]
    for (task_id, child, ordinal), span in spans.items():
        if child % 3 == 2:
            continue
        topic = (ONE, THREE)[child % 3]
        partitions = TOPICS[topic].partitions
        for partition in range(partitions):
            there = found[task_id, child, ordinal][topic, partition]
            wanted = [number for number in range(span.first, span.end) if number % partitions == partition]
            if there != wanted and not (span.excused and there[: len(wanted)] == wanted):
                faults.append(
                    f"{topic}-{partition} holds {there} of child {child} of {task_id}, {ordinal}, not {wanted}"
                )
    return faults
