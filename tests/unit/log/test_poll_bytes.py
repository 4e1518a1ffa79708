"""A poll ends with a few large records, in one partition or in several, and the next one goes on behind them."""

from __future__ import annotations

import pytest

from streamsched.log.core import reader as module
from streamsched.log.memory import MemoryCluster
from streamsched.log.port import Append, TopicPartition, TopicSpec


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_poll_ends_where_its_records_are_large(partitions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_BYTES", 1_000)
    log = MemoryCluster().connect("one")
    log.create_topics([TopicSpec("topic", partitions, {})])
    places = [TopicPartition("topic", number) for number in range(partitions)]
    for number in range(10):
        log.append([Append(*places[number % partitions], None, bytes([number]) * 400, ())])
    reader = log.reader()
    reader.assign(dict.fromkeys(places, 0))
    polls = []
    while records := reader.poll(100, 0.0):
        polls.append([record.value[0] for record in records if record.value])
    assert max(map(len, polls)) <= 3
    assert sorted(value for poll in polls for value in poll) == list(range(10))
    if partitions == 1:
        assert [value for poll in polls for value in poll] == list(range(10))
