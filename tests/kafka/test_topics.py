"""What the topics' settings are for: a broker that refuses what no reader should have to take."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from confluent_kafka import Producer

from streamsched.log.kafka import KafkaLog
from streamsched.log.port import Append, TopicMismatch, TopicPartition, TopicSpec
from streamsched.log.topics import RECORD_LIMIT, Topics
from tests.kafka.harness import KafkaHarness
from tests.support.log_harness import until
from tests.support.log_node import read

MEGABYTE = 1 << 20
CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1"}


def test_other_settings_are_refused_and_all_differences_named(harness: KafkaHarness, log: KafkaLog) -> None:
    name = harness.name("topic")
    log.create_topics([TopicSpec(name, 2, CONFIG)])
    wrong = TopicSpec(name, 3, {"cleanup.policy": "compact", "retention.ms": "-1"})
    assert len(log.check_topics([wrong])) == 2
    with pytest.raises(TopicMismatch, match=rf"--alter --topic {name} --add-config cleanup\.policy=compact"):
        log.create_topics([wrong])


def _send(harness: KafkaHarness, place: TopicPartition, codec: str, values: list[bytes]) -> set[str]:
    """Send a batch that is packed by this codec; returns what became of its records."""
    fates: set[str] = set()

    def note(error: Any, _: Any) -> None:
        fates.add(error.name() if error else "taken")

    producer = Producer(
        {
            "bootstrap.servers": harness._brokers, "compression.type": codec, "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000, "linger.ms": 60_000, "queue.buffering.max.kbytes": 2_000_000, "retries": 1,
        }
    )  # fmt: skip
    for value in values:
        producer.produce(place.topic, value, b"k", place.partition, on_delivery=note)
    assert producer.flush(60) == 0
    return fates


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_a_batch_that_is_small_packed_and_large_unpacked_is_refused(
    harness: KafkaHarness, log: KafkaLog, codec: str
) -> None:
    topics = Topics(harness.name("bomb"), event_partitions=1, child_partitions=1)
    log.create_topics(topics.specs())
    for place in (*topics.journal(), *topics.work_log()):
        assert _send(harness, place, codec, [b"small"] * 3) == {"taken"}
        assert _send(harness, place, codec, [bytes(MEGABYTE)] * 3) == {"MSG_SIZE_TOO_LARGE"}
        assert _send(harness, place, codec, [bytes(2 * MEGABYTE)]) == {"MSG_SIZE_TOO_LARGE"}
        assert "taken" not in _send(harness, place, codec, [bytes(MEGABYTE)] * 200)
        log.append([Append(*place, b"k", b"after")])
        assert [record.value for record in read(harness, log, {place: 0}, 4)] == [b"small"] * 3 + [b"after"]


def test_a_record_that_is_packed_by_hand_is_bytes_like_others(harness: KafkaHarness, log: KafkaLog) -> None:
    topics = Topics(harness.name("packed"), event_partitions=1, child_partitions=1)
    log.create_topics(topics.specs())
    (place,) = topics.journal()
    packed = gzip.compress(bytes(100 * MEGABYTE))
    assert _send(harness, place, "none", [packed]) == {"taken"}
    assert [record.value for record in read(harness, log, {place: 0}, 1)] == [packed]


def test_headers_that_fill_a_record_are_read(harness: KafkaHarness, log: KafkaLog) -> None:
    topics = Topics(harness.name("heads"), event_partitions=1, child_partitions=1)
    log.create_topics(topics.specs())
    (place,) = topics.journal()
    headers = [("task", b"x" * (RECORD_LIMIT - 300)), ("child", b"1")]
    log.append([Append(*place, b"k", b"v", headers), Append(*place, b"k", b"after")])
    first, after = read(harness, log, {place: 0}, 2)
    assert list(first.headers) == headers
    assert after.value == b"after"


def test_a_topic_that_keeps_its_writers_times_does_not_tell_the_brokers(harness: KafkaHarness, log: KafkaLog) -> None:
    name = harness.name("beats")
    log.create_topics([TopicSpec(name, 1, {"message.timestamp.type": "CreateTime"})])
    log.post(Append(name, 0, b"k", b"beat"))

    def refuses() -> bool:
        try:
            assert log.time() is None
        except TopicMismatch as error:
            return f"topic {name} has message.timestamp.type=CreateTime" in str(error)
        return False

    until(harness, refuses, what="an answer")
