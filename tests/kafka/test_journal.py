"""Reading the journal on a real broker: a partition that stands still, and goes on when that is decided."""

from __future__ import annotations

from contextlib import closing

import pytest

from streamsched.domain import events as e
from streamsched.domain.ids import EventIds
from streamsched.log.codec import Codec, headers_of
from streamsched.log.journal import JournalReader
from streamsched.log.kafka import KafkaLog
from streamsched.log.port import Append, Committed
from streamsched.log.scan import records
from streamsched.log.topics import Topics
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records
from tests.kafka.harness import KafkaHarness
from tests.support.log_node import Node

NEWER = b"\xc3\x01" + b"\xff" * 8


def test_a_partition_stands_still_and_goes_on(harness: KafkaHarness, log: KafkaLog) -> None:
    topics, codec = Topics(harness.name("journal"), event_partitions=2, child_partitions=1), Codec()
    log.create_topics(topics.specs())
    me = Identity("me", "me", SystemClock(), EventIds())
    made = Records(codec, topics)
    ids = {home: next(f"t{n}" for n in range(99) if topics.journal_of(f"t{n}").partition == home) for home in (0, 1)}

    def tell(home: int) -> int:
        event = me.sign(e.TaskCancelRequested, task_id=ids[home], redrive=0, reason="x")
        return log.append([made.journal(event, ids[home])])[0]

    first, unknown = tell(0), log.append([Append(topics.events, 0, b"k", NEWER)])[0]
    last, other = tell(0), tell(1)
    places = topics.journal()
    with closing(JournalReader(log, topics, codec)) as reader:
        reader.assign(log.start(places))

        def read() -> list[tuple[int, int, bool]]:
            found, ends = [], log.end(places)
            while reader.left(ends):
                found += [(r.partition, r.offset, isinstance(event, e.Event)) for r, event in reader.poll(100, 0.2)]
            return sorted(found)

        assert read() == [(0, first, True), (1, other, True)]
        assert (reader.position(places[0]), reader.halts[0].offset) == (unknown, unknown)
        assert read() == []
        decision = me.sign(e.RecordSetAside, partition=0, offset=unknown, reason="a test")
        log.append([Append(topics.events, 0, None, codec.encode(decision), headers_of(decision))])
        assert read() == [(0, unknown, False), (0, last, True), (0, last + 1, True)]
        assert not reader.halts


def test_what_holds_a_reading_up_is_said(
    harness: KafkaHarness, log: KafkaLog, node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = node.place(0)
    (first,) = log.append([Append(*place, b"k", b"before")])
    appends = [Append(*place, None, b"never")]
    hanging = harness.leave_open(node.log, harness.name("open"), appends, {place: Committed(0, "")}, node.member)
    monkeypatch.setattr("streamsched.log.scan.SAY_AFTER_S", 0.5)
    ends = log.end([place])
    found = [record.value for record in records(log, {place: 0}, ends)]  # until the broker gives the transaction up
    assert found == [b"before"]
    assert f"{place.topic}-0 cannot be read beyond offset {first + 1}, where a transaction is open" in caplog.text
    assert hanging
