"""A transaction is seen whole or not at all, whatever becomes of its writer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import (
    Append,
    AppendRefused,
    Committed,
    LogUnreachable,
    OutcomeUnknown,
    RecordTooLarge,
    TopicFacts,
    TopicMismatch,
    TopicPartition,
    TransactionAborted,
    WriterFenced,
)
from tests.support.log_harness import Harness, until
from tests.support.log_node import Node, read, stable, values

MEGABYTE = 1024 * 1024


def test_appends_and_positions_are_one(harness: Harness, log: LogAdapter, node: Node) -> None:
    places = [node.place(p) for p in range(3)]
    offsets = node.writer.commit(
        [
            Append(node.topic, 0, b"k", b"a", [("event_type", b"X"), ("task", b"1")], True),
            Append(node.topic, 1, None, b"b"),
            Append(node.topic, 0, None, None, (), True),
        ],
        {places[0]: Committed(7, "seven"), places[2]: Committed(9, "nine")},
        node.member,
    )
    assert offsets == {0: 0, 2: 1}
    records = read(harness, log, dict.fromkeys(places, 0), 3)
    first, tombstone = (r for r in records if r.partition == 0)
    assert (first.topic, first.offset, first.key, first.value) == (node.topic, 0, b"k", b"a")
    assert list(first.headers) == [("event_type", b"X"), ("task", b"1")]
    assert (tombstone.offset, tombstone.key, tombstone.value, list(tombstone.headers)) == (1, None, None, [])
    committed = log.committed(node.group, places, stable=True)
    assert committed == {places[0]: Committed(7, "seven"), places[1]: None, places[2]: Committed(9, "nine")}


def test_order_holds_in_each_partition(harness: Harness, log: LogAdapter, node: Node) -> None:
    for batch in range(5):
        node.writer.commit(
            [Append(node.topic, i % 4, None, b"%d" % (batch * 100 + i)) for i in range(100)],
            {node.place(0): Committed(0, "")},
            node.member,
        )
    records = read(harness, log, {node.place(p): 0 for p in range(4)}, 500)
    for partition in range(4):
        mine = [r for r in records if r.partition == partition]
        assert [int(r.value or b"") for r in mine] == [n for n in range(500) if n % 4 == partition]
        assert [r.offset for r in mine] == sorted({r.offset for r in mine})


def test_a_transaction_of_positions_only(log: LogAdapter, node: Node) -> None:
    node.write(0, position=3, metadata="claim")
    assert stable(log, node.group, node.place(0)) == Committed(3, "claim")
    assert log.end([node.place(0)]) == {node.place(0): 0}


def test_metadata_of_4095_bytes_is_kept_and_more_is_refused(harness: Harness, log: LogAdapter, node: Node) -> None:
    largest = "x" * 4095
    node.write(0, b"kept", metadata=largest)
    assert stable(log, node.group, node.place(0)).metadata == largest
    with pytest.raises(TransactionAborted):
        node.write(0, b"refused", metadata=largest + "x")
    node.write(0, b"after", metadata="short")
    assert values(read(harness, log, {node.place(0): 0}, 2)) == [b"kept", b"after"]


def test_large_records(harness: Harness, log: LogAdapter, node: Node) -> None:
    large = [bytes([i]) * MEGABYTE for i in range(3)]
    node.write(1, *large)
    assert values(read(harness, log, {node.place(1): 0}, 3)) == large


def test_a_record_too_large_is_refused_and_the_writer_goes_on(harness: Harness, log: LogAdapter, node: Node) -> None:
    with pytest.raises(RecordTooLarge):
        node.writer.commit([Append(node.topic, 1, None, b"x" * (3 * MEGABYTE))], {}, node.member)
    node.write(1, b"after")
    assert values(read(harness, log, {node.place(1): 0}, 1)) == [b"after"]


@pytest.mark.parametrize("what", ["too large", "no such partition"])
def test_a_tracked_append_that_can_never_be_written_is_named(
    harness: Harness, log: LogAdapter, node: Node, what: str
) -> None:
    refused = {
        "too large": Append(node.topic, 1, None, b"x" * (3 * MEGABYTE), (), True),
        "no such partition": Append(node.topic, 99, None, b"x", (), True),
    }[what]
    before = Append(node.topic, 1, None, b"before", (), True)
    with pytest.raises(AppendRefused) as raised:
        node.writer.commit([before, refused, before], {node.place(1): Committed(7, "never")}, node.member)
    assert (raised.value.index, raised.value.missing) == (1, what != "too large")
    node.log.fence(node.writer.transactional_id)
    node.writer = node.log.writer(harness.name("writer"))
    node.write(1, b"after", position=1)
    assert values(read(harness, log, {node.place(1): 0}, 1)) == [b"after"]
    assert stable(log, node.group, node.place(1)).position == 1


def test_what_is_known_of_a_topic(harness: Harness, log: LogAdapter, topic: str) -> None:
    assert log.facts(topic) == TopicFacts(4, 2 * 1024 * 1024)
    with pytest.raises(TopicMismatch):
        log.facts(harness.name("nowhere"))


def test_a_commit_without_membership_is_refused(harness: Harness, log: LogAdapter, node: Node, group: str) -> None:
    outsider = Node(harness, group, node.topic)
    with pytest.raises(TransactionAborted):
        outsider.write(0, b"never", position=5)
    node.write(0, b"mine", position=1)
    assert values(read(harness, log, {node.place(0): 0}, 1)) == [b"mine"]
    assert stable(log, group, node.place(0)).position == 1


def test_a_writer_whose_member_had_not_joined_writes_once_it_has(
    harness: Harness, log: LogAdapter, join: Callable[[], Node]
) -> None:
    node = join()
    with pytest.raises(TransactionAborted):
        node.write(0, b"early", position=5)
    node.settle(4)
    node.write(0, b"later", position=1)
    assert values(read(harness, log, {node.place(0): 0}, 1)) == [b"later"]
    assert stable(log, node.group, node.place(0)).position == 1


def test_an_open_transaction_hides_what_lies_behind_it(harness: Harness, log: LogAdapter, node: Node) -> None:
    place = node.place(0)
    node.write(0, b"before")
    hanging = harness.leave_open(
        node.log,
        harness.name("hanging"),
        [Append(node.topic, 0, None, b"open")],
        {place: Committed(1, "open")},
        node.member,
    )
    log.append([Append(node.topic, 0, None, b"behind")])
    reader = log.reader()
    reader.assign({place: 0})
    seen: list[bytes | None] = []

    def poll() -> bool:
        seen.extend(values(reader.poll(100, 0.05)))
        return len(seen) >= 3

    until(harness, lambda: poll() or bool(seen))
    for _ in range(3):
        assert not poll()
    assert seen == [b"before"]
    assert reader.position(place) <= 2
    assert log.end([place])[place] >= 4
    assert log.stable_end([place]) == {place: 2}
    assert log.held([place, node.place(1)], []) == {place: 2}
    with pytest.raises(LogUnreachable):
        log.committed(node.group, [place], stable=True, timeout=0.3)
    unstable = log.committed(node.group, [place], stable=False)[place]
    assert unstable is None or unstable.metadata == ""
    hanging.commit()
    until(harness, poll, what="the committed records")
    assert seen == [b"before", b"open", b"behind"]
    assert log.held([place], []) == {}
    assert log.stable_end([place]) == log.end([place])
    assert stable(log, node.group, place) == Committed(1, "open")


def test_a_fence_aborts_what_is_open(harness: Harness, log: LogAdapter, node: Node) -> None:
    place, name = node.place(0), harness.name("hanging")
    hanging = harness.leave_open(
        node.log, name, [Append(node.topic, 0, None, b"never")], {place: Committed(1, "never")}, node.member
    )
    log.append([Append(node.topic, 0, None, b"behind")])
    log.fence(name)
    assert values(read(harness, log, {place: 0}, 1)) == [b"behind"]
    assert log.committed(node.group, [place], stable=True) == {place: None}
    with pytest.raises(WriterFenced):
        hanging.commit()
    assert values(read(harness, log, {place: 0}, 1)) == [b"behind"]
    assert log.committed(node.group, [place], stable=True) == {place: None}


def test_an_open_transaction_times_out(harness: Harness, log: LogAdapter, node: Node) -> None:
    place = node.place(0)
    hanging = harness.leave_open(
        node.log,
        harness.name("hanging"),
        [Append(node.topic, 0, None, b"never")],
        {place: Committed(1, "never")},
        node.member,
    )
    log.append([Append(node.topic, 0, None, b"behind")])
    harness.pass_time(harness.transaction_timeout)
    assert values(read(harness, log, {place: 0}, 1)) == [b"behind"]
    with pytest.raises(WriterFenced):
        hanging.commit()
    assert log.committed(node.group, [place], stable=True) == {place: None}


def test_a_fenced_writer_is_told_so_once_and_for_all(harness: Harness, log: LogAdapter, node: Node) -> None:
    node.write(0, b"first", position=1)
    log.fence(node.writer.transactional_id)
    for _ in range(2):
        with pytest.raises(WriterFenced):
            node.write(0, b"never", position=2)
    assert values(read(harness, log, {node.place(0): 0}, 1)) == [b"first"]
    assert stable(log, node.group, node.place(0)).position == 1


def test_a_second_writer_of_an_id_fences_the_first(harness: Harness, log: LogAdapter, node: Node) -> None:
    node.write(0, b"first")
    successor = log.writer(node.writer.transactional_id)
    with pytest.raises(WriterFenced):
        node.write(0, b"never")
    successor.commit([Append(node.topic, 0, None, b"second")], {node.place(0): Committed(0, "")}, node.member)
    assert values(read(harness, log, {node.place(0): 0}, 2)) == [b"first", b"second"]
    successor.close()


def test_an_unknown_id_can_be_fenced(harness: Harness, log: LogAdapter) -> None:
    log.fence(harness.name("nobody"))


@pytest.mark.parametrize("landed", [True, False])
def test_the_committed_counter_tells_an_unknown_outcome(
    harness: Harness, log: LogAdapter, node: Node, landed: bool
) -> None:
    place, name = node.place(0), harness.name("unsure")
    node.write(0, position=0, metadata="counter 1")
    with pytest.raises(OutcomeUnknown):
        harness.commit_unknown(
            node.log,
            name,
            [Append(node.topic, 0, None, b"perhaps")],
            {place: Committed(1, "counter 2")},
            node.member,
            landed=landed,
        )
    node.log.fence(name)
    witness = stable(log, node.group, place)
    assert witness == (Committed(1, "counter 2") if landed else Committed(0, "counter 1"))
    expected = [b"perhaps"] if landed else []
    node.write(0, b"next", position=2, metadata="counter 3")
    assert values(read(harness, log, {place: 0}, len(expected) + 1)) == [*expected, b"next"]


def test_append_without_transaction(harness: Harness, log: LogAdapter, topic: str) -> None:
    offsets = log.append([Append(topic, p, b"k", b"%d" % i) for i, p in enumerate((0, 0, 1, 0))])
    assert list(offsets) == [0, 1, 0, 2]
    assert list(log.append([Append(topic, 0, None, b"more", [("h", b"1")])])) == [3]
    records = read(harness, log, {TopicPartition(topic, 0): 0}, 4)
    assert values(records) == [b"0", b"1", b"3", b"more"]
    assert list(records[3].headers) == [("h", b"1")]
    with pytest.raises(RecordTooLarge):
        log.append([Append(topic, 0, None, b"x" * (3 * MEGABYTE))])


def test_a_posted_record_arrives(harness: Harness, log: LogAdapter, topic: str) -> None:
    log.post(Append(topic, 2, b"node", b"beat"))
    assert values(read(harness, log, {TopicPartition(topic, 2): 0}, 1)) == [b"beat"]
