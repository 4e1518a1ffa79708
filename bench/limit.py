"""The bare protocol: three transactional hops without any logic, the limit for everything built on it.

A first writer makes 100-byte records; two hops, each a process, read those of one topic and write as many to the
next; a last reader counts. 1,000 records in a transaction over 4 partitions, with the group's positions in it.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Collection
from itertools import pairwise
from typing import Any, Final

from streamsched.log.kafka.log import KafkaLog
from streamsched.log.port import Append, Committed, TopicPartition, TopicSpec

PARTITIONS: Final = 4
BATCH: Final = 1_000
BODY: Final = b"x" * 100
LIMIT: Final = 120.0
"""Seconds after which a measurement fails."""


class Assigned:
    """A listener that keeps which partitions its member has."""

    def __init__(self) -> None:
        self.assigned: set[int] = set()

    def on_assigned(self, partitions: Collection[int]) -> None:
        self.assigned |= set(partitions)

    def on_revoked(self, partitions: Collection[int]) -> None:
        self.assigned -= set(partitions)

    def on_lost(self, partitions: Collection[int]) -> None:
        self.assigned -= set(partitions)


def _hop(brokers: str, source: str, target: str, total: int, ready: Any) -> None:
    log = KafkaLog(brokers)
    listener = Assigned()
    member = log.member(f"{source}.hop", source, listener)
    limit = time.monotonic() + LIMIT
    while len(listener.assigned) < PARTITIONS and time.monotonic() < limit:
        member.poll(0.1)
    writer = log.writer(f"{source}.hop")
    reader = log.reader()
    places = [TopicPartition(source, number) for number in range(PARTITIONS)]
    reader.assign(dict.fromkeys(places, 0))
    ready.release()
    done = 0
    while done < total and time.monotonic() < limit:
        member.poll(0.0)
        records = reader.poll(BATCH, 0.2)
        if records:
            appends = [Append(target, record.partition, record.key, record.value) for record in records]
            moved = {TopicPartition(source, record.partition): record.offset + 1 for record in records}
            writer.commit(appends, {place: Committed(offset, "") for place, offset in moved.items()}, member)
            done += len(records)
    member.leave()


def children_per_s(brokers: str, total: int) -> float:
    """Measure how many records a second go through all three hops."""
    log = KafkaLog(brokers)
    run = f"limit-{time.time_ns()}"
    topics = [f"{run}.{name}" for name in ("created", "completed", "counted")]
    log.create_topics([TopicSpec(topic, PARTITIONS, {}) for topic in topics])
    context = multiprocessing.get_context("spawn")
    ready = context.Semaphore(0)
    hops = [
        context.Process(target=_hop, args=(brokers, source, target, total, ready), daemon=True)
        for source, target in pairwise(topics)
    ]
    for hop in hops:
        hop.start()
    try:
        begin_by = time.monotonic() + LIMIT
        for _ in hops:
            while not ready.acquire(timeout=0.5):
                if time.monotonic() > begin_by or not all(hop.is_alive() for hop in hops):
                    raise RuntimeError("a hop of the bare protocol did not start")
        return total / _seconds(log, run, topics, total)
    finally:
        for hop in hops:
            hop.join(10)
            hop.kill()
        log.close()


def _seconds(log: KafkaLog, run: str, topics: list[str], total: int) -> float:
    """Write the first records and return the seconds until the last was read behind the hops."""
    limit = time.monotonic() + LIMIT
    writer = log.writer(f"{run}.first")
    member = log.member(f"{run}.first", topics[0], Assigned())  # commits no positions, but a commit takes one
    reader = log.reader()
    try:
        begun = time.perf_counter()
        for first in range(0, total, BATCH):
            batch = [Append(topics[0], n % PARTITIONS, b"key", BODY) for n in range(first, min(first + BATCH, total))]
            writer.commit(batch, {}, member)
        reader.assign({TopicPartition(topics[2], number): 0 for number in range(PARTITIONS)})
        seen = 0
        while seen < total:
            seen += len(reader.poll(BATCH, 0.2))
            if time.monotonic() > limit:
                raise TimeoutError(f"{seen} of {total} records came through in {LIMIT:.0f} s")
        return time.perf_counter() - begun
    finally:
        reader.close()
        member.leave()
        writer.close()
