"""A process whose writers are fenced, each in the middle of its records: it has to outlive them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from streamsched.log.port import Append, Committed, LogError, TopicPartition
from tests.kafka.remote import joined

WRITERS = 32
RECORDS = 2000


class Overtaken:
    """A producer that is fenced when half of the records are on their way to the broker."""

    def __init__(self, producer: Any, fence: Callable[[], None]) -> None:
        self._producer = producer
        self._fence = fence
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def produce(self, *args: Any, **kwargs: Any) -> None:
        self._count += 1
        if self._count == RECORDS // 2:
            time.sleep(0.1)
            self._fence()
        self._producer.produce(*args, **kwargs)


def main() -> None:
    brokers, kafka, group, topic, transactional_id = sys.argv[1:]
    log, member = joined(brokers, kafka, group, topic)
    records = [Append(topic, index % 4, None, b"late" * 25) for index in range(RECORDS)]
    positions = {TopicPartition(topic, partition): Committed(1, "") for partition in range(4)}

    def overtake(number: int) -> str:
        writer = log.writer(f"{transactional_id}.{number}")
        writer._producer = Overtaken(writer._producer, partial(log.fence, writer.transactional_id))
        try:
            writer.commit(records, positions, member)
        except LogError as error:
            return type(error).__name__
        return "committed"

    with ThreadPoolExecutor(4) as pool:  # each waits for the broker, most of the time
        for outcome in pool.map(overtake, range(WRITERS)):
            sys.stdout.write(f"{outcome}\n")


if __name__ == "__main__":
    main()
