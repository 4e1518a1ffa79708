"""How Kafka chooses the partition of its own topics that a group, or a transactional id, is coordinated by."""

from __future__ import annotations

from typing import Final

POSITIONS: Final = "__consumer_offsets"
"""Kafka's topic of the groups' positions; the leader of a group's partition coordinates it."""
TRANSACTIONS: Final = "__transaction_state"
"""Kafka's topic of what became of each transaction; the leader of an id's partition coordinates it."""


def coordinating_partition(name: str, partitions: int) -> int:
    """Return the partition of a group or transactional id: Java's hash of its name, the sign dropped."""
    value = 0
    for letter in name:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    if value >> 31:
        value = -value & 0x7FFFFFFF  # the least integer has no counterpart: it counts as 0
    return value % partitions
