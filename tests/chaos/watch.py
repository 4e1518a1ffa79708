"""Watch a journal from outside as it grows: what is durable, and when it was first seen to be."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Self, cast

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streamsched.domain import events as e
from streamsched.log.codec import Codec
from streamsched.log.port import Record
from tests.support.evidence import OUTCOMES, TERMINAL

DECISIONS: Final = (e.TaskPlanned, e.ChildrenDispatched, *TERMINAL)
_QUIET: Final = logging.getLogger("tests.chaos.watch")
_QUIET.addHandler(logging.NullHandler())

ChildKey = tuple[str, int]


@dataclass(frozen=True)
class Seen:
    """One committed event, and when this watch had it (monotonic seconds)."""

    at: float
    event: e.Event


class JournalWatch:
    """Reads committed records with a plain consumer, in a thread, until the watch is left."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.seen: list[Seen] = []
        self._topic = topic
        self._over = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "watch",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "fetch.error.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "logger": _QUIET,
            }
        )
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)

    def __enter__(self) -> Self:
        partitions = self._consumer.list_topics(self._topic, 30).topics[self._topic].partitions
        self._consumer.assign([TopicPartition(self._topic, partition, 0) for partition in partitions])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._consumer.close()

    def first(self, since: float, meant: Callable[[Any], bool]) -> float | None:
        """Return when the first such event was seen after a time, or None."""
        return next((seen.at for seen in list(self.seen) if seen.at > since and meant(seen.event)), None)

    def held(self, node: str) -> dict[ChildKey, int]:
        """Return the children whose latest event is this node's and no outcome, with the token in it."""
        last: dict[ChildKey, Any] = {}
        for event in self._of_children():
            last[event.task_id, event.child] = event
        return {
            child: event.token
            for child, event in last.items()
            if event.by == node and not isinstance(event, (*OUTCOMES, e.ChildYielded))
        }

    def tokens(self) -> dict[ChildKey, int]:
        """Return the latest token of each child."""
        return {(event.task_id, event.child): event.token for event in self._of_children()}

    def decider(self, task_id: str) -> str | None:
        """Return the name of the scheduler that made the task's latest decision."""
        made = [s.event for s in list(self.seen) if isinstance(s.event, DECISIONS) and s.event.task_id == task_id]
        return made[-1].by if made else None

    def ended(self, task_id: str) -> bool:
        """Return whether the task has its terminal event."""
        return any(isinstance(seen.event, TERMINAL) and seen.event.task_id == task_id for seen in list(self.seen))

    def write(self, file: Path, since: float) -> None:
        """Write down what was seen, with its time in seconds after ``since``: a trace for those who debug a round."""
        file.write_text("".join(f"{seen.at - since:9.3f} {seen.event}\n" for seen in list(self.seen)))

    def _of_children(self) -> list[Any]:
        return [seen.event for seen in list(self.seen) if hasattr(seen.event, "token")]

    def _read(self) -> None:
        codec = Codec()
        while not self._over.is_set():
            try:
                message = self._consumer.poll(0.1)
            except KafkaException:
                continue
            if message is None or message.error() is not None:
                continue
            record = SimpleNamespace(
                topic=self._topic, partition=message.partition(), offset=message.offset(), value=message.value()
            )
            self.seen.append(Seen(time.monotonic(), codec.decode(cast(Record, record))))
