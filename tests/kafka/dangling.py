"""A process that opens a transaction, says so, waits for a line and goes on: to be killed or frozen meanwhile."""

from __future__ import annotations

import sys

from streamsched.log.port import Append, Committed, LogError, TopicPartition
from tests.kafka.remote import joined


class Waiting:
    """A producer that stops when its records are written and its positions are not."""

    def __init__(self, producer: object) -> None:
        self._producer = producer

    def __getattr__(self, name: str) -> object:
        if name == "send_offsets_to_transaction":
            tell("open")
            sys.stdin.readline()
        return getattr(self._producer, name)


def tell(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def main() -> None:
    brokers, kafka, group, topic, transactional_id = sys.argv[1:]
    log, member = joined(brokers, kafka, group, topic)
    writer = log.writer(transactional_id)
    claim = {TopicPartition(topic, 0): Committed(0, "claimed")}
    writer.commit([], claim, member)
    tell(member.member_id)
    writer._producer = Waiting(writer._producer)
    try:
        writer.commit([Append(topic, 0, None, b"late")], {TopicPartition(topic, 0): Committed(1, "late")}, member)
    except LogError as error:
        tell(type(error).__name__)
    else:
        tell("committed")


if __name__ == "__main__":
    main()
