"""The port to the log's topics and brokers: made, checked against what they must be, trimmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streamsched.log.port import TopicFacts, TopicPartition, TopicSpec


class TopicAdmin(Protocol):
    """Topics, their settings, and the brokers that have them."""

    def check_broker(self) -> None:
        """Refuse a broker that is too old for these settings. Raises ``LogError``."""

    def brokers(self) -> int:
        """Count the brokers that there are: on how many a partition can have a copy."""

    def replication(self, topic: str) -> int:
        """Count the copies of the topic's partitions. Raises ``TopicMismatch`` where there is no such topic."""

    def partitions(self, topic: str) -> int:
        """Count the topic's partitions. Raises ``TopicMismatch`` where there is no such topic."""

    def facts(self, topic: str) -> TopicFacts:
        """Say how many partitions a topic has, and what it takes. Raises ``TopicMismatch`` where there is none."""

    def create_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Create the topics that are missing and return their names; existing ones are checked.

        Raises:
            TopicMismatch: an existing topic differs; the message names every difference.
        """

    def check_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Return every difference between the topics and what they must be, in words; empty when all is well."""

    def delete_before(self, positions: Mapping[TopicPartition, int]) -> None:
        """Delete the records below these positions."""
