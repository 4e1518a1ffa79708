"""Positions on a real log: markers, holes, ends, and those that are gone."""

from __future__ import annotations

import itertools

import pytest
from confluent_kafka.admin import AdminClient

from streamsched.log.kafka import KafkaLog
from streamsched.log.port import Append, PositionLost, Reader, Record, TopicPartition, TopicSpec
from tests.kafka.conftest import PARTITIONS
from tests.kafka.harness import KafkaHarness
from tests.support.log_harness import until
from tests.support.log_node import Node, values
from tools.broker import Broker


def collect(harness: KafkaHarness, reader: Reader, count: int, limit: int = 100) -> list[Record]:
    records: list[Record] = []

    def enough() -> bool:
        records.extend(reader.poll(limit, 0.05))
        return len(records) >= count

    until(harness, enough, what=f"{count} records")
    return records


def test_a_position_that_goes_while_it_is_read_is_lost_until_it_is_assigned_anew(
    harness: KafkaHarness, log: KafkaLog, place: TopicPartition
) -> None:
    log.append([Append(place.topic, 0, None, b"%d" % i) for i in range(10)])
    log.delete_before({place: 6})
    reader = log.reader()
    reader.assign({place: 3})
    for _ in range(2):
        with pytest.raises(PositionLost, match=rf"{place.topic}, partition 0 from offset 3.*topics repair"):
            until(harness, lambda: bool(reader.poll(10, 0.05)))
    reader.assign({place: 6})
    assert values(collect(harness, reader, 4)) == [b"6", b"7", b"8", b"9"]
    reader.close()


def test_a_lost_partition_does_not_take_records_of_others_with_it(
    harness: KafkaHarness, log: KafkaLog, topic: str
) -> None:
    good, bad = TopicPartition(topic, 1), TopicPartition(topic, 2)
    log.append([Append(topic, 1, None, b"%d" % i) for i in range(50)])
    reader = log.reader()
    reader.assign({good: 0, bad: 77})
    records: list[Record] = []

    def lost() -> bool:
        records.extend(reader.poll(5, 0.05))
        return False

    with pytest.raises(PositionLost):
        until(harness, lost)
    assert reader.position(good) == len(records)
    reader.assign({good: reader.position(good)})
    if len(records) < 50:
        records += collect(harness, reader, 50 - len(records))
    assert values(records) == [b"%d" % i for i in range(50)]
    reader.close()


def test_the_end_is_reached_over_aborted_transactions_only(harness: KafkaHarness, node: Node) -> None:
    place = node.place(0)
    for index in range(3):
        name = harness.name("hanging")
        harness.leave_open(node.log, name, [Append(node.topic, 0, None, b"%d" % index)], {}, node.member)
        node.log.fence(name)
    reader = node.log.reader()
    reader.assign({place: 0})
    until(harness, lambda: not reader.poll(10, 0.05) and reader.position(place) == 6)
    assert node.log.end([place]) == {place: 6}
    reader.close()


def test_partitions_come_and_go_without_loss_or_repetition(harness: KafkaHarness, node: Node) -> None:
    for batch in range(10):
        node.writer.commit(
            [Append(node.topic, p, None, b"%d" % (batch * 10 + i)) for p in range(4) for i in range(10)],
            {},
            node.member,
        )
    reader = node.log.reader()
    seen: dict[int, list[bytes | None]] = {p: [] for p in range(4)}
    positions = {node.place(p): 0 for p in range(4)}
    turns = itertools.count()

    def complete() -> bool:
        turn = next(turns)
        chosen = {place: at for place, at in positions.items() if (turn + place.partition) % 3}
        reader.assign(chosen)
        for record in reader.poll(7, 0.1):
            seen[record.partition].append(record.value)
        for place in chosen:
            positions[place] = reader.position(place)
        return all(len(values) == 100 for values in seen.values())

    until(harness, complete, limit=60)
    for found in seen.values():
        assert found == [b"%d" % i for i in range(100)]
    reader.close()


def test_a_topic_that_was_deleted_and_created_again_has_another_id(
    harness: KafkaHarness, broker: Broker, log: KafkaLog, topic: str
) -> None:
    before = log.topic_id(topic)
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.delete_topics([topic])[topic].result(10)
    until(harness, lambda: bool(log.create_topics([TopicSpec(topic, PARTITIONS, {})])), what="the topic is gone")
    until(harness, lambda: log.topic_id(topic) != before, what="the new topic is seen")
