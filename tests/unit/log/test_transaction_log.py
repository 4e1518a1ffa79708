"""Records of Kafka's own topic of transactions, of both versions."""

from __future__ import annotations

import pytest

from streamsched.log.kafka.coordination import coordinating_partition
from streamsched.log.kafka.transaction_log import State, Step, decode
from streamsched.log.port import LogError, TopicPartition

KEY = bytes.fromhex("0000 0003") + b"one"
HEAD = bytes.fromhex("0000000000000007 0002 00002710")  # producer 7, epoch 2, 10 s
TAIL = bytes.fromhex("00000000000000ff 00000000000000fe")
PLAIN = (
    bytes.fromhex("0000") + HEAD + bytes.fromhex("02 00000002")
    + bytes.fromhex("0001") + b"a" + bytes.fromhex("00000002 00000000 00000003")
    + bytes.fromhex("0002") + b"bc" + bytes.fromhex("00000001 00000001") + TAIL
)  # fmt: skip
FLEXIBLE = (
    bytes.fromhex("0001") + HEAD + bytes.fromhex("03 03")
    + bytes.fromhex("02") + b"a" + bytes.fromhex("03 00000000 00000003 01 05 02 ffff")  # with a tagged field
    + bytes.fromhex("03") + b"bc" + bytes.fromhex("02 00000001 00") + TAIL + bytes.fromhex("00")
)  # fmt: skip
PARTITIONS = frozenset({TopicPartition("a", 0), TopicPartition("a", 3), TopicPartition("bc", 1)})


def test_both_versions_say_the_same() -> None:
    assert decode(KEY, PLAIN) == Step("one", 7, State.PREPARE_COMMIT, PARTITIONS)
    assert decode(KEY, FLEXIBLE) == Step("one", 7, State.PREPARE_ABORT, PARTITIONS)


def test_a_transaction_that_is_over_names_no_partition() -> None:
    plain = bytes.fromhex("0000") + HEAD + bytes.fromhex("04 ffffffff") + TAIL
    flexible = bytes.fromhex("0001") + HEAD + bytes.fromhex("05 00") + TAIL + bytes.fromhex("00")
    assert decode(KEY, plain) == Step("one", 7, State.COMPLETE_COMMIT, frozenset())
    assert decode(KEY, flexible) == Step("one", 7, State.COMPLETE_ABORT, frozenset())


def test_what_says_nothing_is_passed_over_and_what_is_unknown_is_not() -> None:
    assert decode(KEY, None) is None
    assert decode(b"\0\7", PLAIN) is None
    with pytest.raises(LogError, match="version 2"):
        decode(KEY, b"\0\2" + PLAIN[2:])


@pytest.mark.parametrize(
    ("name", "java"), [("abc", 96354), ("streamsched.workers", -2081257218), ("polygenelubricants", -(2**31))]
)
def test_coordinators_are_chosen_as_java_does(name: str, java: int) -> None:
    """By the absolute value of ``String.hashCode()``; that of the least integer counts as 0."""
    assert coordinating_partition(name, 50) == (0 if java == -(2**31) else abs(java) % 50)
