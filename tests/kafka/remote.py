"""A member of a group in a process of its own: tells its id and partitions, one line of JSON a change."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection

from streamsched.log.kafka import KafkaLog
from streamsched.log.kafka.member import GroupMember


class Ears:
    def __init__(self) -> None:
        self.partitions: set[int] = set()

    def on_assigned(self, partitions: Collection[int]) -> None:
        self.partitions.update(partitions)

    def on_revoked(self, partitions: Collection[int]) -> None:
        self.partitions.difference_update(partitions)

    def on_lost(self, partitions: Collection[int]) -> None:
        self.partitions.difference_update(partitions)


def joined(brokers: str, kafka: str, group: str, topic: str) -> tuple[KafkaLog, GroupMember]:
    """Connect, and be the only member of a group on a topic of four partitions."""
    log, ears = KafkaLog(brokers, json.loads(kafka)), Ears()
    member = log.member(group, topic, ears)
    while len(ears.partitions) < 4:
        member.poll(0.05)
    return log, member


def main() -> None:
    brokers, kafka, group, topic = sys.argv[1:]
    ears = Ears()
    member = KafkaLog(brokers, json.loads(kafka)).member(group, topic, ears)
    told = ""
    while True:
        member.poll(0.05)
        now = json.dumps([member.member_id, sorted(ears.partitions)])
        if now != told:
            told = now
            sys.stdout.write(now + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
