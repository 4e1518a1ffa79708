"""A topic that is cut up, and read in spans: each committed record once, and what is missing is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsched.domain.options import InputFile
from streamsched.domain.splitters.topic import TopicSplit
from streamsched.log.memory import MemoryLog
from streamsched.log.port import Append, TopicPartition, TopicSpec
from streamsched.worker.context import ChildContext, LocalTransport
from streamsched.worker.errors import NonRetryable
from streamsched.worker.sources.errors import CompactedTopic, InputChanged, InputEmpty, InputMissing, SourceGone
from streamsched.worker.sources.topic import Bounds, SpanRecords, TopicRecord, _time, freeze, spans

WANTED = {"name": "orders", "begin": "earliest", "end": "latest", "size": 10, "empty": False}


def made(counts: Sequence[int], clock: Callable[[], int] = lambda: 1_000) -> MemoryLog:
    log = MemoryLog(clock=clock)
    log.create_topics([TopicSpec("orders", len(counts), {})])
    for partition, count in enumerate(counts):
        for number in range(count):
            log.append([Append("orders", partition, b"k", b"%d/%d" % (partition, number), [("h", b"v")])])
    return log


def read(log: MemoryLog, entry: Any, begin: int | None = None) -> list[TopicRecord]:
    (span,) = msgspec.convert(entry["inputs"], tuple[InputFile, ...])
    return [*SpanRecords(log, span, begin, lambda: None)]


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=4), size=st.integers(1, 15), done=st.integers(0, 20))
def test_spans_are_disjoint_complete_and_resume(counts: list[int], size: int, done: int) -> None:
    log = made(counts)
    bounds = freeze(log, {**WANTED, "empty": True})
    entries = [*spans("orders", size, bounds)]
    values = [record.value for entry in entries for record in read(log, entry)]
    assert values == [b"%d/%d" % (number, each) for number, count in enumerate(counts) for each in range(count)]
    assert [*spans("orders", size, bounds, done)] == entries[done:]
    assert all(entry["weight"] <= size for entry in entries)
    follows = TopicSplit.follows
    assert all(follows(before, entry) for before, entry in zip([None, *entries], entries, strict=False))


def test_a_record_has_all_that_was_written() -> None:
    log = made([3])
    entry = next(spans("orders", 10, freeze(log, WANTED)))
    first, *_ = read(log, entry)
    assert (first.key, first.value, [*first.headers], first.partition, first.offset) == (
        b"k", b"0/0", [("h", b"v")], 0, 0,
    )  # fmt: skip
    assert first.time.timestamp() == 1
    assert _time(1 << 62) > first.time > _time(-(1 << 62))
    assert [record.offset for record in read(log, entry, 2)] == [2]


def test_what_comes_later_is_not_part_of_it() -> None:
    log = made([3, 0])
    bounds = freeze(log, WANTED)
    log.append([Append("orders", number, None, b"late") for number in (0, 1)])
    assert [len(read(log, entry)) for entry in spans("orders", 10, bounds)] == [3]


def test_times_bound_it() -> None:
    at = 0

    def clock() -> int:
        nonlocal at
        at += 1_000
        return at

    log = made([5, 5], clock)
    first = read(log, next(spans("orders", 10, freeze(log, WANTED))))
    begin = round(first[2].time.timestamp() * 1000)
    after = freeze(log, {**WANTED, "begin": begin})
    assert after["partitions"] == [[0, 2, 5], [1, 0, 5]]
    before = freeze(log, {**WANTED, "end": begin})
    assert before["partitions"] == [[0, 0, 2]]
    with pytest.raises(InputEmpty, match="orders has no record"):
        freeze(log, {**WANTED, "begin": at * 100, "end": at * 100})


def test_what_an_open_transaction_holds_back_is_not_part_of_it() -> None:
    log = made([2])
    member = log.member("g", "orders", cast("Any", _Deaf()))
    writer = log.writer("w")
    writer.commit([Append("orders", 0, None, b"committed")], {}, member)
    found = read(log, next(spans("orders", 10, freeze(log, WANTED))))
    assert [record.value for record in found] == [b"0/0", b"0/1", b"committed"]


class _Deaf:
    def on_assigned(self, partitions: object) -> None: ...

    on_revoked = on_lost = on_assigned


def test_a_topic_that_is_not_there_or_empty() -> None:
    log = made([0])
    with pytest.raises(InputMissing, match="nowhere"):
        freeze(log, {**WANTED, "name": "nowhere"})
    with pytest.raises(InputEmpty):
        freeze(log, WANTED)
    assert freeze(log, {**WANTED, "empty": True})["partitions"] == []


def test_a_compacted_topic_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    log = made([1])
    monkeypatch.setattr(log, "check_topics", lambda specs: ["topic orders has cleanup.policy compact, not delete"])
    with pytest.raises(CompactedTopic, match="topic orders is compacted"):
        freeze(log, WANTED)


def frozen(log: MemoryLog) -> tuple[Bounds, Any]:
    bounds = freeze(log, WANTED)
    return bounds, next(spans("orders", 10, bounds))


def test_deleted_records_are_named() -> None:
    log = made([5])
    _, entry = frozen(log)
    log.delete_before({TopicPartition("orders", 0): 3})
    with pytest.raises(SourceGone, match=r"topic orders, partition 0: offset 0 is deleted, it begins at 3"):
        read(log, entry)
    assert [record.offset for record in read(log, entry, 3)] == [3, 4]


def test_another_topic_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    log = made([5])
    _, entry = frozen(log)
    short = made([2])
    with pytest.raises(InputChanged, match="ends at 2, and reached 5"):
        read(short, entry)
    monkeypatch.setattr(log, "topic_id", lambda topic: "another")
    with pytest.raises(InputChanged, match="made anew"):
        read(log, entry)
    with pytest.raises(InputMissing, match="orders"):
        read(MemoryLog(), entry)


def test_each_child_resumes_within_its_own_span() -> None:
    log = made([25])
    seen: list[int] = []
    for entry in spans("orders", 10, freeze(log, WANTED)):
        (span,) = msgspec.convert(entry["inputs"], tuple[InputFile, ...])
        state = None
        for attempt in (1, 2):
            context = ChildContext(LocalTransport(), attempt=attempt, state=state)
            context.read_from(lambda offset, span=span: SpanRecords(log, span, offset, lambda: None))  # type: ignore[misc]
            for taken, record in enumerate(context.resume(context.records(), every=1)):
                seen.append(record.offset)
                if attempt == 1 and taken == 3:
                    break
            context.finish()
            told = context.unsaved(again=True)
            state = told and told[0]
    assert seen == [0, 1, 2, 3, *range(3, 10), 10, 11, 12, 13, *range(13, 20), 20, 21, 22, 23, 23, 24]


def test_the_reading_is_alive_and_can_be_stopped() -> None:
    log = made([5])
    calls: list[int] = []
    _, entry = frozen(log)
    (span,) = msgspec.convert(entry["inputs"], tuple[InputFile, ...])
    found = SpanRecords(log, span, None, lambda: calls.append(1))
    assert [(record.offset, found.offset) for record in found] == [(n, n + 1) for n in range(5)]
    assert calls
    found.seek(3)
    assert [record.offset for record in found] == [3, 4]
    with pytest.raises(NonRetryable, match="offset 6"):
        SpanRecords(log, span, 6, lambda: None)
