"""Records that cannot be read: set aside, blamed, and never in the way of others."""

from __future__ import annotations

import pytest
from msgspec import structs

from streamsched.domain import events as e
from streamsched.domain.validation import validate
from streamsched.log.codec import headers_of
from streamsched.log.port import Append, TopicPartition
from tests.support.mini_cluster import MiniCluster

NEWER = b"\xc3\x01" + b"\xff" * 8 + b"from the future"


@pytest.mark.parametrize("value", [b"", b"rubbish", b"\xc3\x01short", None])
def test_rubbish_in_the_journal_is_set_aside_and_the_partition_goes_on(value: bytes | None) -> None:
    mini = MiniCluster()
    task_id = mini.id_in(0)
    mini.log.append([Append(mini.topics.events, 0, b"k", value)])
    mini.submit(task_id)
    mini.turn()
    assert mini.phase(task_id) == "succeeded"
    (letter,) = mini.dead_letters()
    assert (letter.topic, letter.partition, letter.value) == (mini.topics.events, 0, value)
    assert "offset 0" in letter.reason


def test_a_newer_record_in_the_journal_stops_its_partition_alone() -> None:
    mini = MiniCluster()
    halted, free = mini.id_in(0), mini.id_in(1)
    mini.log.append([Append(mini.topics.events, 0, b"k", NEWER)])
    mini.submit(halted)
    mini.submit(free)
    mini.turn()
    assert mini.phase(halted) == "none"
    assert mini.phase(free) == "succeeded"
    assert mini.view.positions.get(0, 0) == 0
    assert mini.dead_letters() == []


def test_rubbish_in_the_work_log_fails_the_child_that_its_headers_name() -> None:
    mini = MiniCluster()
    task_id = mini.id_in(0)
    mini.submit(task_id)
    created = e.ChildCreated(b"i", 1, "x", "gone", 7, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, 0, None)
    mini.log.append([Append(mini.topics.children, 1, b"gone", b"rubbish", headers_of(created))])
    mini.turn()
    assert mini.phase(task_id) == "succeeded"
    (letter,) = mini.dead_letters()
    assert letter.topic == mini.topics.children
    home = mini.topics.journal_of("gone")
    reader = mini.log.reader()
    reader.assign({home: 0})
    failures = [
        event
        for event in (mini.codec.decode(record) for record in reader.poll(1000, 0.0))
        if isinstance(event, e.ChildFailed)
    ]
    assert [(f.task_id, f.child, f.reason) for f in failures] == [("gone", 7, "poison")]
    committed = mini.log.committed(mini.topics.worker_group, [TopicPartition(mini.topics.children, 1)], stable=True)
    assert all(each is not None and each.position > letter.offset for each in committed.values())


def test_a_newer_record_in_the_work_log_stays_unsettled_and_others_pass() -> None:
    mini = MiniCluster()
    mini.log.append([Append(mini.topics.children, place, b"k", NEWER) for place in (0, 1)])
    task_id = mini.id_in(1)
    mini.submit(task_id)
    mini.turn()
    assert mini.phase(task_id) == "succeeded"
    assert mini.dead_letters() == []
    places = mini.topics.work_log()
    for committed in mini.log.committed(mini.topics.worker_group, places, stable=True).values():
        assert committed is not None
        assert committed.position == 0


@pytest.mark.parametrize("name", ["by", "node_id", "name", "role", "version", "state", "member_id", "transactional_id"])
def test_a_beat_of_a_long_text_is_none(name: str) -> None:
    """An eviction of such a member is a request that the broker cuts off: each try would hold up all others."""
    fields = dict.fromkeys(("by", "node_id", "name", "role", "version", "state", "member_id", "transactional_id"), "x")
    numbers = {"slots": 1, "free": 1, "pending": 0, "partitions": (), "running": (), "loop_age": 0}
    beat = e.NodeBeat(event_id=b"i", at=1, **fields, **numbers)  # type: ignore[arg-type]
    assert validate(beat) is None
    assert name in str(validate(structs.replace(beat, **{name: "m" * 1_001})))
