"""Identity: ids that sort by birth, and the partition that every Kafka client would find."""

from __future__ import annotations

import uuid

import pytest

from streamsched.domain.ids import WRITER_LEVEL, EventIds, fencing_token, murmur2, partition_of, uuid7, writer_level


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # Apache Kafka, UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_the_java_client(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


def test_a_partition_is_never_negative() -> None:
    assert partition_of("21", 16) == (-973932308 & 0x7FFFFFFF) % 16
    assert all(0 <= partition_of(f"task-{number}", 7) < 7 for number in range(1_000))


def test_uuid7_sorts_by_time() -> None:
    made = [uuid7(1_700_000_000_000 + number) for number in range(1_000)]
    assert made == sorted(made)
    first = uuid.UUID(made[0])
    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert first.int >> 80 == 1_700_000_000_000
    assert len({uuid7(5) for _ in range(1_000)}) == 1_000


def test_event_ids_never_repeat() -> None:
    one, other = EventIds(), EventIds()
    made = [ids() for ids in (one, other) for _ in range(1_000)]
    assert len(set(made)) == 2_000
    assert all(len(event_id) == 16 for event_id in made)
    assert EventIds(b"prefix--")() == b"prefix--" + bytes([WRITER_LEVEL]) + bytes(7)
    assert (writer_level(one()), writer_level(b"prefix--" + bytes(8)), writer_level(b"")) == (WRITER_LEVEL, 0, 0)


def test_a_fencing_token_grows_with_owner_and_dispatch() -> None:
    tokens = [fencing_token(ordinal, epoch) for ordinal in (1, 2) for epoch in (1, 2, 0xFFFFFFFF)]
    assert tokens == sorted(set(tokens))
