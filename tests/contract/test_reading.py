"""Readers go from any position or time to the end, and never over a hole that they were not told of."""

from __future__ import annotations

import pytest

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import (
    Append,
    Committed,
    LogError,
    PositionLost,
    Reader,
    Record,
    TopicPartition,
    TopicSpec,
)
from tests.support.log_harness import Harness, until
from tests.support.log_node import Node, read, values


def reach(harness: Harness, reader: Reader, place: TopicPartition, end: int) -> list[Record]:
    """Read on until the position is at ``end``."""
    records: list[Record] = []

    def there() -> bool:
        records.extend(reader.poll(100, 0.05))
        return reader.position(place) == end

    until(harness, there, what=f"position {end}")
    return records


def test_the_position_moves_past_markers_and_gaps(harness: Harness, log: LogAdapter, node: Node) -> None:
    place = node.place(0)
    node.write(0, b"a", b"b")
    name = harness.name("hanging")
    appends = [Append(node.topic, 0, None, b"never")]
    harness.leave_open(node.log, name, appends, {place: Committed(0, "")}, node.member)
    log.fence(name)
    node.write(0, b"c")
    end = 7  # a, b, marker; never, marker; c, marker: which may come after its commit returned
    until(harness, lambda: log.end([place])[place] == end, what=f"the end {end}")
    reader = log.reader()
    reader.assign({place: 0})
    records = reach(harness, reader, place, end)
    assert [(r.offset, r.value) for r in records] == [(0, b"a"), (1, b"b"), (5, b"c")]
    node.write(0, b"d")
    assert values(reach(harness, reader, place, end + 2)) == [b"d"]
    reader.close()


@pytest.mark.parametrize(("position", "expected"), [(0, 6), (1, 5), (3, 3), (4, 3), (6, 1), (7, 0), (8, 0)])
def test_reading_from_any_position(harness: Harness, log: LogAdapter, node: Node, position: int, expected: int) -> None:
    for name in (b"a", b"b"):
        node.write(0, name, name, name)
    records = read(harness, log, {node.place(0): position}, expected)
    assert [r.offset for r in records] == [o for o in (0, 1, 2, 4, 5, 6) if o >= position]


def test_a_limit_cuts_without_loss(harness: Harness, log: LogAdapter, node: Node) -> None:
    for batch in range(3):
        node.writer.commit(
            [Append(node.topic, i % 2, None, b"%d" % (batch * 10 + i)) for i in range(10)],
            {node.place(0): Committed(0, "")},
            node.member,
        )
    reader = log.reader()
    reader.assign({node.place(0): 0, node.place(1): 0})
    records: list[Record] = []

    def enough() -> bool:
        some = reader.poll(3, 0.05)
        assert len(some) <= 3
        records.extend(some)
        return len(records) == 30

    until(harness, enough)
    for partition in (0, 1):
        mine = [int(r.value or b"") for r in records if r.partition == partition]
        assert mine == [n for n in range(30) if n % 2 == partition]
    reader.close()


def test_assigning_again_keeps_the_place_of_what_is_read_already(harness: Harness, log: LogAdapter, node: Node) -> None:
    zero, one = node.place(0), node.place(1)
    node.write(0, b"a", b"b", b"c")
    node.write(1, b"x", b"y")
    reader = log.reader()
    reader.assign({zero: 0})
    records: list[Record] = []

    def some(count: int) -> bool:
        records.extend(reader.poll(1, 0.05))
        return len(records) >= count

    until(harness, lambda: some(2))
    assert reader.position(zero) == 2
    reader.assign({zero: 2, one: 1})
    until(harness, lambda: some(4))
    assert sorted(values(records[2:]), key=str) == [b"c", b"y"]
    del records[:]
    reader.assign({zero: 1})
    until(harness, lambda: some(2))
    assert values(records) == [b"b", b"c"]
    reader.close()


def test_reading_from_a_time(harness: Harness, log: LogAdapter, node: Node) -> None:
    place = node.place(0)
    for name in (b"a", b"b", b"c", b"d"):
        node.write(0, name)
        harness.pass_time(0.02)
    records = read(harness, log, {place: 0}, 4)
    for record in records:
        found = log.position_at([place], record.timestamp)[place]
        assert (
            record.offset - 1 <= found <= record.offset
        )  # before it stands a commit marker, stamped when it is written
        found = log.position_at([place], record.timestamp - 1)[place]
        assert found == record.offset or record.offset > found >= record.offset - 2
    assert log.position_at([place], 0) == {place: 0}
    end = log.end([place])[place]
    beyond = log.position_at([place], records[-1].timestamp + 1)[place]
    assert records[-1].offset < beyond <= end  # Kafka may name the last marker


def test_records_below_a_position_can_be_let_go(harness: Harness, log: LogAdapter, node: Node) -> None:
    place = node.place(0)
    for name in (b"a", b"b", b"c"):
        node.write(0, name, name)
    log.delete_before({place: 4})
    assert log.start([place]) == {place: 4}
    log.delete_before({place: 2})
    assert log.start([place]) == {place: 4}
    assert [(r.offset, r.value) for r in read(harness, log, {place: 4}, 3)] == [(4, b"b"), (6, b"c"), (7, b"c")]
    assert log.position_at([place], 0) == {place: 4}
    with pytest.raises(LogError):
        log.delete_before({place: 100})
    end = log.end([place])
    log.delete_before(end)
    assert log.start([place]) == end
    node.write(0, b"new")
    assert values(read(harness, log, end, 1)) == [b"new"]


def _poll(harness: Harness, reader: Reader, places: dict[TopicPartition, int]) -> None:
    reader.assign(places)
    until(harness, lambda: bool(reader.poll(10, 0.05)), what="any answer")


def test_a_position_that_is_gone_is_an_error(harness: Harness, log: LogAdapter, node: Node) -> None:
    place = node.place(0)
    node.write(0, b"a", b"b", b"c")
    log.delete_before({place: 2})
    reader = log.reader()
    with pytest.raises(PositionLost, match=node.topic):
        _poll(harness, reader, {place: 1})
    reader.close()


def test_a_position_beyond_the_end_is_an_error(harness: Harness, log: LogAdapter, node: Node) -> None:
    place = node.place(0)
    node.write(0, b"a")
    reader = log.reader()
    with pytest.raises(PositionLost, match=node.topic):
        _poll(harness, reader, {place: 50})
    reader.close()


def test_two_readers_are_independent(harness: Harness, node: Node) -> None:
    node.write(0, b"a", b"b")
    one, two = harness.connect(), harness.connect()
    assert values(read(harness, one, {node.place(0): 0}, 2)) == [b"a", b"b"]
    assert values(read(harness, two, {node.place(0): 1}, 1)) == [b"b"]


def test_the_log_tells_its_own_time_once_a_record_was_posted(harness: Harness, log: LogAdapter) -> None:
    name = harness.name("beats")
    log.create_topics([TopicSpec(name, 1, {"message.timestamp.type": "LogAppendTime"})])
    log.post(Append(name, 0, b"k", b"beat"))
    until(harness, lambda: log.time() is not None, what="the time")
    told = log.time()
    reader = log.reader()
    reader.assign({TopicPartition(name, 0): 0})
    (record,) = reach(harness, reader, TopicPartition(name, 0), 1)
    reader.close()
    again = log.time()
    assert told is not None
    assert again is not None
    assert told.earliest <= told.latest
    assert told.earliest <= again.earliest
    assert record.timestamp <= again.latest
