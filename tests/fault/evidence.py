"""An independent reader: topics by a plain consumer, side effects from files; neither client nor view."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from confluent_kafka import Consumer, TopicPartition

from streamsched.domain import events as e
from streamsched.log.codec import Codec
from streamsched.log.port import Record


def read_topic(brokers: str, topic: str) -> list[e.Event]:
    """Read all committed records of a topic, partition after partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "evidence",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    codec = Codec()
    events: list[e.Event] = []
    for partition in consumer.list_topics(topic, 10).topics[topic].partitions:
        consumer.assign([TopicPartition(topic, partition, 0)])
        while True:
            message = consumer.poll(10)
            assert message is not None, f"{topic}-{partition} does not come to its end"
            if message.error() is not None:
                break
            if message.value() is None:
                continue  # a node that has left
            record = SimpleNamespace(topic=topic, partition=partition, offset=message.offset(), value=message.value())
            events.append(codec.decode(cast(Record, record)))
    consumer.close()
    return events


@dataclass(frozen=True)
class Step:
    """One line of a handler's notes."""

    child: int
    step: int
    attempt: int
    token: int


def read_notes(folder: Path) -> list[Step]:
    """Read what the handlers noted; the line that a kill cut short is left out."""
    lines = [line for path in folder.glob("*.txt") for line in path.read_text().splitlines()]
    return [Step(*map(int, line.split())) for line in lines if len(line.split()) == 4]


def check(events: list[e.Event], notes: list[Step], *, task_id: str, children: int, steps: int) -> None:
    """Hold a finished task against the promises; every failure names the child."""
    mine = [event for event in events if getattr(event, "task_id", None) == task_id]
    assert len(_of(mine, e.TaskPlanned)) == 1
    terminal = [event for event in mine if isinstance(event, e.TaskSucceeded | e.TaskFailed | e.TaskCancelled)]
    assert [type(event) for event in terminal] == [e.TaskSucceeded]
    outcomes: dict[int, list[e.Event]] = defaultdict(list)
    for event in mine:
        if isinstance(event, e.ChildCompleted | e.ChildFailed | e.ChildCancelled | e.ChildReturned):
            outcomes[event.child].append(event)
    for child in range(children):
        endings = [event for event in outcomes[child] if not isinstance(event, e.ChildReturned)]
        assert [type(event) for event in endings] == [e.ChildCompleted], f"child {child}: {endings}"
        assert all(getattr(event, "attempt") == 1 for event in outcomes[child]), f"child {child} burnt an attempt"  # noqa: B009
        ordinals = [getattr(event, "ordinal") for event in outcomes[child]]  # noqa: B009
        assert len(ordinals) == len(set(ordinals)), f"child {child}: two outcomes of one dispatch"
    _check_sequences(mine)
    _check_repeats(mine, notes, children=children, steps=steps)


def _of(events: list[e.Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def _check_sequences(events: list[e.Event]) -> None:
    last: dict[int, int] = {}
    for event in _of(events, e.ChildCheckpointed):
        assert event.sequence > last.get(event.child, 0), f"child {event.child}: sequence {event.sequence} again"
        last[event.child] = event.sequence


def _check_repeats(events: list[e.Event], notes: list[Step], *, children: int, steps: int) -> None:
    """Every owner went on exactly from the last durable checkpoint of those before it."""
    durable: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for event in _of(events, e.ChildCheckpointed):
        durable[event.child].append((event.token, json.loads(event.state)["step"]))
    runs: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for note in notes:
        runs[note.child][note.token].append(note.step)
    for child in range(children):
        assert runs[child], f"child {child} never ran"
        done: set[int] = set()
        for token, made in sorted(runs[child].items()):
            start = max((step for owner, step in durable[child] if owner < token), default=0)
            assert made == list(range(start, start + len(made))), (
                f"child {child}, token {token}: made steps {made}, the last durable checkpoint was {start}"
            )
            done |= set(made)
        assert done == set(range(steps)), f"child {child}: steps {sorted(set(range(steps)) - done)} are missing"
