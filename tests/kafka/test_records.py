"""What a record carries comes back as it was, whatever its size."""

from __future__ import annotations

import time
import warnings
from contextlib import closing

import pytest

from streamsched.log.port import Append, Committed, RecordTooLarge, TopicSpec, TransactionAborted
from streamsched.log.topics import RECORD_LIMIT
from tests.kafka.harness import KafkaHarness
from tests.support.brokers import NoText
from tests.support.log_node import Node, read

MEGABYTE = 1024 * 1024


def test_headers_keys_and_times(harness: KafkaHarness, node: Node) -> None:
    before = int(time.time() * 1000)
    headers = [("event_type", b"ChildCreated"), ("same", b"1"), ("same", b""), ("f\u00fcr", b"\x00\xff")]
    node.writer.commit(
        [Append(node.topic, 0, b"\x00key", b"\xc3\x01value", headers), Append(node.topic, 0, b"", b"")],
        {node.place(0): Committed(0, "")},
        node.member,
    )
    full, empty = read(harness, node.log, {node.place(0): 0}, 2)
    assert (full.key, full.value, list(full.headers)) == (b"\x00key", b"\xc3\x01value", headers)
    assert before <= full.timestamp <= int(time.time() * 1000)
    assert (empty.key, empty.value, list(empty.headers)) == (b"", b"", [])


def test_headers_whose_names_are_no_text_are_none_and_end_nobody(harness: KafkaHarness, node: Node) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kafka import KafkaProducer  # type: ignore[import-untyped]

        with closing(KafkaProducer(bootstrap_servers=harness._brokers)) as producer:
            for number in range(200):  # many, for a warm interpreter takes other ways
                headers = [(NoText("task") if number % 2 else "task", b"x"), ("child", b"1")]
                producer.send(node.topic, key=b"k", value=b"v", headers=headers, partition=0)
            producer.flush(30)
    records = read(harness, node.log, {node.place(0): 0}, 200)
    for _ in range(3):
        assert [list(record.headers) for record in records] == [[("task", b"x"), ("child", b"1")], []] * 100
    assert {record.value for record in records} == {b"v"}


def test_the_largest_record_fits(harness: KafkaHarness, node: Node) -> None:
    overhead = 200
    largest = b"x" * (RECORD_LIMIT - overhead)
    node.writer.commit(
        [Append(node.topic, 0, b"key", largest, [("h", b"1")])], {node.place(0): Committed(0, "")}, node.member
    )
    (record,) = read(harness, node.log, {node.place(0): 0}, 1)
    assert record.value == largest


def test_many_large_records_in_one_transaction(harness: KafkaHarness, node: Node) -> None:
    large = [bytes([i]) * MEGABYTE for i in range(12)]
    node.writer.commit(
        [Append(node.topic, i % 4, None, value) for i, value in enumerate(large)],
        {node.place(0): Committed(0, "")},
        node.member,
    )
    records = read(harness, node.log, {node.place(p): 0 for p in range(4)}, 12)
    assert sorted(r.value or b"" for r in records) == large


def test_a_topic_that_takes_less_refuses_and_the_writer_goes_on(harness: KafkaHarness, node: Node) -> None:
    small = harness.name("small")
    node.log.create_topics([TopicSpec(small, 1, {"max.message.bytes": "10000"})])
    positions = {node.place(0): Committed(1, "")}
    with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes"):
        node.writer.commit([Append(small, 0, None, b"x" * 20_000)], positions, node.member)
    with pytest.raises(RecordTooLarge):
        node.log.append([Append(small, 0, None, b"x" * 20_000)])
    for _ in range(5):
        try:
            node.write(0, b"after")
        except TransactionAborted:  # the client skips a sequence number after such a refusal
            continue
        break
    (record,) = read(harness, node.log, {node.place(0): 0}, 1)
    assert record.value == b"after"
