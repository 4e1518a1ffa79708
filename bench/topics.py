"""From a topic to a topic, exactly once, while workers are killed; a consumer of Kafka's own client judges it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.cluster import ALLOW, TEMPLATES, Bench, BenchError, Site
from bench.figures import Figures
from bench.recovery import kill_tree

PARTITIONS: Final = 8
CHILDREN: Final = 200
EVERY_S: Final = 10.0
"""Seconds between the kills of two workers."""
WORKERS: Final = 4
SLOTS: Final = 2
LIMIT_S: Final = 900.0


def topic_to_topic(bench: Bench) -> Iterator[Figures]:
    """Copy 1,000,000 records (200,000 in a quick run) through 200 children, undisturbed and with kills."""
    records = 200_000 if bench.quick else 1_000_000
    with bench.new_site(
        bench.broker.address, WORKERS, SLOTS, environment={"STREAMSCHED_EMIT_TOPICS": "copy-*"}
    ) as site:
        source = f"{site.settings.prefix}-source"
        _fill(site, source, records)
        for repetition in range(bench.repeats):
            quiet, _ = _copy(site, source, f"copy-{site.settings.prefix}-{repetition}", records, kill=False)
            killed, kills = _copy(site, source, f"copy-{site.settings.prefix}-{repetition}k", records, kill=True)
            yield {
                "records_per_s": records / quiet, "killed_records_per_s": records / killed, "kills": kills,
                "seconds": quiet, "killed_seconds": killed,
            }  # fmt: skip


def _fill(site: Site, topic: str, records: int) -> None:
    _make(site, topic)
    producer = Producer(
        {"bootstrap.servers": site.settings.brokers, "linger.ms": 50, "queue.buffering.max.messages": 0}
    )
    for number in range(records):
        producer.produce(topic, b"record %d" % number, b"%d" % number)
        if number % 10_000 == 0:
            producer.poll(0)
    if producer.flush(120):
        raise BenchError("the records could not be written")


def _make(site: Site, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": site.settings.brokers})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        made.result(30)


def _copy(site: Site, source: str, target: str, records: int, *, kill: bool) -> tuple[float, int]:
    """Run the task; with ``kill``, kill two workers and start two others, again and again."""
    _make(site, target)
    kills = 0
    with site.client() as client:
        begun = time.monotonic()
        params = {"source": source, "target": target, "size": records // CHILDREN}
        task = client.submit(TEMPLATES / "topic.yaml", params)
        while True:
            try:
                status = client.wait(task.task_id, EVERY_S)
                break
            except TimeoutError:
                if time.monotonic() - begun > LIMIT_S:
                    raise BenchError(f"not done in {LIMIT_S:.0f} s") from None
            if kill:
                kills += _kill_two(site)
        seconds = time.monotonic() - begun
    if status.state != "succeeded":
        raise BenchError(f"the task is {status.state}: {status.reason}")
    _judge(site, target, records)
    return seconds, kills


def _kill_two(site: Site) -> int:
    victims = [node for node in site.nodes if node.role == "worker"][:2]
    for node in victims:
        kill_tree(node)
        node.process.wait(10)
        site.nodes.remove(node)
    for _ in victims:
        site.start("worker", "--slots", str(SLOTS), *ALLOW)
    return len(victims)


def _judge(site: Site, topic: str, records: int) -> None:
    """Read what is committed with a plain consumer: each record is there exactly once."""
    consumer = Consumer(
        {
            "bootstrap.servers": site.settings.brokers, "group.id": "judge", "enable.auto.commit": False,
            "isolation.level": "read_committed", "enable.partition.eof": True,
        }
    )  # fmt: skip
    consumer.assign([Place(topic, number, 0) for number in range(PARTITIONS)])
    seen: Counter[bytes] = Counter()
    ended = 0
    while ended < PARTITIONS:
        for message in consumer.consume(10_000, 10.0):
            if message.error() is None:
                seen[bytes(message.value() or b"")] += 1
            else:
                ended += 1
    consumer.close()
    twice = [value for value, count in seen.items() if count > 1]
    missing = [number for number in range(records) if b"RECORD %d" % number not in seen]
    if twice or missing or len(seen) != records:
        raise BenchError(
            f"{topic}: {len(missing)} records are missing, such as {missing[:3]}, {len(twice)} there twice"
        )
