"""An independent reader: topics by a plain consumer, side effects from files; neither client nor view."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, TopicPartition

from streamsched.domain import events as e
from streamsched.log.codec import Codec
from streamsched.log.port import Record

OUTCOMES: Final = (e.ChildCompleted, e.ChildFailed, e.ChildCancelled, e.ChildReturned)
TERMINAL: Final = (e.TaskSucceeded, e.TaskFailed, e.TaskCancelled)


def read_topic(brokers: str, topic: str) -> list[e.Event]:
    """Read all committed records of a topic, to the end of each partition; in order within each."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "evidence",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    codec = Codec()
    events: list[e.Event] = []
    reading = set(consumer.list_topics(topic, 10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in reading])
    while reading:
        message = consumer.poll(20)
        assert message is not None, f"{topic}, partitions {reading} do not come to their end"
        error = message.error()
        if error is None:
            place = SimpleNamespace(
                topic=topic, partition=message.partition(), offset=message.offset(), value=message.value()
            )
            if message.value() is not None:  # else a node that has left
                events.append(codec.decode(cast(Record, place)))
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            reading.discard(message.partition())
    consumer.close()
    return events


@dataclass(frozen=True)
class Step:
    """One line of a handler's notes: which step of which child, by whose right, and when."""

    child: int
    step: int
    attempt: int
    token: int
    at: float


def read_notes(folder: Path) -> list[Step]:
    """Read what the handlers noted; the line that a kill cut short is left out."""
    lines = [line.split() for path in folder.glob("*.txt") for line in path.read_text().splitlines(keepends=True)
             if line.endswith("\n")]  # fmt: skip
    return [Step(int(child), int(step), int(attempt), int(token), float(at))
            for child, step, attempt, token, at in lines]  # fmt: skip


class Violation(NamedTuple):
    """A broken promise: its name, and the evidence in words."""

    promise: str
    evidence: str


@dataclass(frozen=True)
class Job:
    """A task that was to succeed, and what its children were to do.

    Args:
        task_id: the task.
        children: how many it has.
        steps: how many steps each of them makes.
        killed: how many executors were killed: each may have cost the attempt of the child that it ran.

    """

    task_id: str
    children: int
    steps: int
    killed: int = 0


def check(events: list[e.Event], notes: list[Step], job: Job) -> None:
    """Check a finished task against the promises; the failure names each that was broken."""
    assert list(violations(events, notes, job)) == []


def violations(events: list[e.Event], notes: list[Step], job: Job) -> Iterator[Violation]:
    """Find the promises that a finished task broke."""
    mine = [event for event in events if getattr(event, "task_id", None) == job.task_id]
    plans = sum(isinstance(event, e.TaskPlanned) for event in mine)
    if plans != 1:
        yield Violation("doubled" if plans else "lost", f"{job.task_id} has {plans} plans")
    ends = [type(event).__name__ for event in mine if isinstance(event, TERMINAL)]
    if ends != ["TaskSucceeded"]:
        yield Violation("doubled" if len(ends) > 1 else "lost", f"{job.task_id} ended by {ends or 'nothing'}")
    yield from _check_outcomes(mine, job)
    yield from _check_order(mine, job)
    yield from _check_steps(mine, notes, job)


def _check_outcomes(events: list[e.Event], job: Job) -> Iterator[Violation]:
    """Each child completed once, no dispatch has two outcomes, and no fault cost an attempt."""
    outcomes: dict[int, list[Any]] = defaultdict(list)
    for event in events:
        if isinstance(event, OUTCOMES):
            outcomes[event.child].append(event)
    spared = job.killed
    for child in range(job.children):
        who = f"{job.task_id} child {child}"
        kinds = [type(event).__name__ for event in outcomes[child]]
        completed = kinds.count("ChildCompleted")
        if completed != 1:
            yield Violation("doubled" if completed else "lost", f"{who} completed {completed} times: {kinds}")
        ordinals = [event.ordinal for event in outcomes[child]]
        if len(ordinals) != len(set(ordinals)):
            yield Violation("doubled", f"{who} has two outcomes of one dispatch: ordinals {ordinals}, {kinds}")
        failed = [event for event in outcomes[child] if isinstance(event, e.ChildFailed | e.ChildCancelled)]
        spared -= len(failed)
        attempts = max((event.attempt for event in outcomes[child]), default=1)
        if spared < 0 or attempts > 1 + len(failed):
            reasons = [event.reason for event in failed]
            yield Violation("burnt", f"{who} failed {len(failed)} times ({reasons}), attempt {attempts}")


def _check_order(events: list[e.Event], job: Job) -> Iterator[Violation]:
    """Checkpoints count up, and no owner of a child has the word after its successor had it."""
    sequences: dict[int, int] = {}
    tokens: dict[int, int] = {}
    for event in events:
        token, child = getattr(event, "token", 0), getattr(event, "child", -1)
        if isinstance(event, e.ChildCheckpointed):
            if event.sequence <= sequences.get(child, 0):
                yield Violation("sequence", f"{job.task_id} child {child}: sequence {event.sequence} came again")
            sequences[child] = event.sequence
        if token < tokens.get(child, 0):
            what = f"{type(event).__name__} by {event.by}"
            yield Violation("late", f"{job.task_id} child {child}: {what}, token {token}, after token {tokens[child]}")
        tokens[child] = max(token, tokens.get(child, 0))


def _check_steps(events: list[e.Event], notes: list[Step], job: Job) -> Iterator[Violation]:
    """Every owner went on exactly from the last durable state of those before it, and all steps were made."""
    durable: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        state = getattr(event, "state", None)
        if state is not None:
            durable[getattr(event, "child")].append((getattr(event, "token"), json.loads(state)["step"]))  # noqa: B009
    runs: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for note in notes:
        runs[note.child][note.token].append(note.step)
    for child in range(job.children):
        done: set[int] = set()
        for token, made in sorted(runs[child].items()):
            start = max((step for owner, step in durable[child] if owner < token), default=0)
            if made != list(range(start, start + len(made))):
                text = f"token {token} made steps {made}, the last durable state before it was {start}"
                yield Violation("repeated", f"{job.task_id} child {child}: {text}")
            done |= set(made)
        if missing := sorted(set(range(job.steps)) - done):
            yield Violation("lost", f"{job.task_id} child {child}: steps {missing} were never made")
